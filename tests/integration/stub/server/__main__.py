"""Stands in for orchestrator/server: the same command line and endpoints, standard library only, no model.

After `serve` it stands in for vLLM: of its options it knows those it needs, and in development mode it can sleep.

While it "loads" it holds one marker file per GPU of NVIDIA_VISIBLE_DEVICES (or STUB_GPU) on a shared
volume. A loader that meets the marker of another live one writes the fact to violations/ beside it and
exits 1. Markers are made with O_EXCL and kept alive by their modification time, not by flock: the gate's
locks are judged by other means than its own.

Knobs, by environment: STUB_LOAD_SECONDS (0.2), STUB_LOAD_UNTIL=path of a file that has to be there before loading
ends, STUB_EXIT=code after loading, STUB_NEVER_READY=1 loads for ever, STUB_WRONG_NAME=name served instead of
--served-name, STUB_ANSWER=text instead of the usual answer, STUB_SHARED=folder for markers (the first writable of
/locks, /cache). How it can break for real, and with the log of a real engine: breaking.py.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from server.breaking import break_down, break_serving
from server.sleeping import Sleeper

# A marker is touched every BEAT_S; one that is older than DEAD_S belongs to a loader that died.
BEAT_S = 0.1
DEAD_S = 2.0


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line of the real server."""
    parser = argparse.ArgumentParser(prog="server", allow_abbrev=False)
    parser.add_argument("--served-name", required=True)
    for name in ("--model", "--revision", "--builtin", "--family", "--device", "--dtype"):
        parser.add_argument(name)
    for name in ("--quantisation", "--quantiser"):
        parser.add_argument(name)
    for name in ("--max-model-len", "--max-images", "--max-pixels", "--max-tiles", "--gpu-memory-bytes"):
        parser.add_argument(name, type=int)
    for name in ("--max-num-seqs", "--images-at-once"):
        parser.add_argument(name, type=int)
    parser.add_argument("--keep-16bit", action="append", default=[])
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--trust-remote-code", action="store_true")
    parser.add_argument("--require-api-key", action="store_true")
    parser.add_argument("--stop", action="append", default=[])
    return parser.parse_args(argv)


def parse_vllm(argv: list[str]) -> argparse.Namespace:
    """The command line of vLLM, as far as it matters here."""
    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("--served-model-name", dest="served_name", required=True)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.set_defaults(require_api_key=False)
    return parser.parse_known_args(argv)[0]


def shared_folder() -> Path | None:
    """Where loaders of several containers can see each other; None when nothing is shared."""
    candidates = [os.environ["STUB_SHARED"]] if "STUB_SHARED" in os.environ else ["/locks", "/cache"]
    return next((Path(c) for c in candidates if os.access(c, os.W_OK)), None)


@contextlib.contextmanager
def markers(shared: Path | None) -> Iterator[list[Path]]:
    """Hold the marker of every GPU; SystemExit(1) when another live loader holds one."""
    gpus = os.environ.get("NVIDIA_VISIBLE_DEVICES", os.environ.get("STUB_GPU", ""))
    held: list[Path] = []
    try:
        for gpu in filter(None, gpus.split(",") if shared else ()):
            assert shared is not None
            held.append(take_marker(shared, gpu))
        yield held
    finally:
        for marker in held:
            marker.unlink(missing_ok=True)


def take_marker(shared: Path, gpu: str) -> Path:
    marker = shared / f"stub-loading-{gpu}"
    while True:
        with contextlib.suppress(FileExistsError):
            marker.touch(exist_ok=False)
            marker.write_text(socket.gethostname())
            return marker
        with contextlib.suppress(FileNotFoundError):
            if time.time() - marker.stat().st_mtime < DEAD_S:
                report_violation(shared, gpu, marker.read_text())
            marker.unlink()


def report_violation(shared: Path, gpu: str, other: str) -> None:
    text = f"{socket.gethostname()} began to load on {gpu} while {other} was loading"
    folder = shared / "violations"
    folder.mkdir(exist_ok=True)
    (folder / f"{socket.gethostname()}-{gpu}").write_text(text)
    print(text, file=sys.stderr)
    raise SystemExit(1)


def load() -> None:
    """Pass the time that loading takes, with the markers kept alive."""
    seconds = float("inf") if os.environ.get("STUB_NEVER_READY") else float(os.environ.get("STUB_LOAD_SECONDS", "0.2"))
    deadline = time.monotonic() + seconds
    until = Path(os.environ.get("STUB_LOAD_UNTIL", "/"))
    with markers(shared_folder()) as held:
        while (left := deadline - time.monotonic()) > 0 or not until.exists():
            time.sleep(min(BEAT_S, left) if left > 0 else BEAT_S)
            for marker in held:
                os.utime(marker)


def answer(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A chat completion that says how many images arrived whole."""
    parts = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
    urls = [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
    images = sum(bool(base64.b64decode(url.partition(";base64,")[2], validate=True)) for url in urls)
    text = os.environ.get("STUB_ANSWER") or f"stub {name} saw {images} images"
    message = {"role": "assistant", "content": text}
    return {
        "id": "stub-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 5, "total_tokens": 6},
    }


class Handler(BaseHTTPRequestHandler):
    """Serves one model under ``served_name``, which main() sets, to those who have ``key``, "" for all.

    ``beats`` counts answers to GET /health.
    """

    protocol_version = "HTTP/1.1"
    served_name = ""
    key = ""
    beats = 0
    sleeper: Sleeper | None = None

    def parse_request(self) -> bool:
        """Refuses what has not the key, after the base class has read the headers."""
        if not super().parse_request():
            return False
        if not self.key or self.path == "/health" or self.headers["Authorization"] == f"Bearer {self.key}":
            return True
        self.close_connection = True
        self.refuse(401, "an API key is needed")
        return False

    def reply(self, status: int, body: dict[str, Any] | str) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, found: dict[str, Any]) -> None:
        """The answer in two pieces and its usage, as servers stream it."""
        text = found["choices"][0]["message"]["content"]
        pieces = [[{"index": 0, "delta": {"content": piece}}] for piece in (text[:3], text[3:])]
        chunks = [*({"choices": choices} for choices in pieces), {"choices": [], "usage": found["usage"]}]
        said = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def refuse(self, status: int, message: str) -> None:
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "code": None}})

    def do_GET(self) -> None:
        if self.sleeper and (said := self.sleeper.get(self.path)) is not None:
            self.reply(200, said)
        elif self.path == "/health":
            self.reply(200, {"status": "ok"})
            Handler.beats += 1
        elif self.path == "/v1/models":
            models = [{"id": self.served_name, "object": "model", "owned_by": "stub"}]
            self.reply(200, {"object": "list", "data": models})
        else:
            self.refuse(404, f"no such path: {self.path}")

    def do_POST(self) -> None:
        if self.sleeper and (said := self.sleeper.post(self.path)) is not None:
            self.reply(200, said)
            return
        if self.sleeper:
            self.sleeper.wait_awake()
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions" or body["model"] != self.served_name:
                self.refuse(404, f"no such path or model: {self.path} {body['model']}")
                return
            found = answer(body, self.served_name)
            if body.get("stream"):
                self.stream(found)
            else:
                self.reply(200, found)
        except (KeyError, TypeError, ValueError) as error:
            self.refuse(400, f"{type(error).__name__}: {error}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        if "/health" not in str(args[0]):
            print(f"{format % args} at {time.time():.3f}", flush=True)


def main() -> None:
    """Load, then serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    vllm = sys.argv[1] == "serve"
    arguments = parse_vllm(sys.argv[2:]) if vllm else parse(sys.argv[1:])
    Handler.key = os.environ.pop("VLLM_API_KEY" if vllm else "ORCHESTRATOR_API_KEY", "")
    Handler.sleeper = Sleeper() if os.environ.get("VLLM_SERVER_DEV_MODE") == "1" else None
    if arguments.require_api_key and not Handler.key:
        sys.exit(2)
    print("loading weights", flush=True)
    # as the real server says it, for the gate
    print(f"{time.strftime('%F %T')},000 INFO server: loading weights: a stub", flush=True)
    load()
    break_down()
    if code := os.environ.get("STUB_EXIT"):
        sys.exit(int(code))
    print("ready", flush=True)
    Handler.served_name = os.environ.get("STUB_WRONG_NAME") or arguments.served_name
    server = ThreadingHTTPServer((arguments.host, arguments.port), Handler)
    print(f"could answer at {time.time():.3f}", flush=True)
    if "STUB_BREAK_SERVING" in os.environ:
        threading.Thread(target=break_serving, args=[lambda: Handler.beats], daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
