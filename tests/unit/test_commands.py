"""The argv of each engine, as the gate runs it."""

from __future__ import annotations

import pytest

from orchestrator.plan.commands import engine_command
from orchestrator.registry.spec import ModelSpec
from tests.builders import claim, gpu, placement, spec

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def vllm(entry: ModelSpec, card_gib: float = 24, gib: float = 6) -> tuple[str, ...]:
    return engine_command(entry, placement(engine="vllm", gpu=gpu(total=card_gib), claim=claim(gib)))


def transformers(entry: ModelSpec) -> tuple[str, ...]:
    return engine_command(entry, placement())


def after(command: tuple[str, ...], flag: str) -> str:
    assert command.count(flag) == 1, flag
    return command[command.index(flag) + 1]


def test_vllm() -> None:
    assert vllm(spec(vllm={"max_num_seqs": 4})) == (
        *("vllm", "serve", "owner/phi", "--served-model-name", "phi", "--host", "0.0.0.0", "--port", "8000"),
        *("--dtype", "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "4"),
        *("--gpu-memory-utilization", "0.250", "--kv-cache-memory-bytes", "0"),
        *("--limit-mm-per-prompt", '{"image":1,"video":0}'),
    )


@pytest.mark.parametrize(("card", "share"), [(24, "0.250"), (80, "0.075"), (7, "0.858"), (6, "0.990"), (5, "0.990")])
def test_vllm_s_share_is_rounded_up_and_never_the_whole_card(card: float, share: str) -> None:
    assert after(vllm(spec(vllm={}), card), "--gpu-memory-utilization") == share


def test_vllm_before_0_11_gets_no_cache_size() -> None:
    assert "--kv-cache-memory-bytes" not in vllm(spec(vllm={"image": "vllm/vllm-openai:v0.10.2"}))


def test_vllm_on_a_card_whose_memory_can_not_be_read_gets_no_share() -> None:
    found = engine_command(spec(vllm={}), placement(engine="vllm", gpu=gpu(total=None), claim=claim()))
    assert "--gpu-memory-utilization" not in found


def test_transformers() -> None:
    assert transformers(spec(images={"max_pixels": 200704}, prompt={"stop": ["</s>", "--x"]})) == (
        *("python3", "-m", "server", "--model", "owner/phi", "--served-name", "phi", "--family", "phi3-vision"),
        *("--host", "0.0.0.0", "--port", "8000", "--device", "cpu", "--dtype", "bfloat16"),
        *("--quantisation", "none", "--max-model-len", "2048", "--max-images", "1", "--max-pixels", "200704"),
        *("--stop=</s>", "--stop=--x"),
    )


def test_vllm_converts_to_fp8_where_the_entry_prefers_it() -> None:
    for storages, expected in ((["fp8", "16bit"], True), (["16bit", "fp8"], False)):
        found = engine_command(spec(vllm={"storages": storages}), placement(engine="vllm"))
        assert ("--quantization" in found) is expected


def test_transformers_on_a_gpu() -> None:
    found = engine_command(spec(transformers={"storages": ["int8"]}), placement(gpu=gpu(), claim=claim()))
    assert after(found, "--device") == "cuda"
    assert after(found, "--quantisation") == "int8"


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_revision_is_pinned(engine: str) -> None:
    entry = spec(source={"revision": COMMIT}, vllm={}, transformers={})
    assert after(vllm(entry) if engine == "vllm" else transformers(entry), "--revision") == COMMIT


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_remote_code_runs_only_where_the_entry_says_so(engine: str) -> None:
    for remote in (True, False):
        entry = spec(source={"remote_code": remote}, vllm={}, transformers={})
        assert ("--trust-remote-code" in (vllm(entry) if engine == "vllm" else transformers(entry))) is remote


def test_a_local_folder_takes_the_place_of_repository_and_revision() -> None:
    entry = spec(source={"path": "/models/phi", "revision": COMMIT}, vllm={}, transformers={})
    assert vllm(entry)[2] == "/weights/local"
    assert after(transformers(entry), "--model") == "/weights/local"
    assert "--revision" not in (*vllm(entry), *transformers(entry))


def test_a_recipe() -> None:
    entry = spec(source={"repository": None, "recipe": {"name": "tiny", "seed": 7}})
    assert transformers(entry)[3:7] == ("--recipe", "tiny", "--seed", "7")
    assert "--model" not in transformers(entry)


def test_flags_of_the_entry_are_sorted_and_typed() -> None:
    flags = {"z": 1, "enforce-eager": True, "async-scheduling": False, "a.b": 0.5, "json": '{"a": 1}'}
    assert vllm(spec(vllm={"flags": flags}))[-8:] == (
        *("--a.b", "0.5", "--no-async-scheduling", "--enforce-eager", "--json", '{"a": 1}', "--z", "1"),
    )


def test_an_engine_that_the_entry_lacks_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no engine vllm"):
        vllm(spec())
