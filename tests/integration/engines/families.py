"""The six families as the tests serve them: a tiny model of each, and what it can and can't be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.cli import REPOSITORY, read_yaml
from tests.integration.engine import Engine

MODELS = REPOSITORY / "orchestrator" / "registry" / "models"
MAKERS = REPOSITORY / "tests" / "integration" / "engines"


@dataclass(frozen=True)
class Family:
    """One adapter of the server.

    ``entry``: the registry's model whose entry is served, with a tiny folder in place of its weights. ``image``: the
    dependency family. ``maker``: the name that ``make.py`` knows. ``engine`` and ``pictures``: what is smaller than in
    the entry. ``refused``: what a request adds, and a word of the refusal. ``options``: requests that the family alone
    knows. ``batched``: whether answers are written together. ``system``: whether it takes a system prompt.
    """

    name: str
    entry: str
    image: str
    maker: str
    port: int
    engine: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)
    text: str = "What is this?"
    images: int = 1
    options: tuple[Mapping[str, Any], ...] = ()
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()
    batched: bool = True
    system: bool = True

    @property
    def model(self) -> str:
        """The name that the tiny model is served by."""
        return f"tiny-{self.entry}"

    def make(self, engine: Engine, image: str, folder: Path) -> Path:
        """Makes its tiny model inside its image, as ``tiny`` in the folder ``weights`` that is returned."""
        weights = folder / "weights"
        weights.mkdir()
        weights.chmod(0o777)
        folder.chmod(0o755)
        mounts = ("--volume", f"{MAKERS}:/make:ro", "--volume", f"{weights}:/out")
        run = ("docker", "run", "--rm", "--network", "none", "--env", "HOME=/tmp", *mounts, image)
        engine.run(*run, "python3", "/make/make.py", self.maker, "/out/tiny")
        return weights

    def registry_entry(self, folder: str) -> dict[str, Any]:
        """The model's own entry, for a folder of tiny weights on the CPU."""
        entry: dict[str, Any] = read_yaml(MODELS / f"{self.entry}.yaml")
        remote_code = entry["source"].get("remote_code", False)
        entry["name"] = self.model
        entry["source"] = {"path": folder, "remote_code": remote_code, "licence": "Apache-2.0"}
        entry["images"] |= {"max_per_prompt": self.images, **self.pictures}
        served = entry["engines"].pop("transformers")
        for derived in ("keep_16bit", "smallest", "report"):
            served.pop(derived, None)
        served |= {"port": self.port, "devices": ["cpu"], "dtype": "float32", "storages": ["16bit"], **self.engine}
        entry["engines"] = {"transformers": served}
        return entry

    def on_both(self, folder: str, port: int) -> dict[str, Any]:
        """The same on both engines; vLLM gets ``port``, the flags that its entry has, and a cache for tiny shapes."""
        entry = self.registry_entry(folder)
        entry["architecture"] |= {"layers": 2, "kv_heads": 4, "head_size": 32, "hidden_size": 128}
        served: dict[str, Any] = read_yaml(MODELS / f"{self.entry}.yaml")["engines"]["vllm"]
        served.pop("smallest", None)
        served |= {"port": port, "devices": ["cpu"], "dtype": "float32", "storages": ["16bit"], **self.engine}
        entry["engines"]["vllm"] = served
        return entry


def _system(text: str) -> Mapping[str, Any]:
    return {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "hi"}]}


#: Images for a short context: 256 tokens of 28 x 28 pixels.
SMALL = {"max_pixels": 200704, "tokens": 256, "patches": 1024}
FAMILIES = (
    Family(
        "qwen2-vl",
        "qwen2-vl-2b",
        "tf5",
        "qwen2_vl",
        24501,
        {"max_model_len": 2048},
        SMALL,
        refused=(({"options": {"x": 1}}, "no options"),),
    ),
    Family(
        "got-ocr2",
        "got-ocr2",
        "tf5",
        "got_ocr2",
        24502,
        {"max_model_len": 2048},
        text="OCR",
        images=4,
        options=(
            {"format": True},
            {"box": [2, 2, 40, 30]},
            {"color": "red"},
            {"crop_to_patches": True, "max_patches": 3},
        ),
        refused=(
            ({"options": {"colour": "red"}}, "color"),
            ({"options": {"box": [9, 9, 3, 3]}}, "x1 < x2"),
            (_system("Be brief."), "one message of the user"),
        ),
        system=False,
    ),
    Family("dots-ocr", "dots-ocr", "tf451", "dots_ocr", 24503, {"max_model_len": 2048}, SMALL),
    Family("phi3-vision", "phi-3-5-vision", "tf448", "phi3_vision", 24504, {"max_model_len": 4096}, images=2),
    Family("internvl2", "internvl2-2b", "tf448", "internvl2", 24505, {"max_model_len": 4096}, images=2),
    Family(
        "moondream2",
        "moondream2",
        "tf457",
        "moondream2",
        24506,
        {"dtype": "bfloat16"},
        options=(
            {"task": "caption", "length": "short"},
            {"task": "detect"},
            {"task": "point"},
        ),
        refused=(
            ({"options": {"task": "sing"}}, "task"),
            (_system("Be brief."), "system"),
        ),
        batched=False,
        system=False,
    ),
)
