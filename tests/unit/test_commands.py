"""The argv of each engine, as the gate runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inventory import GIB, Gpu
from orchestrator.memory import Claim, Line
from orchestrator.memory import claim as computed
from orchestrator.plan.commands import engine_command
from orchestrator.plan.images import images_of
from orchestrator.profile import Profile, ladder
from orchestrator.registry.spec import EngineName, ModelSpec, Storage
from tests.builders import PROFILE, claim, gpu, placement, spec

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def best(entry: ModelSpec, engine: EngineName) -> Profile:
    """What the entry asks for."""
    known = entry.engine(engine)
    return ladder(entry, known)[0].profile if known else PROFILE


def vllm(entry: ModelSpec, card: Gpu | None = None, gib: float = 6, **profile: Any) -> tuple[str, ...]:
    chosen = replace(best(entry, "vllm"), **profile)
    on, known = (card or gpu(),) * chosen.gpus, entry.engine("vllm")
    assert known
    image = images_of(known, "gpu")[0]
    return engine_command(entry, placement(engine="vllm", on=on, claim=claim(gib), profile=chosen, image=image))


def transformers(entry: ModelSpec, **placed: Any) -> tuple[str, ...]:
    return engine_command(entry, placement(**{"profile": best(entry, "transformers"), **placed}))


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
    assert after(vllm(spec(vllm={}), gpu(total=card)), "--gpu-memory-utilization") == share


def test_vllm_s_share_is_of_what_cuda_counts() -> None:
    """CUDA leaves out what the driver reserves; where that is not told, a little more."""
    reserves = replace(gpu(total=26), reserved=2 * GIB)
    assert after(vllm(spec(vllm={}), reserves), "--gpu-memory-utilization") == "0.250"
    assert after(vllm(spec(vllm={}), replace(gpu(), reserved=None)), "--gpu-memory-utilization") == "0.257"


@given(st.integers(1, 200 * GIB), st.integers(4, 192), st.integers(0, GIB))
def test_vllm_is_never_given_less_than_its_claim(size: int, card: int, context: int) -> None:
    """But for the context, which is there before vLLM looks; what fits leaves the margin of one percent anyway."""
    on = gpu(total=card)
    size = min(size, on.cuda_total or 0)
    whole = Claim((Line("a", size, "b"), Line("CUDA context", context, "c")), outside=context)
    found = engine_command(spec(vllm={}), placement(engine="vllm", gpu=on, claim=whole))
    share = Decimal(after(found, "--gpu-memory-utilization"))
    assert on.cuda_total
    assert share * on.cuda_total >= size or share == Decimal("0.990")
    assert (share - Decimal("0.001")) * on.cuda_total < size


def test_vllm_s_cache_has_the_bytes_that_the_claim_counts() -> None:
    entry = spec(vllm={"max_num_seqs": 4})
    profile = Profile(1024, 2, None, "16bit")
    found = computed(entry, "vllm", profile, GIB // 2)
    command = engine_command(entry, placement(engine="vllm", gpu=gpu(), claim=found, profile=profile))
    assert after(command, "--kv-cache-memory-bytes") == str((2 * 1024 + 16) * 2 * 2 * 2 * 32 * 2)
    assert after(command, "--max-model-len") == "1024"
    assert after(command, "--max-num-seqs") == "4", "shorter ones may be more than those of full length"


@pytest.mark.parametrize(
    ("image", "has"),
    [
        ("vllm/vllm-openai:v0.10.1", False),
        ("vllm/vllm-openai:v0.10.2", True),
        ("vllm/vllm-openai:v0.11.0", True),
        ("vllm/vllm-openai:v0.33.0", True),
        ("vllm/vllm-openai:latest", True),
        ("localhost:5000/vllm@sha256:" + "a" * 64, True),
    ],
)
def test_the_cache_size_is_told_to_a_vllm_that_knows_the_flag(image: str, has: bool) -> None:
    found = vllm(spec(vllm={"image": image}))
    assert ("--kv-cache-memory-bytes" in found) is has
    assert "--gpu-memory-utilization" in found, "it is checked at the start in every version"


@pytest.mark.parametrize(
    ("image", "limits"),
    [
        ("vllm/vllm-openai:v0.8.4", "image=2,video=0"),
        ("vllm/vllm-openai:v0.8.5", '{"image":2,"video":0}'),
        ("vllm/vllm-openai:latest", '{"image":2,"video":0}'),
    ],
)
def test_the_images_of_a_prompt_are_told_in_the_form_that_vllm_reads(image: str, limits: str) -> None:
    entry = spec(vllm={"image": image}, images={"max_per_prompt": 2})
    assert after(vllm(entry), "--limit-mm-per-prompt") == limits


def test_vllm_on_a_card_whose_memory_can_not_be_read_gets_no_share() -> None:
    found = engine_command(spec(vllm={}), placement(engine="vllm", gpu=gpu(total=None), claim=claim()))
    assert "--gpu-memory-utilization" not in found


def test_vllm_of_a_smaller_profile() -> None:
    entry = spec(vllm={"storages": ["16bit", "fp8"], "max_num_seqs": 4})
    assert "--quantization" not in vllm(entry)
    assert "--enforce-eager" not in vllm(entry)
    assert "--tensor-parallel-size" not in vllm(entry)
    small = vllm(entry, context=512, storage="fp8", graphs=False, gpus=2)
    assert after(small, "--quantization") == "fp8"
    assert "--enforce-eager" in small
    assert after(small, "--tensor-parallel-size") == "2"
    assert after(small, "--max-model-len") == "512"


def test_vllm_converts_to_fp8_where_the_entry_prefers_it() -> None:
    for storages, expected in ((["fp8", "16bit"], True), (["16bit", "fp8"], False)):
        assert ("--quantization" in vllm(spec(vllm={"storages": storages}))) is expected


def test_the_limit_on_pixels_joins_the_processor_s_other_arguments() -> None:
    flags = {"mm-processor-kwargs": '{"min_pixels":3136,"max_pixels":800000}'}
    entry = spec(images={"max_pixels": 800_000, "tokens": 1000}, vllm={"flags": flags})
    assert json.loads(after(vllm(entry, pixels=400_000), "--mm-processor-kwargs")) == {
        "min_pixels": 3136,
        "max_pixels": 400_000,
    }
    bare = spec(images={"max_pixels": 800_000, "tokens": 1000}, vllm={})
    assert after(vllm(bare, pixels=400_000), "--mm-processor-kwargs") == '{"max_pixels":400000}'
    crops = spec(vllm={"flags": {"mm-processor-kwargs": '{"num_crops":16}'}})
    assert after(vllm(crops), "--mm-processor-kwargs") == '{"num_crops":16}'


def test_the_limit_on_tiles_goes_by_the_name_that_the_processor_has_for_it() -> None:
    images = {"tiles": {"most": 12, "extra": 1, "argument": "max_dynamic_patch"}}
    assert after(vllm(spec(images=images, vllm={}), tiles=3), "--mm-processor-kwargs") == '{"max_dynamic_patch":3}'
    flags = {"mm-processor-kwargs": '{"min_dynamic_patch":2,"max_dynamic_patch":12}'}
    assert json.loads(after(vllm(spec(images=images, vllm={"flags": flags}), tiles=6), "--mm-processor-kwargs")) == {
        "min_dynamic_patch": 2,
        "max_dynamic_patch": 6,
    }
    unknown = spec(images={"tiles": {"most": 12}}, vllm={})
    assert "--mm-processor-kwargs" not in vllm(unknown, tiles=12)


def test_a_quantised_model_names_its_quantiser_and_what_it_keeps() -> None:
    part = {"storages": ["int8", "nf4", "16bit"], "keep_16bit": ["vision", "projector"]}

    def found(storage: Storage, **more: str) -> tuple[str, ...]:
        argv = transformers(spec(transformers={**part, **more}), profile=Profile(2048, 1, None, storage))
        begin = argv.index("--quantisation")
        return argv[begin : argv.index("--max-model-len")]

    kept = ("--keep-16bit", "vision", "--keep-16bit", "projector")
    assert found("int8") == ("--quantisation", "int8", "--quantiser", "bitsandbytes", *kept)
    assert found("nf4") == ("--quantisation", "nf4", "--quantiser", "bitsandbytes", *kept)
    assert found("16bit") == ("--quantisation", "none")
    part["storages"] = ["int8", "16bit"]
    assert found("int8", quantiser="torchao")[2:4] == ("--quantiser", "torchao")


def test_our_server_has_its_own_word_for_tiles() -> None:
    found = transformers(spec(images={"tiles": {"most": 12}}), profile=Profile(2048, 1, None, "16bit", tiles=6))
    assert after(found, "--max-tiles") == "6"
    assert "--max-tiles" not in transformers(spec())


def test_our_server_is_told_how_many_answers_it_writes_at_once() -> None:
    found = transformers(spec(transformers={"max_num_seqs": 4}), profile=Profile(2048, 2, None, "16bit"))
    assert after(found, "--max-num-seqs") == "2"


def test_transformers() -> None:
    entry = spec(images={"max_pixels": 200704}, prompt={"stop": ["</s>", "--x"]})
    assert transformers(entry) == (
        *("python3", "-m", "server", "--model", "owner/phi", "--served-name", "phi", "--family", "phi3-vision"),
        *("--host", "0.0.0.0", "--port", "8000", "--device", "cpu", "--dtype", "bfloat16"),
        *("--quantisation", "none", "--max-model-len", "2048", "--max-num-seqs", "1", "--images-at-once", "1"),
        *("--max-images", "1", "--max-pixels", "200704"),
        *("--stop=</s>", "--stop=--x"),
    )


def test_the_key_itself_is_on_no_command_line() -> None:
    assert "--require-api-key" in transformers(spec(), key=True)
    assert "--require-api-key" not in transformers(spec())
    entry = spec(vllm={})
    keyed = placement(engine="vllm", gpu=gpu(), claim=claim(6), profile=best(entry, "vllm"), key=True)
    assert engine_command(entry, keyed) == vllm(entry)


def test_transformers_on_a_gpu() -> None:
    found = transformers(spec(transformers={"storages": ["int8"]}), gpu=gpu(), claim=claim())
    assert after(found, "--device") == "cuda"
    assert after(found, "--quantisation") == "int8"


def test_transformers_caps_itself_at_its_claim_without_the_context() -> None:
    profile = Profile(1024, 1, 100352, "16bit")
    found = computed(spec(), "transformers", profile, GIB // 2)
    command = transformers(spec(), gpu=gpu(), claim=found, profile=profile)
    assert after(command, "--gpu-memory-bytes") == str(found.total - GIB // 2)
    assert after(command, "--max-model-len") == "1024"
    assert after(command, "--max-pixels") == "100352"
    assert "--gpu-memory-bytes" not in transformers(spec())


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


def test_builtin_weights() -> None:
    entry = spec(source={"repository": None, "builtin": "tiny"})
    assert transformers(entry)[3:5] == ("--builtin", "tiny")
    assert "--model" not in transformers(entry)


def test_flags_of_the_entry_are_sorted_and_typed() -> None:
    flags = {"z": 1, "enforce-eager": True, "async-scheduling": False, "a.b": 0.5, "json": '{"a": 1}'}
    assert vllm(spec(vllm={"flags": flags}))[-8:] == (
        *("--a.b", "0.5", "--no-async-scheduling", "--enforce-eager", "--json", '{"a": 1}', "--z", "1"),
    )


def test_flags_reach_our_server_too() -> None:
    assert transformers(spec(transformers={"flags": {"allow-image-urls": True}}))[-1] == "--allow-image-urls"


def test_an_engine_that_the_entry_lacks_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no engine vllm"):
        engine_command(spec(), placement(engine="vllm"))
