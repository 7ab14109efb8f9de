"""moondream2, by the repository's own code of 2025-06-21 (transformers 4.57).

It has a cache for one request and a loop of its own, so nothing is batched. It asks, captions, detects and points.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from PIL.Image import Image
from tokenizers import Tokenizer
from transformers import dynamic_module_utils as remote

from ..answer import room_for
from ..choosing import rules_of
from ..config import Config
from ..conversation import Ask, Sampling, Turn
from ..errors import ApiError, UnhealableError
from ..serial import Errand, Pieces
from ..weights import fetch_file
from .loading import check_config, load_model, one_line
from .options import Options, one_turn, read_options

#: Tokens of prompt and answer, fixed in the published code.
CONTEXT = 2048
#: The repository that the published code takes its tokenizer from.
TOKENIZER = "moondream/starmie-v1"
#: What the published code samples with when it is told nothing.
DEFAULTS = SimpleNamespace(do_sample=True, temperature=0.5, top_p=0.3)
#: Objects of one answer, as the published code has it.
MOST_OBJECTS = 50
#: Tokens of one object: across and down, and for a box its size.
FOUND: Mapping[str, int] = {"detect": 3, "point": 2}

Task = Literal["query", "caption", "detect", "point"]


class MoondreamOptions(Options):
    """What moondream2 can be asked. ``length`` is that of a caption."""

    task: Task = "query"
    length: Literal["short", "normal", "long"] = "normal"


class Moondream2:
    """A loaded moondream2: a ``Narrator``. ``context``: tokens of prompt and answer."""

    def __init__(self, model: Any, context: int) -> None:
        self.passes = 0
        self.model = model
        self._context = context
        inner = model.model
        self._tokenizer = inner.tokenizer
        # What a caller writes is text, also where it spells one of the model's marks.
        self._tokenizer.encode_special_tokens = True
        self._templates = inner.config.tokenizer.templates
        vision = inner.config.vision
        # However large an image is, it takes as many tokens as a crop has patches; one more stands before them.
        self._image_tokens = 1 + (vision.crop_size // vision.enc_patch_size) ** 2
        inner._decode_one_tok = self._counted(inner._decode_one_tok)  # noqa: SLF001 (the loop has no other sign)

    def prepare(self, ask: Ask) -> Errand:
        """Makes the model's input. Raises ``ApiError`` 400 for what the model has no form for, or no room."""
        turn = one_turn(ask.turns, "moondream2")
        asked = read_options(MoondreamOptions, ask.options)
        image = turn.images[0] if turn.images else None
        _check(asked, turn)
        prompt = self._prompt_tokens(asked, turn.text, image=image is not None)
        room = room_for(prompt, ask.sampling.max_tokens, self._context)
        if asked.task in FOUND:
            objects = min(MOST_OBJECTS, room // FOUND[asked.task])
            begin = partial(self._find, asked.task, turn, objects)
            return Errand(ask, prompt, objects * FOUND[asked.task], begin)
        said = {"question": turn.text} if asked.task == "query" else {"length": asked.length}
        return Errand(ask, prompt, room, partial(self._write, asked.task, image, said, ask.sampling, room))

    def _prompt_tokens(self, asked: MoondreamOptions, text: str, *, image: bool) -> int:
        """How many tokens the published code makes of it."""
        form = self._templates[asked.task]
        before = self._image_tokens if image else 1
        if asked.task == "caption":
            return before + len(form[asked.length])
        query = asked.task == "query"
        written = self._tokenizer.encode(text if query else f" {text}").ids
        # A question is followed by its end twice: as published.
        return before + len(form["prefix"]) + len(written) + len(form["suffix"]) * (2 if query else 1)

    def _write(self, task: Task, image: Image | None, said: Mapping[str, str], sampling: Sampling, room: int) -> Pieces:
        """An answer or a caption, in the published pieces: up to a space, a line's end, or a Chinese character."""
        self.passes = 0
        # Without settings, and before the rest: with settings for a text, the published code fails on a picture.
        seen = None if image is None else self.model.encode_image(image)
        settings = {"max_tokens": room, **_settings(sampling)}
        told = getattr(self.model, task)(image=seen, stream=True, settings=settings, **said)
        yield from told["answer" if task == "query" else "caption"]

    def _find(self, task: Task, turn: Turn, objects: int) -> Pieces:
        """Boxes or points as JSON, in parts of the image's width and height; they come all at once."""
        self.passes = 0
        seen = self.model.encode_image(turn.images[0])
        yield json.dumps(getattr(self.model, task)(seen, turn.text, settings={"max_objects": objects}))

    def _counted(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.passes += 1
            return read(*args, **kwargs)

        return counted


def _check(asked: MoondreamOptions, turn: Turn) -> None:
    text, wrong = bool(turn.text.strip()), None
    if len(turn.images) > 1:
        wrong = "moondream2 takes one image"
    elif not turn.images and asked.task != "query":
        wrong = f"the task {asked.task} needs an image"
    elif asked.task == "caption" and text:
        wrong = "the task caption takes no text; options.length says how long it is to be"
    elif asked.task != "caption" and not text:
        wrong = f"the task {asked.task} needs a text: {'the question' if asked.task == 'query' else 'what to look for'}"
    elif asked.task != "caption" and "length" in asked.model_fields_set:
        wrong = "options.length is that of a caption"
    if wrong:
        raise ApiError(wrong, param="messages", code="invalid_value")


def _settings(sampling: Sampling) -> dict[str, float]:
    """The published settings; the random numbers come from PyTorch's own generator, which is set here."""
    rules = rules_of(sampling, DEFAULTS)
    if rules is None:
        return {"temperature": 0}
    if sampling.seed is None:
        torch.seed()
    else:
        torch.manual_seed(sampling.seed)
    temperature, _, top_p = rules
    return {"temperature": temperature, "top_p": top_p}


def load(folder: Path, config: Config) -> Moondream2:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="moondream1")
    if not config.trust_remote_code:
        raise UnhealableError("moondream2 runs its repository's own code: needs --trust-remote-code")
    if config.dtype != "bfloat16":
        raise UnhealableError(f"moondream2 is bfloat16 in its own code: --dtype {config.dtype} can't be had")
    if config.max_model_len > CONTEXT:
        raise UnhealableError(f"--max-model-len {config.max_model_len} is more than the model's context of {CONTEXT}")
    if not (folder / "hf_moondream.py").is_file():
        raise UnhealableError(f"{folder} holds no hf_moondream.py: it is not of 2025")
    # Not the folder's own tokenizer.json: the repository still has that of the model's first versions.
    beside = folder / TOKENIZER.rpartition("/")[2] / "tokenizer.json"
    tokenizer = beside if beside.is_file() else fetch_file(TOKENIZER, beside.name)
    try:
        kind = _published(folder, tokenizer)
    except (ImportError, SyntaxError) as error:
        raise UnhealableError(f"can't load the code of {folder}: {one_line(error)}") from error
    return Moondream2(load_model(kind, folder, config), config.max_model_len)


def _published(folder: Path, tokenizer: Path) -> Any:
    """The published model class, with its tokenizer from this file.

    Of a folder's code transformers brings along only what the first file imports, not what that imports in turn.
    """
    package = Path(remote.HF_MODULES_CACHE, remote.TRANSFORMERS_DYNAMIC_MODULE_NAME)
    package /= remote._sanitize_module_name(folder.name)  # noqa: SLF001 (there is no public name for it)
    package.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.py"):
        shutil.copyfile(file, package / file.name)
    kind = remote.get_class_from_dynamic_module("hf_moondream.HfMoondream", str(folder))
    code: Any = sys.modules[f"{kind.__module__.rpartition('.')[0]}.moondream"]
    # It would ask the hub for the newest one, whatever lies in the folder.
    code.Tokenizer = SimpleNamespace(from_pretrained=lambda _: Tokenizer.from_file(str(tokenizer)))
    return kind
