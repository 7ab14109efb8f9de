"""Settings for clients: they name what runs, and never a key."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from orchestrator.observation import EVERYWHERE, Gate
from tests.builders import container
from tests.fakes import FakeWorld, parse
from tests.functional.cli import Command

SECRET = "very-secret-key"  # noqa: S105 (no real one)


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "it's a key"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def here(here: FakeWorld, key: str) -> FakeWorld:
    """One model for this host alone, one for the whole network with a key, one that is down."""
    here.docker.add(
        container("a"),
        container("b", "vllm", port=25001, address=EVERYWHERE, key_file=key),
        container("c", port=25002, state="exited", health="", gate=None, published=False),
    )
    return here


def shell(lines: str, *names: str) -> list[str]:
    """What a shell makes of these lines: the values of variables."""
    script = lines + "".join(f'printf "%s\\n" "${name}"\n' for name in names)
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout.splitlines()


def test_open_webui_gets_two_lists_in_the_same_order(do: Command) -> None:
    said = do("export", "open-webui")
    assert (said.code, said.err) == (0, "")
    assert SECRET not in said.out
    assert shell(said.out, "OPENAI_API_BASE_URLS", "OPENAI_API_KEYS") == [
        "http://127.0.0.1:25000/v1;http://127.0.0.1:25001/v1",
        f"none;{SECRET}",
    ]


def test_litellm_gets_a_model_list_with_a_variable_for_the_key(do: Command, key: str) -> None:
    said = do("export", "litellm")
    assert SECRET not in said.out
    assert parse(said.out) == {
        "model_list": [
            {
                "model_name": model,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": f"http://127.0.0.1:{port}/v1",
                    "api_key": word,
                },
                "model_info": {"supports_vision": True},
            }
            for model, port, word in (("a", 25000, "none"), ("b", 25001, "os.environ/ORCHESTRATOR_API_KEY"))
        ]
    }
    assert shell(said.out.partition("\n")[0].removeprefix("# ") + "\n", "ORCHESTRATOR_API_KEY") == [SECRET]


def test_each_key_file_has_a_variable_of_its_own(here: FakeWorld, do: Command) -> None:
    here.docker.change("a-transformers", key_file="/another")
    keys = [each["litellm_params"]["api_key"] for each in parse(do("export", "litellm").out)["model_list"]]
    assert keys == ["os.environ/ORCHESTRATOR_API_KEY", "os.environ/ORCHESTRATOR_API_KEY_2"]


def test_openai_gets_one_server(do: Command) -> None:
    said = do("export", "openai", "b")
    assert SECRET not in said.out
    assert shell(said.out, "OPENAI_BASE_URL", "OPENAI_API_KEY") == ["http://127.0.0.1:25001/v1", SECRET]
    do("export", "openai").refused(2, "there are several: a-transformers, b-vllm", "name one of them, or use --json")


def test_a_program_gets_all_of_it(do: Command, key: str) -> None:
    found = json.loads(do("export", "openai", "--json").out)
    assert found == {
        "schema": 1,
        "client": "openai",
        "network": None,
        "models": [
            {
                "model": "a",
                "service": "a-transformers",
                "base_url": "http://127.0.0.1:25000/v1",
                "api_key_file": None,
                "ready": True,
            },
            {
                "model": "b",
                "service": "b-vllm",
                "base_url": "http://127.0.0.1:25001/v1",
                "api_key_file": key,
                "ready": True,
            },
        ],
    }


def test_a_client_in_a_container_uses_the_project_s_network(do: Command) -> None:
    said = do("--project", "orchestrator", "export", "litellm", "a", "--from-container")
    assert "on the network orchestrator_default: 'docker network connect orchestrator_default NAME'" in said.err
    (found,) = parse(said.out)["model_list"]
    assert found["litellm_params"]["api_base"] == "http://orchestrator-a-transformers:8000/v1"
    assert json.loads(do("export", "openai", "--from-container", "--json").out)["network"] == "orchestrator_default"


def test_what_is_not_ready_yet_is_in_it_and_told(here: FakeWorld, do: Command) -> None:
    here.docker.change("a-transformers", gate=Gate("starting"), health="starting")
    here.pulse.dead.add("a")
    said = do("export", "openai", "a")
    assert said.code == 0
    assert said.err == "note: not ready yet: a-transformers\n"


def test_settings_go_to_a_file(do: Command, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    said = do("export", "litellm", "--output", str(file))
    assert (said.code, said.out, said.err) == (0, "", f"written to {file}\n")
    assert file.read_text(encoding="utf-8") == do("export", "litellm").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["c"], 1, ["nobody can ask it: c-transformers is stopped", "'orchestrator up c' starts it"]),
        (["d"], 1, ["there is no container of d"]),
    ],
)
def test_what_does_not_run_is_refused(do: Command, arguments: list[str], code: int, words: list[str]) -> None:
    do("export", "openai", *arguments).refused(code, *words)


def test_without_a_model_there_is_nothing_to_tell(here: FakeWorld, do: Command) -> None:
    here.docker.containers.clear()
    do("export", "litellm").refused(1, "no model runs in project orchestrator", "'orchestrator up NAME' starts one")


def test_another_client_is_refused(do: Command) -> None:
    do("export", "ollama").refused(2, "'ollama' is not one of 'open-webui', 'litellm', 'openai'")
