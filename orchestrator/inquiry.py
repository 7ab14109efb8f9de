"""Runs inside an engine's image, for ``models check``: ``python3 -c TEXT vllm|transformers SECONDS``.

Prints one line of JSON: the engine's version and the architectures that it has a class for. Standard library, and the
engine itself, which is asked by its own functions. No GPU is looked for, and nothing is loaded.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import sys
from typing import Any

#: keeps an engine quiet, away from the network and away from any GPU
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
#: a model's class in Transformers, and neither one that picks another (Auto...) nor one of another framework
_CLASS = re.compile(r"(?!Auto|TF[A-Z]|Flax)\w+For[A-Z]\w*")


def vllm() -> dict[str, Any]:
    """vLLM: every architecture with the class that serves it, or "" where it does not tell."""
    registry = importlib.import_module("vllm.model_executor.models.registry").ModelRegistry
    known = getattr(registry, "models", {})
    return {
        "version": str(importlib.import_module("vllm").__version__),
        "architectures": {name: _class(known.get(name)) for name in registry.get_supported_archs()},
    }


def _class(entry: Any) -> str:
    """A registered model is a name to import, or (from a plugin) the class itself."""
    named = getattr(entry, "class_name", None) or getattr(getattr(entry, "model_cls", None), "__name__", "")
    return str(named)


def transformers() -> dict[str, Any]:
    """Transformers: its own model classes; and the families of our server, where the image has it."""
    library = importlib.import_module("transformers")
    found: dict[str, Any] = {
        "version": str(library.__version__),
        "architectures": {name: name for name in dir(library) if _CLASS.fullmatch(name)},
    }
    try:
        families = importlib.import_module("server.families").FAMILIES
    except ImportError:
        return found
    return {**found, "families": sorted(families)}


def main(engine: str, seconds: str) -> None:
    """Print what the engine says. Where it takes too long, the program ends and says where it was."""
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    os.environ.update(QUIET)
    answer = os.dup(1)
    os.dup2(2, 1)  # what an engine prints while it is imported is no answer
    found = {"vllm": vllm, "transformers": transformers}[engine]()
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(found))
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(*sys.argv[1:])
