"""vLLM's own argument parser, in the image that we build for the CPU, reads every command line that we render."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.adapters.library import Files
from orchestrator.inventory import GIB, Gpu
from orchestrator.memory import claim
from orchestrator.plan.commands import engine_command
from orchestrator.plan.images import images_of
from orchestrator.profile import Profile, ladder
from orchestrator.registry.spec import ModelSpec, Vllm
from tests.builders import gpu, placement
from tests.integration.engine import Engine

SCRIPT = Path(__file__).with_name("vllm_parser.py")
CARD = gpu(total=80)
#: what a command line that is wrong in one place has more than a right one
WRONG = {
    "unknown flag": ("--no-such-flag",),
    "no number": ("--max-model-len", "many"),
    "no choice": ("--chat-template-content-format", "prose"),
    "no JSON": ("--mm-processor-kwargs", "max_pixels=1"),
}


def variants(spec: ModelSpec, engine: Vllm) -> Iterator[tuple[Profile, bool]]:
    """Every profile that a plan may choose, each also divided over two GPUs; the first also with sleep mode."""
    rungs = ladder(spec, engine)
    yield rungs[0].profile, True
    for rung in rungs:
        yield rung.profile, False
        yield replace(rung.profile, gpus=2), False


def command_lines() -> dict[str, tuple[str, ...]]:
    """Of every entry that knows vLLM, by name, mode and profile."""
    found: dict[str, tuple[str, ...]] = {}
    for spec in Files().registry(()).models.values():
        if (engine := spec.engine("vllm")) is not None:
            assert isinstance(engine, Vllm)
            for profile, sleeps in variants(spec, engine):
                on: tuple[Gpu, ...] = (CARD,) * profile.gpus
                size = claim(spec, "vllm", profile, GIB // 2)
                where = placement(
                    spec.name,
                    "vllm",
                    on=on,
                    claim=size,
                    profile=profile,
                    sleep_mode=sleeps,
                    image=images_of(engine, "gpu")[0],
                )
                found[f"{spec.name}: {'sleeps ' if sleeps else ''}{profile}"] = engine_command(spec, where)
    return found


def asked(engine: Engine, image: str, lines: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """What the parser in the image makes of them."""
    mount = f"{SCRIPT}:/tests/{SCRIPT.name}:ro"
    argv = ["docker", "run", "--rm", "--interactive", "--network", "none", "--volume", mount, "--entrypoint", "python3"]
    done = subprocess.run(
        [*argv, image, f"/tests/{SCRIPT.name}"],
        input=json.dumps(lines),
        env=engine.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_vllm_takes_every_command_line(engine: Engine, vllm_image: str) -> None:
    lines = command_lines()
    models = {name.partition(":")[0] for name in lines}
    assert {"dots-ocr", "qwen2-vl-2b", "qwen2-vl-7b", "phi-3-5-vision", "phi-3-vision", "internvl2-2b"} <= models
    right = next(iter(lines.values()))
    wrong = {name: (*right, *words) for name, words in WRONG.items()}

    found = asked(engine, vllm_image, lines | wrong)

    assert found["version"].startswith("0.32.0")
    assert set(found["refused"]) == set(wrong), found["refused"]
    assert "--no-such-flag" in found["refused"]["unknown flag"]
    for name, words in lines.items():
        parsed = found["parsed"][name]
        assert parsed["served_model_name"] == str([name.partition(":")[0]])
        assert parsed["limit_mm_per_prompt"] == "{'image': 1, 'video': 0}"
        assert parsed["kv_cache_memory_bytes"] == words[words.index("--kv-cache-memory-bytes") + 1]
        assert parsed["max_model_len"] == words[words.index("--max-model-len") + 1]
        assert parsed["enforce_eager"] == str("graphs=off" in name)
        assert parsed["quantization"] == ("fp8" if "weights=fp8" in name else "None")
        assert parsed["enable_sleep_mode"] == str("sleeps" in name)
        assert parsed["tensor_parallel_size"] == name[-1]
        assert parsed["trust_remote_code"] == str("--trust-remote-code" in words)
        told = words[words.index("--mm-processor-kwargs") + 1] if "--mm-processor-kwargs" in words else "null"
        assert parsed["mm_processor_kwargs"] == str(json.loads(told))
