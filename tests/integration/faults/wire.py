"""Docker's socket with a fault in it: kills who talks to the engine, at a request that changes something.

So also what Compose does, and the several requests of one call of a port, can be cut off between any two of them.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Literal

from tests.integration.cli import Cli, Done, Running

#: "unsent": the session is killed, and the request never reaches the engine; "unanswered": the session is killed when
#: the engine has answered, and nobody hears it; "alone": orchestrator alone is killed, and what it had started goes on
Cut = Literal["unsent", "unanswered", "alone"]
CUTS: tuple[Cut, ...] = ("unsent", "unanswered", "alone")
#: requests that change nothing, though they are no GET
_LOOKS = re.compile(r"/(wait|auth|attach|session|grpc|logs)\b")
_OWN = re.compile(r"^/v[0-9.]+|\?.*|[0-9a-f]{64}/?")


@dataclass
class Wire:
    """``path`` is a socket that leads to ``target``. ``changes``: the requests that changed something, in order."""

    path: Path
    target: Path
    changes: list[str] = field(default_factory=list)
    _at: int = 0
    _cut: Cut = "unsent"
    _running: SimpleQueue[Running] = field(default_factory=SimpleQueue)
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, cli: Cli, *arguments: str, code: int = 0) -> list[str]:
        """The changes that a run makes that nobody cuts."""
        self._begin(0, "unsent")
        done = self._through(cli).run(*arguments, code=code)
        assert self.changes, done
        return list(self.changes)

    def cut(self, cli: Cli, *arguments: str, at: int, cut: Cut) -> Done:
        """Run until the change ``at``, counted from 1."""
        self._begin(at, cut)
        running = self._through(cli).start(*arguments)
        self._running.put(running)
        done = running.end()
        assert done.code == -9, f"it was not killed at change {at}, {self.changes}: {done}"
        return done

    def _begin(self, at: int, cut: Cut) -> None:
        self._at, self._cut, self._running = at, cut, SimpleQueue()
        self.changes.clear()

    def _through(self, cli: Cli) -> Cli:
        return cli.beside("cut", DOCKER_HOST=f"unix://{self.path}")

    def serve(self, client: socket.socket) -> None:
        """One connection, until either side ends it."""
        with client, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(str(self.target))
            due = threading.Event()
            back = threading.Thread(target=self._back, args=(engine, client, due), daemon=True)
            back.start()
            with client.makefile("rb") as said:
                while self._request(said, engine, due):
                    pass
            engine.shutdown(socket.SHUT_WR)
            back.join()

    def _request(self, said: BinaryIO, engine: socket.socket, due: threading.Event) -> bool:
        """Pass one request on; whether there may be another."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := said.readline()):
                return False
            head += line
        due.clear()
        if self._changes(head) and not self._counted(head, due):
            return False
        engine.sendall(head)
        if b"\r\nUpgrade:" in head:
            while chunk := said.read1():  # type: ignore[attr-defined]
                engine.sendall(chunk)
            return False
        for part in _body(head, said):
            engine.sendall(part)
        return True

    @staticmethod
    def _changes(head: bytes) -> bool:
        line = head.split(b"\r\n")[0].decode()
        return not line.startswith(("GET", "HEAD", "OPTIONS")) and not _LOOKS.search(line)

    def _counted(self, head: bytes, due: threading.Event) -> bool:
        """Whether the request is to reach the engine."""
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        with self._alone:
            self.changes.append(f"{method} {_OWN.sub('', target)}")
            if len(self.changes) != self._at:
                return True
        if self._cut == "unanswered":
            due.set()
            return True
        return self._kill()

    def _kill(self) -> bool:
        """Kill; whether what is under way goes on."""
        running = self._running.get()
        if self._cut == "alone":
            running.process.kill()
            return True
        running.kill_all()
        return False

    def _back(self, engine: socket.socket, client: socket.socket, due: threading.Event) -> None:
        with suppress(OSError):
            while chunk := engine.recv(1 << 16):
                if due.is_set() and not self._kill():
                    break
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)


def _body(head: bytes, said: BinaryIO) -> Iterator[bytes]:
    """The body of a request, as it is on the wire."""
    if length := re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE):
        yield said.read(int(length[1]))
    elif re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        while True:
            size = said.readline()
            yield size + said.read(int(size, 16) + 2)
            if not int(size, 16):
                break


@contextmanager
def wire(cli: Cli) -> Iterator[Wire]:
    """A wire to the engine of a ``Cli``."""
    found = Wire(cli.folder / "wire.sock", cli.engine.socket_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(found.path))
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, found.serve), daemon=True).start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()
