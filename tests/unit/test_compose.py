"""Documents: what Compose reads back is what was decided, whatever the strings hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.compose import TEMPLATES, VOLUMES, check, fleet
from orchestrator.errors import FitError, RequestError
from orchestrator.observation import LABEL
from orchestrator.plan.placement import Placement, Placements
from orchestrator.profile import Profile
from orchestrator.profile import parse as parse_profile
from orchestrator.registry.spec import EngineName, ModelSpec
from orchestrator.secretfile import API_KEY, HF_TOKEN
from tests.builders import PROFILE, claim, gpu, placement, rendered, spec
from tests.fakes import parse
from tests.templates import TEXTS

NASTY = (
    ": # { } [ ] $ $$ ${HOME} $(id) \" \\ ' \n\tkey: value\r- a\x00\x1b\x85\u2028\u2029\ufeff\U0001f600 {{ x }} {% y %}"
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
FLEET = next(name for name in TEMPLATES if "fleet" in name)


SMALL = Profile(1024, 1, None, "16bit", graphs=False)


def on_gpu(entry: ModelSpec, **changes: Any) -> Placement:
    values = {"engine": "vllm" if entry.engines.vllm else "transformers", "gpu": gpu(), "claim": claim(5), **changes}
    return placement(entry.name, **values)


def service(text: str) -> dict[str, Any]:
    (found,) = parse(text)["services"].values()
    assert isinstance(found, dict)
    return found


def nasty(text: str) -> ModelSpec:
    """An entry with that text wherever free text may stand."""
    return spec(
        title=text,
        summary=text,
        source={"path": f"/models/{text.replace('..', '__')}", "licence": text},
        prompt={"template": text, "stop": [text, "</s>"]},
        probe={"prompt": text},
        transformers={"image": "a/b:1", "flags": {"chat-template": text}, "environment": {"EXTRA": text}},
        known=[{"text": text, "source": text}],
    )


@settings(max_examples=30)
@given(TEXT)
@example(NASTY)
@example("\n  evil:\n    privileged: true")
@example('"\n    privileged: true\n    x: "')
def test_any_text_reads_back_and_injects_nothing(text: str) -> None:
    entry = nasty(text)
    found = rendered(entry, placement(warnings=(f"phi: {text}",)))
    document = parse(found.text)
    assert set(document) == {"name", "services", "volumes"}
    assert set(document["services"]) == {"phi-transformers"}
    plain = parse(rendered(nasty("x")).text)["services"]["phi-transformers"]
    read = document["services"]["phi-transformers"]
    assert set(read) == set(plain)
    assert tuple(read["command"]) == found.command
    assert f"--stop={text}" in read["command"]
    assert read["command"][read["command"].index("--chat-template") + 1] == text
    assert read["environment"]["EXTRA"] == text
    assert read["volumes"][3]["source"] == f"/models/{text.replace('..', '__')}"


@settings(max_examples=30)
@given(TEXT, TEXT)
def test_the_fleet_file_can_not_be_broken_by_names(host: str, said: str) -> None:
    text = fleet(Placements((), (FitError(said),)), "orchestrator", host, [rendered(spec())], TEXTS[FLEET], ())
    assert parse(text) == {"name": "orchestrator", "include": ["phi-transformers.yaml"]}


def test_a_whole_service_on_a_gpu() -> None:
    found = service(rendered(spec(vllm={"shm_mib": 2048}), on_gpu(spec(vllm={}), profile=SMALL)).text)
    assert found["container_name"] == "orchestrator-phi-vllm"
    assert found["image"] == "vllm/vllm-openai:v0.33.0"
    assert found["entrypoint"] == ["python3", "/opt/orchestrator/gate"]
    assert found["command"][:10] == [
        *("run", "--name", "orchestrator-phi-vllm", "--port", "8000"),
        *("--gpu", "GPU-a", "--claim-mib", "5120", "--"),
    ]
    assert found["ports"] == ["127.0.0.1:25000:8000"]
    assert found["deploy"] == {
        "resources": {
            "reservations": {"devices": [{"driver": "nvidia", "device_ids": ["GPU-a"], "capabilities": ["gpu"]}]}
        }
    }
    assert found["shm_size"] == str(2 << 30)
    assert found["user"] == "2000:0"
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["restart"] == "unless-stopped"
    check = found["healthcheck"]["test"]
    assert (check[:2], check[-2:]) == (["CMD", "python3"], ["--wait", "4"])
    labels = found["labels"]
    assert labels[f"{LABEL}gpus"] == "GPU-a"
    assert labels[f"{LABEL}claim"] == str(5 << 30)
    assert labels[f"{LABEL}model"] == "phi"
    assert labels[f"{LABEL}schema"] == "1"
    assert parse_profile(labels[f"{LABEL}profile"]) == SMALL
    assert parse_profile(labels[f"{LABEL}best"]) == PROFILE


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_what_never_appears(engine: str) -> None:
    entry = spec(vllm={}, transformers={})
    found = service(rendered(entry, on_gpu(entry, engine=engine)).text)
    assert not {"depends_on", "gpus", "runtime", "privileged", "networks", "build"} & set(found)


def test_a_cpu_service_reserves_and_claims_nothing() -> None:
    found = service(rendered(spec()).text)
    assert "deploy" not in found
    assert "--gpu" not in found["command"]
    assert "--claim-mib" not in found["command"]
    assert found["labels"][f"{LABEL}gpus"] == ""


@pytest.mark.parametrize(
    ("docker", "there"),
    [("20.10.24+dfsg1", False), ("24.0.9", False), ("25.0.0", True), ("28.5.2", True), ("", False)],
)
def test_start_interval_only_where_docker_knows_it(docker: str, there: bool) -> None:
    assert ("start_interval" in service(rendered(spec(), docker=docker).text)["healthcheck"]) is there


def test_rendering_twice_gives_the_same_bytes() -> None:
    flags = {"b": 1, "a": "x", "c": True}
    one = rendered(spec(transformers={"flags": flags, "environment": {"B": "1", "A": "2"}}))
    other = rendered(
        spec(transformers={"flags": dict(reversed(flags.items())), "environment": {"A": "2", "B": "1"}}),
    )
    assert one.text == other.text


def test_the_digest_is_in_a_label_and_changes_only_with_the_service() -> None:
    base = rendered(spec())
    assert service(base.text)["labels"][f"{LABEL}digest"] == base.digest
    assert rendered(spec(title="Another", summary="Other words")).digest == base.digest
    assert rendered(spec(), placement(warnings=("a remark",))).digest == base.digest


@pytest.mark.parametrize(
    "changed",
    [
        rendered(spec(transformers={"environment": {"A": "1"}})),
        rendered(spec(transformers={"flags": {"a": 1}})),
        rendered(spec(transformers={"shm_mib": 512})),
        rendered(spec(transformers={"image_family": "tf4"})),
        rendered(spec(prompt={"stop": ["</s>"]})),
        rendered(spec(), placement(port=25001)),
        rendered(spec(), placement(address="0.0.0.0")),
        rendered(spec(), placement(key=True)),
        rendered(spec(), placement(project="other")),
        rendered(spec(), on_gpu(spec())),
        rendered(spec(), docker="20.10.24"),
    ],
)
def test_every_change_of_the_service_changes_the_digest(changed: Any) -> None:
    assert changed.digest != rendered(spec()).digest


def test_what_files_share_is_the_same_to_the_byte() -> None:
    one, other = rendered(spec()).text, rendered(spec("other", vllm={}), on_gpu(spec("other", vllm={}))).text
    assert one.partition("\nvolumes:\n")[2] == other.partition("\nvolumes:\n")[2]
    assert 'name: "orchestrator"\n' in one
    assert 'name: "orchestrator"\n' in other
    assert parse(one)["volumes"] == {name: {"external": True} for name, _ in VOLUMES}


def test_a_gated_model_gets_its_token_as_a_file() -> None:
    found = rendered(spec(source={"gated": True}))
    document = parse(found.text)
    assert found.secrets == (HF_TOKEN,)
    assert document["secrets"] == {"hf_token": {"file": "${ORCHESTRATOR_HF_TOKEN_FILE:-./secrets/hf_token}"}}
    assert document["services"]["phi-transformers"]["secrets"] == ["hf_token"]
    assert document["services"]["phi-transformers"]["environment"]["HF_TOKEN_PATH"].startswith("/run/secrets/")


@pytest.mark.parametrize("source", [{"gated": False}, {"gated": True, "path": "/models/phi"}])
def test_no_secret_where_none_is_needed(source: dict[str, Any]) -> None:
    found = rendered(spec(source=source))
    assert found.secrets == ()
    assert "secrets" not in found.text
    assert "HF_TOKEN" not in found.text


@pytest.mark.parametrize(
    ("engine", "variable", "required"),
    [("transformers", "ORCHESTRATOR_API_KEY", True), ("vllm", "VLLM_API_KEY", False)],
)
def test_the_api_key_comes_as_a_file_through_the_gate(engine: EngineName, variable: str, required: bool) -> None:
    entry = spec(vllm={}, transformers={})
    found = rendered(entry, placement(engine=engine, gpu=gpu(), claim=claim(5), address="0.0.0.0", key=True))
    document = parse(found.text)
    assert found.secrets == (API_KEY,)
    assert document["secrets"] == {"api_key": {"file": "${ORCHESTRATOR_API_KEY_FILE:-./secrets/api_key}"}}
    served = service(found.text)
    assert served["secrets"] == ["api_key"]
    assert served["ports"] == ["0.0.0.0:25000:8000"]
    gate = served["command"][: served["command"].index("--")]
    assert gate[-2:] == ["--secret", f"{variable}=/run/secrets/api_key"]
    assert ("--require-api-key" in served["command"]) is required
    assert not any("api-key" in word for word in served["command"] if not required)
    assert variable not in served["environment"]


def test_a_gated_model_with_a_key_has_both_files() -> None:
    found = rendered(spec(source={"gated": True}), placement(key=True))
    assert found.secrets == (HF_TOKEN, API_KEY)
    assert service(found.text)["secrets"] == ["hf_token", "api_key"]
    assert set(parse(found.text)["secrets"]) == {"hf_token", "api_key"}


def test_the_file_with_the_key_is_wanted_only_where_there_is_a_key() -> None:
    assert rendered(spec(), placement(key=True)).desired("", "/k").key_file == "/k"
    assert rendered(spec()).desired("", "/k").key_file == ""


def test_a_foreign_image_gets_the_gate_mounted() -> None:
    found = rendered(spec(transformers={"image": "mine/server:1"}))
    assert found.beside == ("gate",)
    assert service(found.text)["volumes"][-1] == {
        "type": "bind",
        "source": "./gate",
        "target": "/opt/orchestrator/gate",
        "read_only": True,
        "bind": {"create_host_path": False},
    }
    assert not rendered(spec()).beside


def test_a_local_folder_is_mounted_read_only() -> None:
    found = service(rendered(spec(source={"path": "/models/phi"})).text)
    assert found["volumes"][3]["source"] == "/models/phi"
    assert found["volumes"][3]["target"] == "/weights/local"
    assert found["volumes"][3]["read_only"] is True
    assert found["command"][found["command"].index("--model") + 1] == "/weights/local"


def test_the_entry_s_environment_wins() -> None:
    found = service(rendered(spec(transformers={"environment": {"HF_HOME": "/elsewhere"}})).text)
    assert found["environment"]["HF_HOME"] == "/elsewhere"


def test_the_image_of_ours_follows_the_device() -> None:
    assert rendered(spec()).image.reference.endswith("-tf5-cpu")
    assert rendered(spec(), on_gpu(spec())).image.reference.endswith("-tf5-cuda")


def test_the_fleet_file_includes_what_fits_together() -> None:
    one, other = (
        rendered(spec("one"), placement("one")),
        rendered(spec("other"), placement("other", port=25001, fleet=False)),
    )
    text = fleet(
        Placements((one.placement, other.placement), (FitError("third needs a GPU"),)),
        "orchestrator",
        "here",
        [one, other],
        TEXTS[FLEET],
        ["zero-vllm.yaml"],
    )
    assert parse(text)["include"] == ["one-transformers.yaml", "zero-vllm.yaml"]
    assert "# Not included, does not fit beside the others: other-transformers." in text
    assert "# Not rendered: third needs a GPU." in text


def test_an_empty_fleet_is_a_file_too() -> None:
    assert parse(fleet(Placements(()), "orchestrator", "here", [], TEXTS[FLEET], ())) == {
        "name": "orchestrator",
        "services": {},
    }


def test_clashes_are_all_named() -> None:
    one, other = rendered(spec("one"), placement("one")), rendered(spec("other"), placement("other"))
    with pytest.raises(RequestError) as caught:
        check([one, other, one])
    assert caught.value.what.splitlines()[1:] == [
        "  host port 25000 is used by both one-transformers and other-transformers",
        "  host port 25000 is used by both other-transformers and one-transformers",
        "  container name orchestrator-one-transformers is used by both one-transformers and one-transformers",
    ]


def test_a_group_of_gpus_is_given_and_locked_whole() -> None:
    two = on_gpu(
        spec(vllm={}), gpu=None, on=(gpu("GPU-a"), gpu("GPU-b")), profile=Profile(2048, 1, None, "16bit", gpus=2)
    )
    found = service(rendered(spec(vllm={}), two).text)
    assert found["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["GPU-a", "GPU-b"]
    assert found["labels"][f"{LABEL}gpus"] == "GPU-a,GPU-b"
    assert found["command"][5:11] == ["--gpu", "GPU-a", "--gpu", "GPU-b", "--claim-mib", "5120"]
