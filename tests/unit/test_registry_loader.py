"""Files of text to a Registry, or to every problem of every file."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import FileProblems, Problem, RequestError
from orchestrator.registry.loader import Registry, SourceFile, load
from orchestrator.registry.spec import ModelSpec
from tests.unit.registry_texts import VLLM_LINE, changed, entry

PORT_LINE = VLLM_LINE + 1


def problems(*layers: dict[str, str]) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        registry(*layers)
    return [str(problem) for problem in caught.value.problems]


def registry(*layers: dict[str, str]) -> Registry:
    return load([[SourceFile(name, text) for name, text in layer.items()] for layer in layers])


def wrong(text: str) -> list[str]:
    """The problems of one file models/phi.yaml."""
    return [problem.removeprefix("models/phi.yaml:") for problem in problems({"models/phi.yaml": text})]


def test_a_valid_entry_becomes_a_frozen_value() -> None:
    found = registry({"models/phi.yaml": entry()})
    assert list(found.models) == ["phi"]
    assert found.get("phi").engines.vllm is not None
    with pytest.raises(TypeError):
        found.models["other"] = found.get("phi")  # type: ignore[index]


TEN_MISTAKES = """\
schema_version: 2
name: Phi
title: 12
summary: A model
source:
  repository: --trust-remote-code
  revision: main
  remote_code: yes
architecture:
  name: PhiForCausalLM
  model_type: phi
  family: phi4
  layers: 0
  kv_heads: 2
  head_size: 32
  hidden_size: 128
  contexts: 4096
  source: its config
parameters: {total: 1000, modules: [{part: vision, kind: head, count: 1200, rows: 1}], source: its config}
images: []
prompt: {template: "{image}{question}", temperature: 3.5, stop: end}
probe: {prompt: ""}
engines:
  vllm:
    evidence: {level: none}
    port: 80
    port: 8000
    max_model_len: 0
    image: vllm/vllm-openai:v0.33.0
    flags: {dtype: half, --seed: 1, other: [1]}
    environment: {HF_TOKEN: secret, "A B": x}
known:
  - {text: one, source: two}
  - {text: 007}
"""

FAMILY_PROBLEM = (
    "12 architecture.family: must be 'qwen2-vl', 'got-ocr2', 'dots-ocr', 'phi3-vision', 'internvl2' or 'moondream2', "
    "got text 'phi4'"
)
HF_PROBLEM = (
    "31 engines.vllm.environment.HF_TOKEN: is a secret: "
    "it is read from a file at run time and has no place in the registry"
)
VLLM_KEYS = (
    "report, possible, known, problems, evidence, port, devices, dtype, max_model_len, max_num_seqs, storages, "
    "keep_16bit, smallest, flags, environment, shm_mib, image, cpu_image, tensor_parallel, "
    "sleep_mode"
)


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line() -> None:
    assert wrong(TEN_MISTAKES) == [
        "1 schema_version: must be 1, got 2",
        "2 name: must be lower-case words of letters and digits joined by '-', up to 40 characters, got text 'Phi'",
        "2 name: must be the name of the file, 'phi', got 'Phi'",
        "3 title: must be text, got 12; put it in quotes",
        "5 source.licence: is missing",
        "6 source.repository: must be a repository like owner/name, got text '--trust-remote-code'",
        "7 source.revision: must be a commit of 40 hexadecimal digits, since a branch or tag can move, got text 'main'",
        "8 source.remote_code: must be true or false, got text 'yes'",
        "9 architecture.context: is missing",
        FAMILY_PROBLEM,
        "13 architecture.layers: must be at least 1, got 0",
        "17 architecture.contexts: is not a known key; did you mean 'context'?",
        "19 parameters.modules.0.matrices: is needed for kind head",
        "20 images: must be a mapping of keys to values, got a list",
        "21 prompt.stop: must be a list, got text 'end'",
        "21 prompt.temperature: must be at most 2.0, got 3.5",
        "22 probe.prompt: must not be empty",
        "26 engines.vllm.port: must be at least 1024: lower ports need privileges, got 80",
        "27 engines.vllm.port: is given twice; the first is in line 26",
        "28 engines.vllm.max_model_len: must be at least 1, got 0",
        "30 engines.vllm.flags.--seed: is written without the dashes in front",
        "30 engines.vllm.flags.other: must be text, a number, or true or false, got a list",
        "31 engines.vllm.environment.A B: is not a name of an environment variable",
        HF_PROBLEM,
        "34 known.1.source: is missing",
        "34 known.1.text: 007 begins with a zero, which some readers take as octal; drop it, or quote it as text",
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("max_model_len: 2048", "max_model_len: 0", "engines.vllm.max_model_len: must be at least 1, got 0"),
        (
            "max_model_len: 2048",
            "max_model_len: 8192",
            "engines.vllm.max_model_len: must be at most the model's context of 4096, got 8192",
        ),
        (
            "max_model_len: 2048",
            "max_model_len: 256",
            "engines.vllm.max_model_len: must be more than the 256 tokens of one image (images.tokens), got 256",
        ),
        (
            "max_model_len: 2048",
            "max_model_len: 2048.0",
            "engines.vllm.max_model_len: must be a whole number, got 2048.0",
        ),
        ("max_model_len: 2048", "max_model_len:", "engines.vllm.max_model_len: must be a whole number, got nothing"),
    ],
)
def test_lengths(before: str, after: str, expected: str) -> None:
    assert wrong(changed(before, after)) == [f"{VLLM_LINE + 2} {expected}"]


NOT_AN_ARGUMENT = "is not a name of a processor's argument: lower-case words joined by '_', got text 'num-crops'"


def test_tiles_that_can_not_be_are_told_with_their_lines() -> None:
    images = "images:\n  tiles: {{most: 12, extra: {extra}, argument: {argument}}}\n"
    line = entry().splitlines().index("images:") + 2
    assert wrong(changed("images:\n", images.format(extra=-1, argument="num-crops"))) == [
        f"{line} images.tiles.argument: {NOT_AN_ARGUMENT}",
        f"{line} images.tiles.extra: must be at least 0, got -1",
    ]
    both = changed("images:\n", images.format(extra=1, argument="num_crops") + "  max_pixels: 784\n")
    assert wrong(both) == [f"{line} images.tiles: is for a model without images.max_pixels: an image has one limit"]


def test_a_length_beyond_the_context_is_told_beside_other_mistakes() -> None:
    text = changed("title: Phi", "title: ''", changed("max_model_len: 2048", "max_model_len: 8192"))
    assert len(wrong(text)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("flags: {max-model-len: 4}", "flags.max-model-len: is not for flags: it follows from max_model_len"),
        ("flags: {api-key: x}", "flags.api-key: is not for flags: it follows from the API key's file"),
        ("flags: {A: 4}", "flags.A: is not a name of a flag: lower-case words joined by '-'"),
        ("environment: {VLLM_PORT: '1'}", "environment.VLLM_PORT: is used by vLLM internally"),
        (
            "environment: {VLLM_SERVER_DEV_MODE: '1'}",
            "environment.VLLM_SERVER_DEV_MODE: is not for environment: it follows from sleep_mode",
        ),
        (
            "flags: {enable-sleep-mode: true}",
            "flags.enable-sleep-mode: is not for flags: it follows from sleep_mode",
        ),
        ("environment: {A: 1}", "environment.A: must be text, got 1; put it in quotes"),
        ("flags: {swap-space: 4}", "flags.swap-space: is not known to vLLM 0.33.0: gone since 0.18.0"),
        ("quantisation: int8", f"quantisation: is not a known key; known here: {VLLM_KEYS}"),
        ("devices: [gpu, tpu]", "devices.1: must be 'gpu' or 'cpu', got text 'tpu'"),
    ],
)
def test_engine_settings(line: str, message: str) -> None:
    assert wrong(entry() + f"    {line}\n") == [f"{VLLM_LINE + 4} engines.vllm.{message}"]


def test_an_architecture_by_which_vllm_serves_another_model_is_impossible_there() -> None:
    trap = changed("name: PhiForCausalLM", "name: HfMoondream")
    assert wrong(trap) == [
        f"{VLLM_LINE - 1} engines.vllm.possible: must be false: vLLM serves another model by the name HfMoondream"
    ]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("repository: null", "5 source: needs one of repository, path or builtin"),
        (
            "repository: owner/phi\n  builtin: x",
            "5 source: builtin weights come with orchestrator: remove repository and path, or builtin",
        ),
        ("path: ../x", "6 source.path: must be an absolute path without '..', got text '../x'"),
        ("repository: a/b/c", "6 source.repository: must be a repository like owner/name, got text 'a/b/c'"),
    ],
)
def test_sources(after: str, message: str) -> None:
    assert wrong(changed("repository: owner/phi", after)) == [message]


def test_a_flag_that_an_older_image_does_not_take_is_told() -> None:
    older = changed("v0.33.0", "v0.8.5")
    assert wrong(f"{older}    flags: {{async-scheduling: true, x: false}}\n") == [
        f"{VLLM_LINE + 4} engines.vllm.flags.async-scheduling: is not known to vLLM 0.8.5: since 0.10.0",
        f"{VLLM_LINE + 4} engines.vllm.flags.x: can't be false in vLLM 0.8.5: the form --no-x came with 0.9.0",
    ]


def test_the_image_for_the_cpu_is_looked_at_too() -> None:
    text = f"{entry()}    cpu_image: x:v0.9.0\n    flags: {{async-scheduling: true}}\n"
    assert wrong(text) == [
        f"{VLLM_LINE + 5} engines.vllm.flags.async-scheduling: is not known to vLLM 0.9.0: since 0.10.0"
    ]


def test_an_architecture_that_an_older_image_does_not_know_is_told() -> None:
    older = changed("v0.33.0", "v0.10.2", changed("PhiForCausalLM", "DotsOCRForCausalLM"))
    place = f"{VLLM_LINE + 3} engines.vllm.image"
    assert wrong(older) == [f"{place}: DotsOCRForCausalLM is not known to vLLM 0.10.2: since 0.11.0"]


@pytest.mark.parametrize("key", ["tensor_parallel: [1, 2]", "devices: [gpu, cpu]"])
def test_several_processes_need_shared_memory(key: str) -> None:
    text = f"{entry()}    {key}\n    shm_mib: "
    assert wrong(f"{text}160\n") == [
        (
            f"{VLLM_LINE + 5} engines.vllm.shm_mib: must be at least 161 on the CPU and over several GPUs, "
            "where vLLM's processes share memory"
        )
    ]
    assert registry({"models/phi.yaml": f"{text}161\n"}).models


def test_one_gpu_needs_little_shared_memory() -> None:
    assert registry({"models/phi.yaml": entry() + "    shm_mib: 16\n"}).get("phi").engines.vllm


def test_the_root_must_be_a_mapping() -> None:
    assert wrong("- a\n- b\n") == ["1: must be a mapping of keys to values, got a list"]


@pytest.mark.parametrize("port", [1023, 32768, 60999, 65536])
def test_ports_that_can_not_be_used(port: int) -> None:
    (message,) = wrong(entry(port=port))
    assert message.startswith(f"{VLLM_LINE + 1} engines.vllm.port: must be ")


@pytest.mark.parametrize("port", [1024, 32767, 61000, 65535])
def test_ports_that_can_be_used(port: int) -> None:
    assert registry({"phi.yaml": entry(port=port)}).models


def test_a_later_layer_adds_and_replaces_whole_entries() -> None:
    found = registry(
        {"models/a.yaml": entry("a", 25001), "models/c.yaml": entry("c", 25003)},
        {"mine/b.yaml": entry("b", 25002), "mine/c.yaml": changed("A model", "Mine", entry("c", 25003))},
    )
    assert [(name, spec.summary) for name, spec in found.models.items()] == [
        ("a", "A model"),
        ("b", "A model"),
        ("c", "Mine"),
    ]


def test_a_port_may_be_given_only_once_in_the_registry() -> None:
    assert problems({"models/a.yaml": entry("a")}, {"mine/b.yaml": entry("b")}) == [
        f"mine/b.yaml:{PORT_LINE} engines.vllm.port: 25000 is also the port of a on vllm (models/a.yaml:{PORT_LINE})"
    ]


def test_both_engines_of_an_entry_need_their_own_port() -> None:
    both = entry() + "  transformers: {evidence: {level: none}, port: 25000, max_model_len: 2048}\n"
    (message,) = wrong(both)
    told = f"engines.transformers.port: 25000 is also the port of phi on vllm (models/phi.yaml:{PORT_LINE})"
    assert message == f"{VLLM_LINE + 4} {told}"


def test_an_entry_that_is_replaced_gives_its_port_back() -> None:
    assert registry({"a.yaml": entry("a", 25001)}, {"a.yaml": entry("a", 25002), "b.yaml": entry("b", 25001)}).models


def test_a_name_may_be_given_only_once_in_a_folder() -> None:
    found = problems({"mine/a.yaml": entry("a", 25001), "mine/a.yml": entry("a", 25002)})
    assert found == ["mine/a.yml:2 name: 'a' is also the name in mine/a.yaml:2"]


def test_a_name_may_not_be_a_service_name() -> None:
    for name in ("a-vllm", "a-vllm-2"):
        assert problems({"m/a.yaml": entry("a", 25001), f"m/{name}.yaml": entry(name, 25002)}) == [
            f"m/{name}.yaml:2 name: is also the service name of a on vllm (m/a.yaml:2)"
        ]
    assert registry({"m/a.yaml": entry("a", 25001), "m/a-transformers.yaml": entry("a-transformers", 25002)}).models


def test_problems_of_all_files_come_together_and_in_order() -> None:
    found = [Problem("no/folder", 0, "", "can't be read")]
    files = [SourceFile("b.yaml", "a: [\n"), SourceFile("a.yaml", changed("title: Phi\n", "", entry("a")))]
    with pytest.raises(FileProblems) as caught:
        load([files], found)
    assert [str(problem) for problem in caught.value.problems] == [
        "a.yaml:1 title: is missing",
        "b.yaml:2: is not YAML: expected the node content, but found '<stream end>'",
        "no/folder: can't be read",
    ]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("qwen2-vl", "did you mean qwen2-vl-2b or qwen2-vl-7b?"),
        ("qwen2vl2b", "did you mean qwen2-vl-2b or qwen2-vl-7b?"),
        ("owner/Some-Hub.Name", "did you mean phi?"),
        ("zzz", "known models: phi, qwen2-vl-2b, qwen2-vl-7b"),
        ("", "known models: phi, qwen2-vl-2b, qwen2-vl-7b"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest_names(name: str, hint: str) -> None:
    found = registry(
        {
            "phi.yaml": changed("owner/phi", "owner/Some-Hub.Name", entry()),
            "qwen2-vl-2b.yaml": entry("qwen2-vl-2b", 25001),
            "qwen2-vl-7b.yaml": entry("qwen2-vl-7b", 25002),
        }
    )
    with pytest.raises(RequestError) as caught:
        found.get(name)
    assert caught.value.what == f"there is no model {name!r} in the registry"
    assert caught.value.hint == hint


def test_select_keeps_the_order_and_names_every_unknown_model() -> None:
    found = registry({"a.yaml": entry("a", 25001), "b.yaml": entry("b", 25002)})
    assert [spec.name for spec in found.select(["b", "a", "b"])] == ["b", "a"]
    with pytest.raises(RequestError, match="there is no model 'x' and no model 'y' in the registry"):
        found.select(["x", "a", "y"])


def test_the_schema_of_a_spec_survives_a_round_trip() -> None:
    spec = registry({"phi.yaml": entry()}).get("phi")
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def _outcome(text: str) -> None:
    found: tuple[Problem, ...] = ()
    try:
        load([[SourceFile("models/phi.yaml", text)]])
    except FileProblems as error:
        found = error.problems
    assert all(0 <= problem.line <= len(text) + 1 for problem in found)


@given(st.text(st.characters(exclude_categories=())))
@example("%YAML 1.1\n---\nname: yes\n")
@example("<<: *x")
@example("!<tag:yaml.org,2002:binary> x: y")
@settings(max_examples=300)
def test_any_text_is_a_registry_or_problems(text: str) -> None:
    _outcome(text)


_PIECES = st.sampled_from(
    [
        *"\n\t :-?[]{}#&*!|>'\"%@`,~",
        *("\n  ", "\n    ", ": ", "- ", "? ", "<<", "&a ", "*a", "!!set ", "---\n", "...\n", "\\x", "\ufeff"),
        *("name", "phi", "source", "engines", "vllm", "flags", "port", "known", "null", ".nan", "0o17", "1e5"),
    ]
)


@given(st.lists(_PIECES, max_size=40).map("".join))
@settings(max_examples=400)
def test_any_text_made_of_yaml_is_a_registry_or_problems(text: str) -> None:
    _outcome(text)


@given(st.data())
@settings(max_examples=200)
def test_an_entry_with_any_line_replaced_is_a_registry_or_problems(data: st.DataObject) -> None:
    lines = entry().splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key = lines[at].partition(":")[0]
    value = data.draw(st.lists(_PIECES, max_size=8).map("".join) | st.integers().map(str) | st.floats().map(str))
    _outcome("\n".join([*lines[:at], f"{key}: {value}", *lines[at + 1 :]]))
