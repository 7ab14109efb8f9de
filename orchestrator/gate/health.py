"""The container's health check: print the phase as one line of JSON, exit 0 only when the engine answers.

Docker runs this every few seconds in every container, so it imports as little as it can.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

DEFAULT_STATE = "/run/orchestrator/gate.json"
_TIMEOUT_S = 3.0
_ONGOING = ("queued", "waiting-memory", "starting")
_SHOWN = ("schema", "phase", "since", "restarts", "reason", "cause", "detail", "exit_code", "progress")
_UNKNOWN: dict[str, object] = {
    "schema": 1,
    "phase": "starting",
    "since": 0,
    "restarts": 0,
    "reason": "",
    "cause": "",
    "detail": "",
    "exit_code": None,
    "progress": None,
}
_USAGE = "usage: gate health [--state FILE] [--port P] [--wait S]"
_LOOK_S = 0.05


def probe(port: int, timeout_s: float = _TIMEOUT_S) -> int:
    """Status of GET /health on the loopback address; 0 when there is no HTTP answer within ``timeout_s``."""
    words = _get(port, "/health", b"\n", timeout_s).split(None, 2)
    status = words[1] if len(words) > 1 and words[0].startswith(b"HTTP/") else b""
    return int(status) if status.isdigit() and len(status) == 3 else 0


def sleeps(port: int, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether GET /is_sleeping says so, as vLLM answers it; False too where it does not answer within ``timeout_s``.

    While the engine falls asleep or wakes it answers late, and is neither.
    """
    answer = _get(port, "/is_sleeping", b"}", timeout_s)
    try:
        return json.loads(answer.partition(b"\r\n\r\n")[2])["is_sleeping"] is True
    except (ValueError, KeyError, TypeError):
        return False


def _get(port: int, path: str, end: bytes, timeout_s: float) -> bytes:
    """The answer on the loopback address as far as ``end``, or as it came within ``timeout_s``; "" without one."""
    until = time.monotonic() + timeout_s
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            # The limit is for the whole answer, so that a trickle of bytes can't hold us.
            while end not in answer and len(answer) < 4096 and (left := until - time.monotonic()) > 0:
                link.settimeout(left)
                chunk = link.recv(4096)
                if not chunk:
                    break
                answer += chunk
    except OSError:
        return b""
    return answer


def read_state(path: str) -> dict[str, object]:
    """The gate's state; while there is none, or none that can be read, "starting" since 0 (not known)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = json.loads(os.read(fd, 65536))
        finally:
            os.close(fd)
        if isinstance(found, dict) and isinstance(found.get("since"), int) and isinstance(found.get("port"), int):
            return found
        why = "The gate's state file is not one."
    except FileNotFoundError:
        folder = path.rpartition("/")[0] or "/"
        lost = not os.access(folder, os.W_OK)
        why = f"The gate can't show its state: {folder} is missing or not writable."[:200] if lost else ""
    except (OSError, ValueError) as error:
        why = f"The gate's state can't be read: {error}"[:200]
    return {**_UNKNOWN, "reason": why}


def wait_for_news(path: str, seconds: float) -> None:
    """Return at once when the state is not the one that was shown last, else when it changes, or after ``seconds``.

    So Docker hears of a change as it happens, and not at its next look.
    """
    until = time.monotonic() + seconds
    shown = path + ".shown"
    try:
        with open(shown, encoding="ascii") as last:  # noqa: PTH123  # importing pathlib would be felt
            old = last.read()
    except (OSError, ValueError):
        old = ""
    while _mark(path) == old and time.monotonic() < until:
        time.sleep(_LOOK_S)
    try:
        with open(shown, "w", encoding="ascii") as last:  # noqa: PTH123
            last.write(_mark(path))
    except OSError:
        # Nothing can be remembered, so nothing is news, and Docker must not look all the time.
        time.sleep(max(0.0, until - time.monotonic()))


def _mark(path: str) -> str:
    """What is another for every state, since the file is replaced whole; "" while there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_mtime_ns}"


def judge(
    state: dict[str, object], now: float, status: int | None, *, asleep: bool = False
) -> tuple[dict[str, object], int]:
    """What to print, and the exit code. ``status`` is the engine's answer, None when it was not asked.

    An engine that sleeps is well: Docker calls its container healthy.
    """
    shown = {key: state.get(key) for key in _SHOWN}
    if state["phase"] == "ready" and status == 200:
        return ({**shown, "phase": "asleep"} if asleep else shown), 0
    if state["phase"] == "ready":
        shown["phase"] = "unresponsive"
        shown["detail"] = _told(status)
    elif state["phase"] in _ONGOING and state["since"]:
        waited = f"for {max(0, int(now - float(str(state['since']))))} s"
        shown["detail"] = f"{state['detail']}; {waited}" if state.get("detail") else waited
    return shown, 1


def alone(status: int) -> tuple[dict[str, object], int]:
    """The same for an engine without a gate, of which nothing is known but its answer."""
    if status == 200:
        return {**_UNKNOWN, "phase": "ready"}, 0
    return {**_UNKNOWN, "detail": _told(status)}, 1


def _told(status: int | None) -> str:
    return f"GET /health gave {status}" if status else f"GET /health: no answer within {_TIMEOUT_S:.0f} s"


def main(argv: list[str]) -> int:
    """``health [--state FILE] [--port P] [--wait S]``; exit code 0 ready and answering, 1 not, 2 wrong arguments.

    With a port, and no state file, it is taken that no gate runs: the engine itself is asked. With ``--wait`` the
    answer comes when there is news, after so many seconds at the latest.
    """
    given = dict(zip(argv[::2], argv[1::2]))  # noqa: B905  # Python 3.8 has no strict
    path, port = given.pop("--state", DEFAULT_STATE), given.pop("--port", "0")
    wait = given.pop("--wait", "0")
    if given or len(argv) % 2 or not port.isdecimal() or not wait.isdecimal():
        print(_USAGE, file=sys.stderr)
        return 2
    if int(wait):
        wait_for_news(path, int(wait))
    if int(port) and not os.path.exists(path):  # noqa: PTH110  # importing pathlib would be felt
        shown, code = alone(probe(int(port)))
    else:
        state = read_state(path)
        engine = int(str(state.get("port", 0)))
        status = probe(engine) if state["phase"] == "ready" else None
        asleep = status == 200 and state.get("sleep_mode") is True and sleeps(engine)
        shown, code = judge(state, time.time(), status, asleep=asleep)
    print(json.dumps(shown))
    return code
