"""Drift: files that are read, settings that are told alike of files and of containers, and who differs from whom."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.drift import units
from orchestrator.drift.container import setup
from orchestrator.drift.document import carried, facts, includes, sealed
from orchestrator.drift.judging import File, differences, from_file, from_plan
from orchestrator.drift.reader import Unreadable, read
from orchestrator.drift.values import Drift, drifts, words
from orchestrator.observation import Container, Setup
from orchestrator.templating import quote
from tests.builders import container, gpu, placement, rendered, spec

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("compose/*/*-*.yaml", "tests/golden/*/compose/*-*.yaml")
    for path in REPOSITORY.glob(pattern)
    if path.parent.name != "hosts"
)
PATH = "/state/phi-transformers.yaml"
TEXT = rendered(spec(), placement(gpu=gpu(), address="192.0.2.1", key=True)).text
IMAGE = {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["python3"], "Volumes": {"/data": {}}}}


def by_hand() -> dict[str, Any]:
    """What Docker says of a container of TEXT: written by hand after ``docker inspect`` with engine 20.10.24."""
    labels = {k.removeprefix("label "): v for k, v in facts(TEXT, "phi-transformers", "/").items() if k[:6] == "label "}
    command = ["run", "--name", "orchestrator-phi-transformers", "--port", "8000", "--gpu", "GPU-a"]
    own = read(TEXT)["services"]["phi-transformers"]
    assert own["command"][: len(command)] == command
    mounts = [("volume", "orchestrator-weights", "/weights"), ("volume", "orchestrator-cache", "/cache")]
    mounts += [("volume", "orchestrator-locks", "/locks")]
    return {
        "Name": "/orchestrator-phi-transformers",
        "Image": "sha256:1",
        "Config": {
            "Image": own["image"],
            "User": "2000:0",
            "Hostname": "783ce8a4ba2e",
            "Entrypoint": ["python3", "/opt/orchestrator/gate"],
            "Cmd": own["command"],
            "Env": [*(f"{k}={v}" for k, v in reversed(own["environment"].items())), "PATH=/bin", "LANG=C"],
            "Labels": {**labels, "com.docker.compose.project": "orchestrator", "desktop.docker.io/x": "y"},
            "StopTimeout": 30,
            "Healthcheck": {
                "Test": ["CMD", "python3", "-S", "-I", "/opt/orchestrator/gate", "health", "--wait", "4"],
                "Interval": 250_000_000,
                "Timeout": 15_000_000_000,
                "StartPeriod": 3_600_000_000_000,
                "StartInterval": 250_000_000,
                "Retries": 3,
            },
        },
        "HostConfig": {
            "Init": True,
            "ReadonlyRootfs": True,
            "Memory": 0,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "LogConfig": {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}},
            "PortBindings": {"8000/tcp": [{"HostIp": "192.0.2.1", "HostPort": "25000"}]},
            "IpcMode": "private",
            "Runtime": "runc",
            "ShmSize": 1 << 28,
            "Tmpfs": {"/run/orchestrator": "uid=2000,gid=0,mode=0755", "/tmp": "uid=2000,gid=0,mode=1777"},
            "DeviceRequests": [
                {"Driver": "nvidia", "Count": 0, "DeviceIDs": ["GPU-a"], "Capabilities": [["gpu"]], "Options": None}
            ],
        },
        "Mounts": [
            *({"Type": t, "Name": n, "Source": "/var/x", "Destination": d, "RW": True} for t, n, d in reversed(mounts)),
            {"Type": "bind", "Source": "/state/secrets/api_key", "Destination": "/run/secrets/api_key", "RW": False},
            {"Type": "volume", "Name": "f" * 64, "Source": "/var/x", "Destination": "/data", "RW": True},
        ],
        "NetworkSettings": {"Networks": {"orchestrator_default": {}}},
    }


def ours(detail: Mapping[str, Any] | None = None, **changes: Any) -> Container:
    made = setup(detail or by_hand(), IMAGE, "sha256:1")
    return container(digest=sealed(TEXT), setup=made, **changes)


def told(drifts: tuple[Drift, ...]) -> list[str]:
    return [drift.words for drift in drifts]


# --- reading ----------------------------------------------------------------------------------------


def as_strings(text: str) -> Any:
    return YAML(typ="base", pure=True).load(text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parents[1].name}-{path.name}")
def test_every_rendered_document_is_read_as_yaml_is_and_carries_its_seal(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert read(text) == as_strings(text)
    assert sealed(text) == carried(text) != ""
    service = path.stem
    assert not includes(text)
    fleet = path.parent / "compose.yaml"
    assert not fleet.exists() or includes(fleet.read_text(encoding="utf-8"))
    assert str(facts(text, service, "/f")["name"]).endswith(f"-{service}")
    assert not [what for what in facts(text, service, "/f") if what.startswith("setting ")], "all of it is compared"


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_whatever_is_quoted_is_read_back(value: dict[str, list[str]]) -> None:
    text = "".join(
        f"{quote(key)}:\n" + "".join(f"  - {quote(item)}\n" for item in items) for key, items in value.items()
    )
    assert {k.replace("$$", "$"): [i.replace("$$", "$") for i in v or []] for k, v in read(text).items()} == value


@given(st.recursive(st.text("ab: -#'\"[]{}\n0"), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner)))
def test_what_another_writer_writes_is_read_as_it_was_meant_or_not_at_all(value: Any) -> None:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump({"top": value}, stream)
    try:
        found = read(stream.getvalue())
    except Unreadable:
        return
    assert found in ({"top": value}, {"top": value or ""})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: b # c\nd: 'it''s'\n", {"a": "b", "d": "it's"}),
        ("a: [ALL, 'b', \"c\"]\nb: []\n", {"a": ["ALL", "b", "c"], "b": []}),
        ("a:\n- --flag\n- 127.0.0.1:1:2\n", {"a": ["--flag", "127.0.0.1:1:2"]}),
        ("a:\n  - k: v\n    l: w\n  -\n    m: x\nb: ~\n", {"a": [{"k": "v", "l": "w"}, {"m": "x"}], "b": ""}),
        ("# nothing\n\n", {}),
        ("a: b\r\n", {"a": "b"}),
    ],
)
def test_edits_by_hand_are_read_too(text: str, found: object) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: &anchor b\n", 1),
        ("a: *anchor\n", 1),
        ("a: b\nc: |\n  d\n", 2),
        ("a: {b: c}\n", 1),
        ("a: b\n  c: d\n", 2),
        ("a: b\na: c\n", 2),
        ("a: [b\n", 1),
        ("a: b: c\n", 1),
        ('a: "b" c\n', 1),
        ('a: "\\q"\n', 1),
        ("a:\n  b: c\n d: e\n", 3),
        ("a\n", 1),
    ],
)
def test_what_is_not_as_ours_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Unreadable, match=f"line {line} is"):
        read(text)


@pytest.mark.parametrize(
    ("what", "same"),
    [
        (units.size_of("2g"), units.size(2 << 30)),
        (units.size_of("512mb"), "512 MiB"),
        (units.size_of("1500"), "1500 bytes"),
        (units.size_of("lots"), None),
        (units.duration_of("1h30m"), units.duration(5400 * 10**9)),
        (units.duration_of("0.5s"), "500 ms"),
        (units.duration_of("soon"), None),
        (units.capabilities(["NET_ADMIN", "all"]), units.capabilities(["ALL", "CAP_NET_ADMIN"])),
        (units.options(["no-new-privileges:true", "a"]), units.options(["a", "no-new-privileges"])),
        (
            dict(units.command(["x", "--a=1", "--b", "--c", "2"])),
            dict(units.command(["x", "--c", "2", "--b", "--a", "1"])),
        ),
    ],
)
def test_one_form_for_what_means_the_same(what: object, same: object) -> None:
    assert what == same


# --- comparing --------------------------------------------------------------------------------------


def test_a_container_as_its_file_has_no_drift() -> None:
    assert from_file(ours(), File(PATH, TEXT)) == ()
    assert from_plan(ours(), TEXT, File(PATH, TEXT)) == ()


def test_only_what_docker_does_not_know_is_left_out() -> None:
    """Every setting of the file is found in the container, so that none can go missing unseen."""
    assert facts(TEXT, "phi-transformers", "/").keys() <= dict(ours().setup.has).keys()


EDITS: list[tuple[str, str, object, str]] = [
    ("HostConfig", "Memory", 2 << 30, "memory limit: none in the file, 2 GiB in the container"),
    ("HostConfig", "NanoCpus", 15 * 10**8, "CPU limit: none in the file, 1.5 in the container"),
    (
        "HostConfig",
        "RestartPolicy",
        {"Name": "no"},
        "restart policy: unless-stopped in the file, none in the container",
    ),
    (
        "HostConfig",
        "RestartPolicy",
        {"Name": "on-failure", "MaximumRetryCount": 3},
        "restart policy: unless-stopped in the file, on-failure:3 in the container",
    ),
    ("HostConfig", "ReadonlyRootfs", False, "read-only root: yes in the file, no in the container"),
    ("HostConfig", "Privileged", True, "privileged: no in the file, yes in the container"),
    ("HostConfig", "CapDrop", None, "dropped capabilities: ALL in the file, none in the container"),
    ("HostConfig", "CapAdd", ["CAP_SYS_ADMIN"], "added capabilities: none in the file, SYS_ADMIN in the container"),
    ("HostConfig", "ShmSize", 64 << 20, "shared memory: 256 MiB in the file, 64 MiB in the container"),
    ("HostConfig", "IpcMode", "host", "IPC namespace: none in the file, host in the container"),
    (
        "HostConfig",
        "DeviceRequests",
        [{"Count": -1, "Capabilities": [["gpu"]]}],
        "GPUs: GPU-a in the file, all in the container",
    ),
    (
        "HostConfig",
        "PortBindings",
        {"8000/tcp": [{"HostIp": "", "HostPort": "25000"}]},
        "port 8000/tcp: 192.0.2.1:25000 in the file, 0.0.0.0:25000 in the container",
    ),
    ("Config", "User", "0:0", "user: 2000:0 in the file, 0:0 in the container"),
    ("Config", "StopTimeout", None, "stop grace period: 30 s in the file, none in the container"),
    ("Config", "Healthcheck", {"Test": ["NONE"]}, "health check: CMD python3 -S -I"),
    ("NetworkSettings", "Networks", {}, "network orchestrator_default: connected in the file, none in the container"),
]


@pytest.mark.parametrize(("part", "key", "value", "said"), EDITS)
def test_what_was_changed_in_the_container_is_named(part: str, key: str, value: object, said: str) -> None:
    detail = by_hand()
    detail[part][key] = value
    assert said in "; ".join(told(from_file(ours(detail), File(PATH, TEXT))))
    assert said.replace("the file", "the plan") in "; ".join(told(from_plan(ours(detail), TEXT, None)))


def test_environment_command_and_mounts_are_named_one_by_one() -> None:
    detail = by_hand()
    config = detail["Config"]
    config["Env"] = [*(e for e in config["Env"] if not e.startswith("DO_NOT")), "NEW=1", "HF_TOKEN=hf_secret"]
    at = config["Cmd"].index("--max-model-len")
    config["Cmd"] = [*config["Cmd"][:at], "--max-model-len", "4096", *config["Cmd"][at + 2 :], "--eager"]
    detail["Mounts"][0]["RW"] = False
    found = from_file(ours(detail), File(PATH, TEXT))
    volume = "volume orchestrator-locks"
    assert told(found) == [
        "command --eager: none in the file, set in the container",
        "command --max-model-len: 2048 in the file, 4096 in the container",
        "environment DO_NOT_TRACK: 1 in the file, none in the container",
        "environment HF_TOKEN: none in the file, set in the container",
        "environment NEW: none in the file, 1 in the container",
        f"mount /locks: {volume}, writable in the file, {volume}, read-only in the container",
    ]
    assert words(found).endswith("; and 3 more")


def test_docker_run_of_the_same_is_no_drift() -> None:
    """``docker run`` has the entrypoint in another place, and asks for GPUs without a driver's name."""
    detail = by_hand()
    config = detail["Config"]
    config["Entrypoint"], config["Cmd"] = ["python3"], ["/opt/orchestrator/gate", *config["Cmd"]]
    detail["HostConfig"]["DeviceRequests"][0]["Driver"] = ""
    detail["HostConfig"]["SecurityOpt"] = ["no-new-privileges"]
    assert from_file(ours(detail), File(PATH, TEXT)) == ()


def test_what_docker_adds_by_itself_is_no_drift() -> None:
    """A proxy of the user's Docker settings, log options and a runtime of the engine's."""
    detail = by_hand()
    detail["Config"]["Env"] += ["HTTP_PROXY=http://proxy:3128", "no_proxy=localhost"]
    detail["HostConfig"]["LogConfig"]["Config"]["compress"] = "true"
    detail["HostConfig"] |= {"Runtime": "nvidia", "IpcMode": "shareable"}
    assert from_file(ours(detail), File(PATH, TEXT)) == ()


def test_one_more_network_does_no_harm() -> None:
    detail = by_hand()
    detail["NetworkSettings"]["Networks"]["webui"] = {}
    (drift,) = from_file(ours(detail), File(PATH, TEXT))
    assert drift.harmless
    assert drift.words == "network webui: none in the file, connected in the container"


def test_an_image_that_was_moved_and_one_that_is_gone() -> None:
    moved = replace(ours(), setup=setup(by_hand(), IMAGE, "sha256:2"))
    (drift,) = from_file(moved, File(PATH, TEXT))
    assert drift.found == f"an older {by_hand()['Config']['Image']} (1)"
    gone = replace(ours(), setup=setup(by_hand(), None, None))
    assert [d.what for d in from_file(gone, File(PATH, TEXT))] == ["mount /data"]


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert from_file(ours(), None) == ()
    assert from_file(container(), File(PATH, TEXT)) == ()
    assert from_file(ours({**by_hand(), "HostConfig": {}}, state="created"), File(PATH, TEXT)) == ()
    with_variable = TEXT.replace('image: "', 'image: "${REGISTRY}')
    assert "image" not in {d.what for d in from_file(ours(), File(PATH, with_variable))}


# --- edited files -----------------------------------------------------------------------------------

EDITED = TEXT.replace("    read_only: true\n", "    mem_limit: 2g\n")
LIMIT = "memory limit: 2 GiB in the file, none in the container"
ROOT = "read-only root: no in the file, yes in the container"


def test_a_file_edited_by_hand_is_said_so_and_compared_with_what_runs() -> None:
    assert told(from_file(ours(), File(PATH, EDITED))) == [f"file edited by hand: {PATH}", LIMIT, ROOT]


def test_an_original_elsewhere_tells_what_was_edited() -> None:
    detail = by_hand()
    detail["HostConfig"] |= {"Memory": 2 << 30, "ReadonlyRootfs": False}
    original = File("/state/other.yaml", TEXT)
    assert told(from_file(ours(detail), File(PATH, EDITED), lambda: original)) == [
        "file edited by hand: memory limit: none in the original, 2 GiB in the file",
        "file edited by hand: read-only root: yes in the original, no in the file",
    ]
    newer = File("/state/other.yaml", rendered(spec(), placement(port=1)).text)
    assert told(from_file(ours(detail), File(PATH, EDITED), lambda: newer)) == [f"file edited by hand: {PATH}"]
    assert from_file(ours(), None, lambda: original) == ()
    assert len(from_file(ours(detail), None, lambda: original)) == 2


def test_the_plan_names_what_was_edited_in_the_file_and_in_the_container() -> None:
    assert told(from_plan(ours(), TEXT, File(PATH, EDITED))) == [
        "file edited by hand: memory limit: none in the plan, 2 GiB in the file",
        "file edited by hand: read-only root: yes in the plan, no in the file",
    ]
    unknown = TEXT.replace("    init: true\n", "    init: true\n    sysctls: [a=b]\n")
    said = "file edited by hand: setting sysctls: none in the plan, ['a=b'] in the file"
    assert told(from_plan(ours(), TEXT, File(PATH, unknown))) == [said]
    folded = TEXT.replace("    init: true\n", "    init: &yes true\n")
    assert told(from_plan(ours(), TEXT, File(PATH, folded)))[0].endswith(" is not as orchestrator writes it")


def test_a_change_that_was_asked_for_is_no_drift() -> None:
    other = rendered(spec(), placement(address="192.0.2.1", key=True, port=1)).text
    assert from_plan(ours(), other, File(PATH, TEXT)) == ()
    assert {d.what for d in from_file(ours(), File(PATH, other))} >= {"GPUs", "port 8000/tcp"}


def test_the_digest_is_named_only_where_nothing_else_differs() -> None:
    label = "label io.orchestrator.digest"
    both: list[tuple[str, str | None, str | None]] = [(label, "a", "b"), ("user", "1", "2")]
    assert [d.what for d in drifts("s", both[:1], "file", "container")] == [label]
    assert [d.what for d in drifts("s", both, "file", "container")] == ["user"]


def test_a_value_that_is_not_known_equals_any_but_none() -> None:
    assert list(differences({"user": None}, Setup((("user", "1"),)))) == []
    assert list(differences({"user": None}, Setup())) == []
