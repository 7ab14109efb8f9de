"""vLLM on the CPU, in the image of ours: the demo brought up with it, asked, killed and taken down.

One container serves all tests; they run in the order in which they stand here.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from orchestrator.inventory import MIB
from orchestrator.reference.tasks import PRINTED
from orchestrator.traits import VLLM_CPU_BUILD
from tests.integration.cli import DEMO, REPOSITORY, Cli, read_yaml, steps
from tests.integration.engine import Engine, wait_for
from tests.integration.moments import moments
from tests.printed import picture, strings

KEY = "a-key-of-the-tests-0123456789abcdef"
NAME = "orchestrator-demo-vllm"
TEXTS = strings(24, seed=20261129)
FILES = [REPOSITORY / "orchestrator" / "probe.png", REPOSITORY / "docs" / "sample.png"]
#: Kills vLLM's process that holds the model's worker; the one that answers HTTP goes on for a while.
KILL = 'for p in /proc/[0-9]*; do read -r name <$p/comm; [ "$name" != VLLM::EngineCor ] || kill -9 "${p#/proc/}"; done'


@dataclass(frozen=True)
class Served:
    """The demo on vLLM, and what the Transformers server answered to the same pictures before."""

    cli: Cli
    plan: str
    answers: list[str]
    began: float
    ready: float


def port(engine: str) -> int:
    return int(read_yaml(DEMO)["engines"][engine]["port"])


def client(engine: str, key: str = KEY) -> openai.OpenAI:
    """A client that tries once and asks no proxy."""
    transport = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{port(engine)}/v1", api_key=key, max_retries=0, timeout=60, http_client=transport
    )


def pictures() -> list[bytes]:
    found = []
    for text in TEXTS:
        stream = io.BytesIO()
        picture(text).save(stream, "PNG")
        found.append(stream.getvalue())
    return [*found, *(path.read_bytes() for path in FILES)]


def question(image: bytes) -> Any:
    url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    return [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": "Read the text."},
            ],
        }
    ]


def read(engine: str, images: Sequence[bytes]) -> list[str]:
    """The answers at temperature 0, four pictures at a time."""

    def one(image: bytes) -> str:
        answer = asked.chat.completions.create(model="demo", messages=question(image), temperature=0, max_tokens=16)
        return answer.choices[0].message.content or ""

    with client(engine) as asked, ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, images))


@pytest.fixture(scope="module")
def served(
    engine: Engine, cpu_image: str, vllm_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    cli = Cli(engine, tmp_path_factory.mktemp("vllm"))
    key = cli.state / "orchestrator" / "secrets" / "api_key"
    key.parent.mkdir(parents=True)
    key.write_text(f"{KEY}\n")
    key.chmod(0o640)
    cli.run("up", "demo", timeout=300)
    answers = read("transformers", pictures())
    cli.run("down", "demo")
    began = time.time()
    running = cli.start("up", "demo", "--mode", "vllm", "--api-key")
    running.says("demo-vllm: ready, answered")
    ready = time.time()
    yield Served(cli, running.end().out, answers, began, ready)
    cli.run("down", "demo", code=None)


def test_the_plan_says_whose_build_it_is(served: Served, vllm_image: str) -> None:
    """No registry can be reached here, so that the official image is out of the question."""
    assert steps(served.plan) == {"demo-vllm": "create"}
    assert "comes from a third party's wheels, for trial and tests" in served.plan
    container = served.cli.inspect(NAME)
    assert container["Config"]["Image"] == vllm_image
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert container["Config"]["User"] == "2000:0"
    assert [m["Destination"] for m in container["Mounts"] if m["Type"] == "bind" and "secret" not in m["Source"]] == [
        "/weights/local"
    ]
    assert steps(served.cli.run("up", "demo").out) == {"demo-vllm": "keep"}, "auto keeps the engine that runs"


def test_both_engines_give_the_same_answers(served: Served) -> None:
    answers = read("vllm", pictures())
    assert answers == served.answers
    right = sum(answer == text for answer, text in zip(answers, TEXTS, strict=False))
    assert right >= len(TEXTS) - 2, list(zip(answers, TEXTS, strict=False))
    assert served.cli.run("ask", "demo", "Read the text.", "--image", str(FILES[0])).out == f"{answers[-2]}\n"


def test_vllm_streams_and_asks_for_the_key(served: Served) -> None:
    with client("vllm") as asked:
        stream = asked.chat.completions.create(
            model="demo", messages=question(FILES[0].read_bytes()), temperature=0, max_tokens=16, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == served.answers[-2]
    assert len(pieces) > 3
    with client("vllm", key="another") as asked, pytest.raises(openai.AuthenticationError):
        asked.models.list()


def test_verify_asks_both_engines(served: Served) -> None:
    """vLLM, with its key, where it serves; Transformers in a container that is there for it alone."""
    before = served.cli.ids()
    said = json.loads(served.cli.run("verify", "demo", "--json", timeout=300).out.splitlines()[-1])
    known = {found["engine"]: found for found in said["verifications"]}
    for found in known.values():
        assert (found["outcome"], found["level"], found["gpu"]) == ("answered", "answered", "CPU")
        (check,) = found["checks"]
        assert (check["task"], check["answered"]) == ("printed", PRINTED)
        assert found["figures"]["time_to_first_token_s"] > 0
        assert found["figures"]["tokens_per_s"] > 0
        assert found["figures"]["peak_of"] == "container"
        assert found["figures"]["peak_bytes"] > 100 * MIB
    assert known["vllm"]["figures"]["time_to_ready_s"] is None
    assert known["vllm"]["engine_version"].startswith(VLLM_CPU_BUILD)
    assert known["transformers"]["figures"]["time_to_ready_s"] > 1
    assert known["transformers"]["engine_version"].startswith("5.")
    assert served.cli.ids() == before


def test_ready_is_told_when_it_is_and_not_at_docker_s_next_look(served: Served) -> None:
    """How quickly exactly is measured by .ci/bench; the machine that runs the tests may be busy."""
    found = moments(served.cli.engine, NAME)
    assert served.began < found.started < found.answered < found.asked < found.told
    assert (found.asked - found.answered) + (served.ready - found.told) < 2.5


def test_an_engine_that_is_killed_is_seen_within_ten_seconds(served: Served) -> None:
    served.cli.engine.run("docker", "exec", NAME, "sh", "-c", KILL)

    def told() -> str:
        state = str(served.cli.status(code=None)["demo"]["state"])
        return state if state != "ready" else ""

    assert wait_for(told, "a state other than ready", seconds=10) in {"unresponsive", "pausing"}
    wait_for(lambda: served.cli.status(code=None)["demo"]["state"] == "pausing", "the gate's pause", seconds=30)


def test_down_leaves_the_volumes_and_nothing_else(served: Served) -> None:
    assert "demo-vllm: gone, container and name are gone" in served.cli.run("down", "demo").err
    left = served.cli.engine.objects()
    assert not left.containers
    assert not left.networks
    assert re.search(r"nothing runs", served.cli.run("status").out)
