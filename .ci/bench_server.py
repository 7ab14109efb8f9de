"""What ``.ci/bench`` measures of the Transformers server: its own cost, many callers, its start, and what it reads.

The demo model, in the CPU image, on the private engine. What it is compared to runs in the same image. Not compared:
``transformers serve``, which needs torchvision for this model, and our images have none; docs/server.md tells what was
seen of it elsewhere.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from orchestrator.plan.images import built_image
from tests.integration.engine import Engine, wait_for
from tests.printed import picture, strings

PORT = 24400
TOGETHER = 8
HELD_OUT = 500
#: where the image keeps the demo's weights
WEIGHTS = "/opt/orchestrator/server/builtin/demo"
SERVER = (
    *("python3", "-m", "server", "--builtin", "demo", "--served-name", "demo", "--family", "qwen2-vl"),
    *("--host", "0.0.0.0", "--device", "cpu", "--dtype", "float32"),  # noqa: S104 (in the container)
    *("--max-model-len", "2048"),
    *("--max-num-seqs", str(TOGETHER), "--images-at-once", str(TOGETHER), "--max-queue", "1000"),
)
#: Times ``generate`` on inputs that are ready; then prints the seconds of each round as JSON.
GENERATE = """
import json, sys, time
from pathlib import Path
import torch
from PIL import Image
from server.config import Config
from server.conversation import Turn
from server.families import qwen2_vl
config = Config(family="qwen2-vl", served_name="demo", dtype="float32", device="cpu", max_model_len=2048)
adapter = qwen2_vl.load(Path(sys.argv[1]), config)
inputs = adapter.encode((Turn("user", (Image.open(sys.stdin.buffer).convert("RGB"), sys.argv[2])),), {}).inputs
seconds = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    with torch.inference_mode():
        adapter.model.generate(**inputs, do_sample=False, max_new_tokens=32)
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds[3:]))
"""
#: What the bare library needs: import and load the same weights.
LOAD = """
import sys
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
AutoTokenizer.from_pretrained(sys.argv[1])
Qwen2VLForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
"""
READ = "Read the text."


@dataclass(frozen=True)
class Figure:
    """One figure beside the one it has to reach. ``least``: it may not be below ``limit``; else not above."""

    title: str
    measured: str
    compared: str
    rounds: int
    value: float
    unit: str
    limit: float | None
    least: bool = False

    @property
    def passed(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.least else self.value <= self.limit

    def row(self) -> str:
        """One line of the table."""
        bound = "-" if self.limit is None else f"{'at least ' if self.least else ''}{self.limit:g} {self.unit}"
        verdict = "-" if self.limit is None else "PASS" if self.passed else "over"
        told = (self.title, self.measured, self.compared, self.rounds, f"{self.value:.2f} {self.unit}", bound, verdict)
        return f"| {' | '.join(map(str, told))} |\n"


@dataclass(frozen=True)
class ServerBench:
    """The demo in its image."""

    engine: Engine
    image: str

    @contextmanager
    def running(self, port: int, *argv: str) -> Iterator[str]:
        """A container that answers on the port; gives its id."""
        run = ["docker", "run", "--detach", "--init", "--publish", f"127.0.0.1:{port}:8000"]
        container = self.engine.run(*run, self.image, *argv).stdout.strip()
        try:
            wait_for(lambda: _healthy(port), "the server", seconds=120)
            yield container
        finally:
            self.engine.run("docker", "rm", "--force", "--volumes", container)

    def cost(self, rounds: int = 60) -> Iterator[Figure]:
        """A request over HTTP, from the image file to the answer, less ``generate`` on inputs that are ready."""
        image = _png("7BX2")
        with self.running(PORT, *SERVER) as container:
            ours = _timed(PORT, _body(READ, image), rounds)[3:]
            argv = ["docker", "exec", "--interactive", container, "python3", "-c", GENERATE, WEIGHTS, READ, str(rounds)]
            done = subprocess.run(argv, env=self.engine.env, input=image, capture_output=True, check=True)
            bare = json.loads(done.stdout.splitlines()[-1])
        a, b = statistics.median(ours), statistics.median(bare)
        yield Figure("server's cost", f"a request {_ms(a)}", f"`generate` {_ms(b)}", len(ours), 1000 * (a - b), "ms", 5)

    def together(self, requests_each: int = 15) -> Iterator[Figure]:
        """Tokens per second of eight callers and of one, for long answers and for a word read off a picture.

        The limit is for what batching is about, the writing. A picture is read by arithmetic that eight pictures need
        eight times, and of the answer of a word there is little to write.
        """
        read = [_body(READ, _png(text)) for text in strings(TOGETHER, seed=8)]
        write = [_body("Say the alphabet.", None, max_tokens=128)]
        with self.running(PORT, *SERVER):
            _rate(PORT, read, TOGETHER, 3)
            yield _compared("answers of 128 tokens", write, 4, 3)
            yield _compared("a picture each, answers of a word", read, requests_each, None)

    def start(self, rounds: int = 5) -> Iterator[Figure]:
        """From ``docker run`` to an answer on /health, beside a container that imports and loads the same weights."""
        ours, bare = [], []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            with self.running(PORT, *SERVER):
                ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            self.engine.run("docker", "run", "--rm", "--init", self.image, "python3", "-c", LOAD, WEIGHTS)
            bare.append(time.perf_counter() - began)
        ratio = statistics.median(a / b for a, b in zip(ours[1:], bare[1:], strict=True))
        told = (
            f"start to ready {statistics.median(ours[1:]):.2f} s",
            f"import, load {statistics.median(bare[1:]):.2f} s",
        )
        yield Figure("start", *told, rounds, ratio, "times", 1.3)

    def reading(self) -> Iterator[Figure]:
        """Strings that it was never shown, in the font of Pillow."""
        texts = strings(HELD_OUT, seed=random.SystemRandom().randrange(2**31))
        with self.running(PORT, *SERVER), _Caller(PORT) as caller:
            answers = [caller.ask(_body(READ, _png(text)))[0] for text in texts]
        right = sum(a == b for a, b in zip(answers, texts, strict=True))
        yield Figure("reading", f"{right} of {HELD_OUT} strings", "-", 1, 100 * right / HELD_OUT, "%", 98, least=True)


def prepare(engine: Engine, work: Path) -> ServerBench:
    """Builds the image."""
    argv = (sys.executable, "-m", "orchestrator", "image", "build", "tf5-cpu")
    subprocess.run(argv, env={**engine.env, "ORCHESTRATOR_STATE_DIR": str(work / "image")}, check=True)
    return ServerBench(engine, built_image("tf5-cpu").reference)


def _png(text: str) -> bytes:
    stream = io.BytesIO()
    picture(text).save(stream, "PNG")
    return stream.getvalue()


def _body(text: str, image: bytes | None, max_tokens: int = 32) -> bytes:
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image:
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    return json.dumps(body).encode()


class _Caller:
    """Asks over one connection, as OpenAI's client does, with little work of its own: it shares the server's cores."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, body: bytes) -> tuple[str, int]:
        """The answer, and its tokens."""
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", body, headers)
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != http.client.OK:
            raise RuntimeError(f"the server refused: {found}")
        return found["choices"][0]["message"]["content"], found["usage"]["completion_tokens"]


def _timed(port: int, body: bytes, rounds: int) -> list[float]:
    """Seconds of each of these requests, one after the other."""
    seconds = []
    with _Caller(port) as caller:
        for _ in range(rounds):
            began = time.perf_counter()
            caller.ask(body)
            seconds.append(time.perf_counter() - began)
    return seconds


def _rate(port: int, bodies: Sequence[bytes], callers: int, each: int) -> float:
    """Tokens per second, all callers together."""

    def tokens(first: int) -> int:
        with _Caller(port) as caller:
            return sum(caller.ask(bodies[(first + number) % len(bodies)])[1] for number in range(each))

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        total = sum(pool.map(tokens, range(callers)))
    return total / (time.perf_counter() - began)


def _compared(what: str, bodies: Sequence[bytes], each: int, limit: float | None) -> Figure:
    """Eight callers beside one, in five rounds."""
    rounds = [(_rate(PORT, bodies, 1, each), _rate(PORT, bodies, TOGETHER, each)) for _ in range(5)]
    alone, many = (statistics.median(side) for side in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    told = f"{TOGETHER} callers, {what}, {many:.0f} tokens/s", f"one caller {alone:.0f} tokens/s"
    return Figure("callers together", *told, len(rounds), ratio, "times", limit, least=True)


def _healthy(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
