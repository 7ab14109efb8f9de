"""Faults of the host and of the request, one at a time, around one model that is well."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.faults import injections as how
from tests.integration.faults.campaign import Fault
from tests.integration.faults.injections import PORT, Inject

_KEY = ("secrets/api_key", "a-key")
_GATED = {"gated": True}


@dataclass(frozen=True, kw_only=True)
class Single(Fault):
    """``inject``: breaks it, and makes it whole. ``run``: the command that meets it. ``gpu``: whether tiny needs one.

    ``again``: whether tiny has to come up once it is whole.
    """

    inject: Inject
    run: tuple[str, ...] = ("up", "tiny")
    gpu: bool = False
    again: bool = True


SINGLES = (
    # Docker
    Single(
        name="engine-stopped",
        broken="Docker Engine does not run",
        how="dockerd is stopped",
        inject=how.engine_stopped,
        exit=4,
        words=r"no Docker Engine answers .*\n.*docker\.sock\nhint:  install and start Docker",
    ),
    Single(
        name="remote-engine",
        broken="`DOCKER_HOST` names another machine",
        how="the variable",
        inject=how.variable(DOCKER_HOST="tcp://192.0.2.1:2375"),
        exit=4,
        words=r"tcp://192\.0\.2\.1:2375 is remote",
        again=False,
    ),
    Single(
        name="podman",
        broken="Podman behind Docker's socket",
        how="a socket that answers as Podman 5 does",
        inject=how.podman,
        exit=4,
        words=r"Podman 5\.4\.2 answers on Docker's socket",
        again=False,
    ),
    Single(
        name="not-docker",
        broken="something else behind Docker's socket",
        how="a socket that answers as an SSH server does",
        inject=how.no_docker,
        exit=4,
        words="no Docker Engine answers",
        again=False,
    ),
    Single(
        name="compose-missing",
        broken="Docker has no Compose",
        how="the plugin's folders are empty",
        inject=how.plugins_away,
        exit=4,
        words="Docker has no Compose plugin",
        again=False,
    ),
    Single(
        name="docker-command-missing",
        broken="no `docker` command",
        how="a PATH without it",
        inject=how.docker_command(""),
        exit=4,
        words="the docker command is not on PATH",
        again=False,
    ),
    Single(
        name="compose-too-old",
        broken="Compose is too old",
        how="a `docker` that tells version 2.1.0",
        inject=how.docker_command("echo 2.1.0"),
        exit=4,
        words=r"Docker Compose 2\.1\.0 is too old",
        again=False,
    ),
    Single(
        name="gpu-runtime-missing",
        broken="no NVIDIA Container Toolkit",
        how="dockerd without its hook on PATH",
        inject=how.no_gpu_runtime,
        gpu=True,
        cause="gpu-runtime-missing",
        exit=4,
        words="Docker can't hand out GPUs: .*could not select device driver",
    ),
    # images
    Single(
        name="image-missing",
        broken="the registry does not have the image",
        how="a registry that knows none",
        inject=how.no_such_manifest,
        cause="image-missing",
        exit=1,
        words="can't pull .*manifest unknown",
    ),
    Single(
        name="registry-unreachable",
        broken="nobody answers where the registry should",
        how="a port where nobody listens",
        inject=how.image("127.0.0.1:1/an/engine:1"),
        cause="network-down",
        exit=1,
        words="can't pull .*connection refused",
        again=False,
    ),
    # ports, names and addresses
    Single(
        name="port-held-by-a-process",
        broken="a process has the port that was asked for",
        how="the tests listen on it",
        inject=how.process_listens,
        run=("up", "tiny", "--port", str(PORT)),
        exit=3,
        words=rf"port {PORT} for tiny-transformers is taken by process \S+ \(pid \d+\)",
    ),
    Single(
        name="port-held-by-a-container",
        broken="a container has the port that was asked for",
        how="a container that publishes it",
        inject=how.foreign("web", "--publish", f"127.0.0.1:{PORT}:80"),
        run=("up", "tiny", "--port", str(PORT)),
        exit=3,
        words=f"port {PORT} for tiny-transformers is taken by container web",
        again=False,
    ),
    Single(
        name="port-taken-meanwhile",
        broken="the port is taken after the plan was made",
        how="a `docker` that listens on it before it calls Compose",
        inject=how.port_taken_late,
        cause="port-taken",
        exit=3,
        words="a port was taken in the meantime",
    ),
    Single(
        name="name-taken",
        broken="a foreign container has our name",
        how="a container",
        inject=how.foreign("orchestrator-tiny-transformers"),
        exit=3,
        words="orchestrator-tiny-transformers is taken by a container that is not ours",
    ),
    Single(
        name="no-such-address",
        broken="the address to publish on is another host's",
        how="`--address 192.0.2.1`",
        inject=how.file("state/orchestrator/" + _KEY[0], _KEY[1]),
        run=("up", "tiny", "--address", "192.0.2.1"),
        cause="no-such-address",
        exit=3,
        words="this host has no such address to publish on",
    ),
    # what runs, and is not the model
    Single(
        name="wrong-served-name",
        broken="the engine serves another name",
        how="the stub",
        inject=how.stub(STUB_WRONG_NAME="other"),
        exit=1,
        words="tiny-transformers: failed, it serves other instead of tiny",
    ),
    Single(
        name="wrong-answer",
        broken="the answer to the known image is wrong",
        how="the stub",
        inject=how.stub(STUB_ANSWER="nonsense", expect="sense and only sense"),
        exit=1,
        words="tiny-transformers: failed, it answers 'nonsense', expected 'sense and only sense'",
        again=False,
    ),
    Single(
        name="never-ready",
        broken="the engine loads for ever",
        how="the stub",
        inject=how.stub(STUB_NEVER_READY="1"),
        run=("up", "tiny", "--timeout", "2"),
        exit=1,
        words="tiny-transformers: late, not ready after 2 s; it goes on starting",
        again=False,
    ),
    # secrets and files
    Single(
        name="token-missing",
        broken="a gated model, and no file with a token",
        how="an entry",
        inject=how.entry(**_GATED),
        exit=4,
        words="tiny .*, and there is no file with .*[Tt]oken",
    ),
    Single(
        name="token-empty",
        broken="the file with the token is empty",
        how="a file",
        inject=how.together(how.entry(**_GATED), how.file("state/orchestrator/secrets/hf_token", "\n")),
        exit=2,
        words="the file with .* is empty",
        again=False,
    ),
    Single(
        name="token-of-two-words",
        broken="the file with the token holds something else",
        how="a file",
        inject=how.together(how.entry(**_GATED), how.file("state/orchestrator/secrets/hf_token", "token = hf_abc")),
        exit=2,
        words="the file with .* does not hold one word",
        again=False,
    ),
    Single(
        name="entry-broken",
        broken="a registry entry with three mistakes",
        how="a file",
        inject=how.file("registry/bad.yaml", "name: Bad Name\nlicense: MIT\nengines: [vllm]\n"),
        exit=2,
        words=r"problems\n(  \S*bad\.yaml:\d.*\n){3,}",
    ),
    Single(
        name="entry-no-yaml",
        broken="a registry entry that is no YAML",
        how="a file",
        inject=how.file("registry/bad.yaml", "name: [\n"),
        exit=2,
        words=r"bad\.yaml:\d",
        again=False,
    ),
    Single(
        name="inventory-broken",
        broken="an inventory file that holds something else",
        how="a file",
        inject=how.file("gpus.yaml", "schema_version: 1\nname: x\ngpus: [{id: 1, total_mib: much}]\n"),
        run=("up", "tiny", "--inventory", "gpus.yaml"),
        exit=2,
        words=r"gpus\.yaml:\d",
        again=False,
    ),
    Single(
        name="state-read-only",
        broken="the state folder can't be written",
        how="a read-only mount",
        inject=how.read_only_state,
        exit=1,
        words="Read-only file system",
    ),
    Single(
        name="state-full",
        broken="the state folder's disk is full",
        how="a file system of 4 KiB",
        inject=how.full_state,
        exit=1,
        words="can't write .*: No space left on device",
    ),
    # GPUs, as NVML tells of them
    Single(
        name="gpu-taken",
        broken="a process outside holds nearly all of the GPU",
        how="the scripted NVML",
        inject=how.gpu_taken,
        gpu=True,
        exit=3,
        words="does not fit",
    ),
    Single(
        name="gpu-lost",
        broken="the GPU fell off the bus",
        how="the scripted NVML",
        inject=how.gpu_lost,
        run=("up", "tiny", "--gpu", "0"),
        gpu=True,
        exit=2,
        words="GPU is lost",
        again=False,
    ),
    Single(
        name="no-driver",
        broken="the NVIDIA driver is not loaded",
        how="the scripted NVML",
        inject=how.no_driver,
        gpu=True,
        exit=3,
        words="Driver Not Loaded",
        again=False,
    ),
    Single(
        name="lock-folder",
        broken="the volume with the GPUs' locks belongs to root",
        how="`chown`",
        inject=how.locks_of_root,
        gpu=True,
        cause="lock-folder",
        exit=1,
        words="failed, parked: .*'orchestrator doctor --fix'",
    ),
    Single(
        name="gpu-memory-kept",
        broken="the GPU's memory does not come back after `down`",
        how="the scripted NVML",
        inject=how.memory_kept,
        run=("down", "tiny"),
        gpu=True,
        exit=1,
        words=r"11\.20 GiB of GPU 0 did not come back: pid \d+ \(sleep 1000\) of user \S+ holds 11\.20 GiB",
    ),
)
