"""``sleep`` and ``wake`` at the command line, and what the real adapters make of engines that sleep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestrator.adapters.model_client import HttpModels
from orchestrator.adapters.sleepers import sleeps
from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.inventory import GIB
from orchestrator.observation import Gate
from orchestrator.ports import Endpoint
from tests.builders import container, gpu, spec
from tests.fakes import FakeWorld
from tests.functional.cli import Command, command
from tests.serving import served

PHI = "phi-vllm"


@pytest.fixture
def here() -> FakeWorld:
    """A card of 24 GiB, and phi on it, which holds 10 GiB."""
    phi = spec("phi", gib=8, vllm={"sleep_mode": True}, probe={"expect": "PROBE"})
    found = FakeWorld(phi, spec("new", gib=14, port=26000), spec("small", port=26100), gpus=(gpu(),))

    def use(verb: str) -> None:
        found.gpus.gpus = (gpu(free=22.5 if verb == "sleep" else 12.5),)

    found.models.then = use
    return found


@pytest.fixture
def do(here: FakeWorld, capsys: pytest.CaptureFixture[str]) -> Command:
    """With phi up."""
    run = command(here, capsys)
    assert run("up", "phi", "--mode", "vllm").code == 0
    here.models.then("wake")
    here.log.clear()
    here.models.asked.clear()
    return run


def of_phi(here: FakeWorld) -> str:
    return here.docker.of(PHI).id


def test_up_renders_it(here: FakeWorld, do: Command) -> None:
    words = here.docker.of(PHI).command
    gate, engine = words[: words.index("--")], words[words.index("--") :]
    assert "--sleep-mode" in gate
    assert "--enable-sleep-mode" in engine
    assert '"VLLM_SERVER_DEV_MODE": "1"' in here.workspace.files["orchestrator"][f"{PHI}.yaml"].decode()
    assert here.docker.of(PHI).can_sleep


def test_sleep_tells_what_came_back_and_wake_asks(here: FakeWorld, do: Command) -> None:
    said = do("sleep", "phi")
    assert said.code == 0, said
    assert said.err == f"{PHI}: sleep: asked for\n{PHI}: asleep, 10.00 GiB of GPU GPU-a came back (0.0 s)\n"
    assert here.log == [f"sleep {of_phi(here)}"]
    assert here.models.asked == []
    here.log.clear()
    said = do("wake", "phi")
    assert said.code == 0, said
    assert said.err == f"{PHI}: wake: asked for\n{PHI}: awake (0.0 s)\n{PHI}: ready, answered (0.0 s)\n"
    assert here.log == [f"wake {of_phi(here)}"]
    assert [asked[2] for asked in here.models.asked] == ["Read it."], "the entry's own question"


def test_both_may_be_said_twice(here: FakeWorld, do: Command) -> None:
    """The order goes out again all the same: an earlier one may have been cut off in the middle."""
    do("sleep", "phi")
    said = do("sleep", "phi")
    assert (said.code, said.err.splitlines()[0]) == (0, f"{PHI}: sleep: it is asleep already")
    do("wake", "phi")
    said = do("wake", "phi")
    assert (said.code, said.err.splitlines()[0]) == (0, f"{PHI}: wake: it is awake already")
    assert here.log == [f"{verb} {of_phi(here)}" for verb in ("sleep", "sleep", "wake", "wake")]
    assert len(here.models.asked) == 2


@pytest.mark.parametrize("verb", ["sleep", "wake"])
@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"engine": "transformers"}, 2, ["phi runs on transformers", "where: orchestrator-phi-vllm", "stop phi"]),
        ({"command": ("run", "--")}, 2, ["phi was started without sleep mode", "engines.vllm.sleep_mode to true"]),
        ({"gate": Gate("starting"), "health": "starting"}, 1, ["phi is not ready: starting", "status phi"]),
        ({"state": "exited", "health": "", "gate": None}, 1, ["phi is not ready: stopped"]),
        ({"published": False}, 1, ["phi-vllm is gone, or Docker no longer publishes its port"]),
    ],
)
def test_what_can_not_be_done(
    here: FakeWorld, do: Command, verb: str, changes: dict[str, Any], code: int, words: list[str]
) -> None:
    here.docker.change(PHI, **changes)
    do(verb, "phi").refused(code, *words)
    assert here.log == []


@pytest.mark.parametrize("verb", ["sleep", "wake"])
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no model named"),
        (["web"], 1, "no container of web in project orchestrator"),
        (["phi", "--level", "2"], 2, "No such option"),
    ],
)
def test_what_is_refused(here: FakeWorld, do: Command, verb: str, arguments: list[str], code: int, words: str) -> None:
    do(verb, *arguments).refused(code, words)
    assert here.log == []


@pytest.mark.parametrize("verb", ["sleep", "wake"])
def test_all_or_none(here: FakeWorld, do: Command, verb: str) -> None:
    here.docker.add(container("b", port=25001))
    do(verb, "phi", "b").refused(2, "b runs on transformers")
    assert here.log == []


@pytest.mark.parametrize("verb", ["sleep", "wake"])
def test_what_the_engine_says_is_told(here: FakeWorld, do: Command, verb: str) -> None:
    here.models.refuses[verb] = OrchestratorError("phi did not answer: refused", where="http://x", hint="see the log")
    do(verb, "phi").refused(1, "phi did not answer: refused", "where: http://x")


@pytest.mark.parametrize("verb", ["sleep", "wake"])
def test_both_take_the_lock_and_need_docker(here: FakeWorld, do: Command, verb: str) -> None:
    here.workspace.busy = OrchestratorError("waited 900 s for the lock", hint="wait")
    do(verb, "phi").refused(1, "waited 900 s for the lock")
    here.workspace.busy = None
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    do(verb, "phi").refused(4, "no Docker Engine answers")
    assert here.log == []


def test_an_engine_that_takes_the_order_and_stays_awake(here: FakeWorld, do: Command) -> None:
    here.models.deaf = True
    do("sleep", "phi").refused(1, "phi took the order, and does not say that it sleeps", "where: http://127.0.0.1:")


def test_a_driver_that_does_not_tell(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = ()
    here.models.then = lambda _verb: None
    assert "asleep; the driver does not tell how much memory came back" in do("sleep", "phi").err
    assert do("wake", "phi").code == 0


def test_wake_is_refused_where_the_memory_is_taken(here: FakeWorld, do: Command) -> None:
    do("sleep", "phi")
    assert do("up", "new").code == 0, "it gets the place of the one that sleeps"
    here.log.clear()
    said = do("wake", "phi")
    said.refused(
        3, "phi can't wake: it claims", "orchestrator-new-transformers claims", "'orchestrator stop new' makes"
    )
    assert here.log == []
    do("up", "phi", "--mode", "vllm").refused(3, "phi can't wake: it claims", "'orchestrator stop new' makes room")
    assert here.log == []
    do("down", "new")
    assert do("wake", "phi").code == 0


def test_nothing_sleeps_or_wakes_while_a_neighbour_starts(here: FakeWorld, do: Command) -> None:
    new = container("new", gpus=("GPU-a",), gate=Gate("starting"), health="starting", port=26000)
    here.docker.add(new)
    do("sleep", "phi").refused(1, "orchestrator-new-transformers is starting on the GPU of phi")
    here.docker.change(PHI, gate=Gate("asleep"))
    do("wake", "phi").refused(1, "orchestrator-new-transformers is starting on the GPU of phi")
    assert here.log == []
    here.docker.change("new-transformers", gate=Gate("waiting-memory"))
    assert do("sleep", "phi").code == 0, "it makes room for the one that waits"


def test_wake_where_it_answers_wrongly(here: FakeWorld, do: Command) -> None:
    do("sleep", "phi")
    here.models.answer = "!!!!"
    do("wake", "phi").refused(1, "not ready: phi-vllm", "logs phi")


@pytest.mark.parametrize(("answer", "code"), [(None, 0), (OrchestratorError("broken"), 1)])
def test_wake_of_a_model_that_the_registry_lost(
    here: FakeWorld, do: Command, answer: OrchestratorError | None, code: int
) -> None:
    do("sleep", "phi")
    here.library.models = {}  # type: ignore[attr-defined]
    here.models.fails = answer
    said = do("wake", "phi")
    assert (said.code, "ready, answered" in said.err) == (code, answer is None), said


def test_up_wakes_it(here: FakeWorld, do: Command) -> None:
    do("sleep", "phi")
    here.log.clear()
    said = do("up", "phi", "--mode", "vllm")
    assert said.code == 0, said
    assert f"wake  {PHI}  it is asleep" in said.out
    assert f"{PHI}: ready, answered" in said.err
    assert [line for line in here.log if "compose" not in line] == [f"wake {of_phi(here)}"]
    assert here.docker.of(PHI).ready
    assert "keep" in do("up", "phi", "--mode", "vllm").out


def test_what_wakes_comes_before_what_starts(here: FakeWorld, do: Command) -> None:
    """The start measures the GPU, and would count the waking as its own."""
    do("sleep", "phi")
    here.log.clear()
    assert do("up", "phi", "small").code == 0
    assert [line.split()[0] for line in here.log if not line.startswith(("build", "volumes"))] == ["wake", "compose"]
    assert here.docker.of(PHI).ready


def test_status_shows_it_and_is_content(here: FakeWorld, do: Command) -> None:
    do("sleep", "phi")
    said = do("status")
    assert said.code == 0
    row = next(line for line in said.out.splitlines() if line.startswith("phi"))
    assert "asleep" in row
    assert "'orchestrator wake phi' wakes it" in row
    (entry,) = json.loads(do("status", "--json").out)["models"]
    assert (entry["state"], entry["ready"]) == ("asleep", False)
    assert entry["claim_bytes"] == here.docker.of(PHI).claim > 10 * GIB // 2
    assert do("status", "--probe").code == 0
    assert len(here.models.asked) == 0, "it would be woken by nobody"


def test_ask_says_what_to_do(here: FakeWorld, do: Command) -> None:
    do("sleep", "phi")
    do("ask", "phi", "hi").refused(1, "phi is asleep", "'orchestrator wake phi'")
    assert here.models.asked == []


@pytest.mark.parametrize("verb", ["stop", "restart", "down"])
def test_other_verbs_work_as_ever(here: FakeWorld, do: Command, verb: str) -> None:
    do("sleep", "phi")
    assert do(verb, "phi").code == 0


# --- the real adapters, against vLLM's answers as seen with 0.32.0


class Vllm(BaseHTTPRequestHandler):
    """Answers as vLLM does in development mode; ``state`` is shared by all requests."""

    state: dict[str, Any]

    def do_GET(self) -> None:
        kind = {1: "weights_offloaded", 2: "discard_all"}.get(self.state["level"], "awake")
        if self.path == "/is_sleeping":
            said = self.state["said"]
            self.reply({"is_sleeping": self.state["level"] > 0} if said is None else said)
        else:
            lines = [
                f'vllm:engine_sleep_state{{engine="0",model_name="phi",sleep_state="{name}"}} {float(name == kind)}'
                for name in ("awake", "weights_offloaded", "discard_all")
            ]
            self.reply("\n".join(["# TYPE vllm:engine_sleep_state gauge", *lines, ""]))

    def do_POST(self) -> None:
        self.state["orders"].append(self.path)
        if self.state["broken"]:
            self.reply({"error": {"message": "it broke"}}, 500)
        elif self.path.startswith("/sleep"):
            self.state["level"] = 1
            self.reply({"status": "sleeping", "level": 1})
        else:
            self.state["level"] = 0
            self.reply({"status": "awake", "tags": None})

    def reply(self, body: object, status: int = 200) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture
def vllm() -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    state: dict[str, Any] = {"level": 0, "orders": [], "broken": False, "said": None}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Vllm,), {"state": state}))
    with served(server):
        yield Endpoint("phi", f"http://127.0.0.1:{server.server_address[1]}"), state


def asked(at: Endpoint) -> bool | None:
    return sleeps("127.0.0.1", int(at.base.rpartition(":")[2]))


def test_the_orders_that_go_out(vllm: tuple[Endpoint, dict[str, Any]]) -> None:
    at, state = vllm
    models = HttpModels()
    assert asked(at) is False
    models.sleep(at)
    assert asked(at) is True
    models.wake(at)
    assert asked(at) is False
    assert state["orders"] == ["/sleep?level=1&mode=wait", "/wake_up"]


def test_weights_that_are_gone_are_not_woken(vllm: tuple[Endpoint, dict[str, Any]]) -> None:
    at, state = vllm
    state["level"] = 2
    with pytest.raises(OrchestratorError, match="without keeping its weights") as refused:
        HttpModels().wake(at)
    assert refused.value.hint.startswith("'orchestrator restart phi'")
    assert state["orders"] == []


def test_an_order_that_is_refused_or_not_heard(vllm: tuple[Endpoint, dict[str, Any]]) -> None:
    at, state = vllm
    state["broken"] = True
    with pytest.raises(OrchestratorError, match=r"refused POST /wake_up \(500\).*it broke"):
        HttpModels().wake(at)
    with pytest.raises(OrchestratorError, match="did not answer POST /sleep"):
        HttpModels().sleep(replace(at, base="http://127.0.0.1:1"))


@pytest.mark.parametrize("said", [{"is_sleeping": "yes"}, {"other": True}, [], "not JSON"])
def test_an_answer_that_is_not_vllms(vllm: tuple[Endpoint, dict[str, Any]], said: object) -> None:
    at, state = vllm
    state["said"] = said
    assert asked(at) is None


def test_nobody_there() -> None:
    assert sleeps("127.0.0.1", 1) is None
