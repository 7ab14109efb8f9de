"""A fleet file: what it may hold, every problem at once, and what it asks of the plan."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FileProblems, FitError, RequestError
from orchestrator.fleet.file import FleetFile, parse_fleet
from orchestrator.fleet.spec import Defaults, Fleet, Member, Settings
from orchestrator.inventory import as_named
from orchestrator.plan.options import options
from orchestrator.plan.request import Own, Request
from orchestrator.profile import ladder
from orchestrator.registry.loader import Registry
from orchestrator.registry.spec import ModelSpec
from tests.builders import gpu, host, spec

PATH = Path("team/orchestrator.yaml")
PIXELS = {"max_pixels": 256 * 784, "tokens": 256, "patches": 1024, "bytes_per_patch": 4096, "source": "its config"}


def fleet(models: str = "  phi:\n", head: str = "") -> FleetFile:
    return parse_fleet(PATH, f"schema_version: 1\nproject: ocr\n{head}models:\n{models}")


def registry(*specs: ModelSpec) -> Registry:
    return Registry(MappingProxyType({one.name: one for one in specs or (spec(),)}))


def wrong(models: str, *specs: ModelSpec) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        fleet(models).specs(registry(*specs), ())
    return [str(problem).removeprefix(f"{PATH}:") for problem in caught.value.problems]


def pinned(settings: dict[str, Any], entry: ModelSpec, engine: str = "auto") -> ModelSpec:
    return fleet(f"  phi: {json.dumps({'engine': engine, 'settings': settings})}\n").specs(registry(entry), ())[0]


def test_the_least_that_a_file_holds() -> None:
    found = fleet()
    assert (found.host, found.registries, found.output) == (None, (), Path("team/compose"))
    assert found.chosen(()) == ("phi",)
    assert found.request(Request(())).own == {"phi": Own(address="127.0.0.1")}
    assert found.specs(registry(), ()) == (spec(),)


def test_paths_are_relative_to_the_file() -> None:
    found = fleet(head="host: hosts/a.yaml\nregistry: [models, ../shared]\noutput: out\n")
    assert found.host == Path("team/hosts/a.yaml")
    assert found.registries == (Path("team/models"), Path("team/../shared"))
    assert found.output == Path("team/out")


def test_every_mistake_is_told_at_once() -> None:
    text = """\
schema_version: 2
project: OCR
host: /etc/host.yaml
defaults: {engine: tgi, adress: 127.0.0.1}
models:
  Phi: {}
  demo: {engine: vllm, engine: transformers}
  a: {gpu: true, port: 80}
  b: {gpu: [0, 0], address: here, settings: {max_model_len: 0, max_tokens: 1}}
  c: {gpu: []}
"""
    with pytest.raises(FileProblems) as caught:
        parse_fleet(PATH, text)
    assert [str(problem).removeprefix(f"{PATH}:") for problem in caught.value.problems] == [
        "1 schema_version: must be 1, got 2",
        (
            "2 project: must be 1 to 40 lower-case letters, digits, '-' and '_', beginning with a letter or digit, "
            "got text 'OCR'"
        ),
        "3 host: must be a path relative to this file, with '/' between folders, got text '/etc/host.yaml'",
        "4 defaults.adress: is not a known key; did you mean 'address'?",
        "4 defaults.engine: must be 'auto', 'vllm' or 'transformers', got text 'tgi'",
        "6 models.Phi: must be lower-case words of letters and digits joined by '-', up to 40 characters",
        "7 models.demo.engine: is given twice; the first is in line 7",
        "8 models.a.gpu: must be the position or UUID of a GPU, or a list of them, got true",
        "8 models.a.port: must be at least 1024: lower ports need privileges, got 80",
        "9 models.b.address: must be an IPv4 address of the host, or 0.0.0.0 for all of them, got text 'here'",
        "9 models.b.gpu: must be a list with each GPU once",
        "9 models.b.settings.max_model_len: must be at least 1, got 0",
        "9 models.b.settings.max_tokens: is not a known key; did you mean 'max_tiles'?",
        "10 models.c.gpu: must be the position or UUID of a GPU, or a list of them",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("models: [", "is not YAML"),
        ("- a\n", "must be a mapping of keys to values, got a list"),
        ("schema_version: 1\nproject: ocr\nmodels: {}\n", "models"),
        ("schema_version: 1\nproject: ocr\n", "models: is missing"),
    ],
)
def test_what_is_no_fleet(text: str, words: str) -> None:
    with pytest.raises(FileProblems, match=words):
        parse_fleet(PATH, text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
KEYS = sorted({key for part in (Fleet, Defaults, Member, Settings) for key in part.model_fields} | {"phi"})


@given(path=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4), value=VALUES)
def test_no_value_at_any_place_is_a_crash(path: list[str], value: object) -> None:
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    with contextlib.suppress(FileProblems):
        parse_fleet(PATH, json.dumps({"schema_version": 1, "project": "ocr", "models": {"phi": {}}} | tree))


def test_the_documentation_is_about_this_file() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert list(parse_fleet(PATH, example).fleet.models) == ["dots-ocr", "qwen2-vl-2b", "demo"]
    keys = {key for part in (Fleet, Defaults, Member, Settings) for key in part.model_fields}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_two_models_on_one_port() -> None:
    with pytest.raises(FileProblems, match=r":5 models\.b\.port: 24100 is also the port of a \(line 4\)"):
        fleet("  a: {port: 24100}\n  b: {port: 24100}\n")


def test_a_model_that_is_not_in_it() -> None:
    with pytest.raises(RequestError) as caught:
        fleet().chosen(["demo", "phi"])
    assert caught.value.what == "demo: not in the fleet"
    assert "'demo:' below 'models:'" in caught.value.hint
    assert "--no-fleet" in caught.value.hint


def test_what_it_asks_for_each_model() -> None:
    found = fleet(
        "  a: {engine: vllm, gpu: 0, port: 24100, settings: {max_num_seqs: 2}}\n"
        "  b: {gpu: [0, GPU-x], address: 127.0.0.2, api_key: false, allow_unpinned: false}\n"
        "  c: {address: 10.0.0.1}\n",
        "strategy: spread\ndefaults: {engine: transformers, api_key: true, allow_unpinned: true}\n",
    ).request(Request((), "ocr"))
    assert found.own == {
        "a": Own("vllm", "0", 24100, allow_unpinned=True, address="127.0.0.1", api_key=True),
        "b": Own("transformers", "0,GPU-x", 0, allow_unpinned=False, address="127.0.0.2", api_key=False),
        "c": Own("transformers", "", 0, allow_unpinned=True, address="10.0.0.1", api_key=None),
    }
    assert (found.whole, found.declared, found.strategy, found.models) == (True, True, "spread", ("a", "b", "c"))


def test_the_request_comes_before_the_file() -> None:
    asked = Request(("a",), mode="transformers", gpu="1", port=24101, address="127.0.0.3", strategy="pack")
    found = fleet("  a: {engine: vllm, gpu: 0, port: 24100}\n  b:\n", "strategy: spread\n").request(asked)
    one = found.of("a")
    assert (one.mode, one.gpu, one.port, one.address) == ("transformers", "1", 24101, "127.0.0.3")
    assert (found.whole, found.strategy, list(found.own)) == (False, "pack", ["a"])


def test_of_a_model_without_words_of_its_own_the_request_says_all() -> None:
    asked = Request(("phi",), mode="vllm")
    assert asked.of("phi") is asked


def test_a_pinned_setting_is_the_only_one() -> None:
    entry = spec(
        vllm={"max_model_len": 4096, "max_num_seqs": 8, "storages": ["16bit", "fp8"], "tensor_parallel": [1, 2]}
    )
    engine = pinned({"max_model_len": 2048, "max_num_seqs": 3, "storage": "fp8"}, entry, "vllm").engines.vllm
    assert engine
    profiles = {rung.profile for rung in ladder(entry.model_copy(update={"engines": entry.engines}), engine)}
    assert {(p.context, p.sequences, p.storage) for p in profiles} == {(2048, 3, "fp8")}
    assert {p.gpus for p in profiles} == {1, 2}


def test_a_pinned_image_size_makes_images_smaller() -> None:
    small = {"max_pixels": 64 * 784, "max_model_len": 300}
    entry = spec(images=PIXELS, transformers={"max_model_len": 2048, "smallest": small})
    found = pinned({"max_pixels": 128 * 784}, entry)
    assert (found.images.max_pixels, found.images.tokens, found.images.patches) == (128 * 784, 128, 512)
    assert found.engines.transformers
    assert found.engines.transformers.smallest.max_pixels is None
    assert found.engines.transformers.smallest.max_model_len == 300


def test_the_smallest_context_still_holds_an_image_of_the_pinned_size() -> None:
    small = {"max_pixels": 64 * 784, "max_model_len": 100}
    entry = spec(images=PIXELS, transformers={"max_model_len": 2048, "smallest": small})
    found = pinned({"max_pixels": 256 * 784}, entry).engines.transformers
    assert found
    assert found.smallest.max_model_len == 512


def test_flags_and_variables_are_added() -> None:
    entry = spec(vllm={"flags": {"a": 1, "b": 2}, "environment": {"A": "1"}})
    found = pinned({"flags": {"b": 3, "c": True}, "environment": {"B": "2"}}, entry, "vllm").engines.vllm
    assert found
    assert found.flags == {"a": 1, "b": 3, "c": True}
    assert found.environment == {"A": "1", "B": "2"}


def test_settings_without_an_engine_hold_for_every_engine() -> None:
    found = pinned({"max_num_seqs": 2}, spec(vllm={"max_num_seqs": 4}, transformers={"max_num_seqs": 1})).engines
    assert found.vllm
    assert found.transformers
    assert (found.vllm.max_num_seqs, found.transformers.max_num_seqs) == (2, 2)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("engine: vllm", "4 models.phi.engine: phi has no vllm entry in the registry"),
        (
            "settings: {sleep_mode: true}",
            ("4 models.phi.settings.sleep_mode: is for one engine: name it with 'engine: vllm'"),
        ),
        ("engine: transformers, settings: {sleep_mode: true}", "4 models.phi.settings.sleep_mode: is for vllm only"),
        ("settings: {max_tiles: 2}", "4 models.phi.settings.max_tiles: is for a model with images.tiles only"),
        (
            "settings: {max_model_len: 9999}",
            ("4 models.phi.settings.max_model_len: must be at most the model's context of 4096, got 9999"),
        ),
        (
            "settings: {environment: {HF_TOKEN: x}}",
            (
                "4 models.phi.settings.environment.HF_TOKEN: is a secret: it is "
                "read from a file at run time and has no place in the registry"
            ),
        ),
        (
            "settings: {storage: fp8}",
            ("4 models.phi.settings.storage: must be '16bit' or 'int8' or 'nf4' on transformers, got 'fp8'"),
        ),
    ],
)
def test_settings_that_the_entry_can_not_have(settings: str, problem: str) -> None:
    assert wrong(f"  phi: {{{settings}}}\n") == [problem]


def test_all_of_the_file_is_checked_whatever_was_named() -> None:
    with pytest.raises(FileProblems, match="no model 'pho'"):
        fleet("  phi:\n  pho:\n").specs(registry(), ["phi"])


def test_a_pinned_gpu_is_the_model_s_own() -> None:
    request = fleet("  phi: {gpu: 1}\n").request(Request(())).of("phi")
    found = options(spec(), request, host(gpu("GPU-a"), gpu("GPU-b")), None, {})
    assert {option.pinned for option in found} == {("GPU-b",)}


def test_a_host_is_its_inventory_with_what_is_free() -> None:
    named = host(gpu("GPU-b", free=None), docker="24.0.0")
    found = as_named(named, host(gpu("GPU-a"), gpu("GPU-b", free=3)))
    assert [(one.id, one.index) for one in found.gpus] == [("GPU-b", "0")]
    assert found.gpus[0].free == gpu(free=3).free
    assert found.docker == "24.0.0"


@pytest.mark.parametrize(
    ("real", "words"),
    [(host(), "GPU GPU-a .* is not here"), (host(gpu("GPU-a", 48)), "GPU-a has 48.00 GiB here and 24.00 GiB")],
)
def test_another_host_is_refused(real: Any, words: str) -> None:
    with pytest.raises(FitError, match=words):
        as_named(host(gpu("GPU-a")), real)


def test_weights_in_32_bit_have_no_other_storage() -> None:
    found = wrong("  phi: {settings: {storage: 16bit}}\n", spec(transformers={"dtype": "float32"}))
    assert found == [
        "4 models.phi.settings.storage: is not for a model whose dtype is float32: its weights are stored as they are"
    ]
