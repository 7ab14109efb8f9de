"""InternVL2 with InternLM2 inside, by the repository's own code (transformers up to 4.49).

Images are cut into tiles here: the model card's recipe needs torchvision. The two halves of the model are called one by
one: its own ``generate`` reads no second request, and would compute scores for every token of the prompt.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..batch import Layers, layers_of
from ..config import Config
from ..conversation import Turn
from ..errors import ApiError, UnhealableError
from .base import Begun, CausalAdapter, Encoded
from .internvl2_prompt import END, START, TEMPLATE, pieces
from .loading import check_config, load_model, one_line
from .marks import Scribe
from .options import no_options
from .tiling import boxes, grid_for

#: Mean and deviation of red, green and blue that the vision tower was trained with: those of ImageNet.
MEAN = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
DEVIATION = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
#: Before, for each part of, and behind an image.
IMAGE_MARKS = ("<img>", "<IMG_CONTEXT>", "</img>")


class InternVL2(CausalAdapter):
    """A loaded InternVL2. ``most``: tiles of one image, the overview not among them; None for the model's own limit."""

    def __init__(self, model: Any, tokenizer: Any, most: int | None) -> None:
        super().__init__(model, tokenizer)
        config = model.config
        marks = {str(mark.content): token for token, mark in tokenizer.added_tokens_decoder.items()}
        self.ends |= {marks[END.text]}
        self._scribe = Scribe(marks, frozenset(), self._plain)
        self._open, self._seen, self._close = (marks[mark] for mark in IMAGE_MARKS)
        # What the tokenizer puts before a text.
        self._opening = list(tokenizer("").input_ids)
        # A mark is also a word of the vocabulary, under another name; what the vocabulary does not know is none.
        self._reserved = frozenset(marks.values()) - {tokenizer.unk_token_id}
        self._side = config.force_image_size or config.vision_config.image_size
        own = (config.min_dynamic_patch, config.max_dynamic_patch) if config.dynamic_image_size else (1, 1)
        self._most = min(own[1], most or own[1])
        self._least = min(own[0], self._most)
        self._overview = config.use_thumbnail

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model. It has no options."""
        no_options(options)
        written = pieces(turns, self.model.system_message)
        tiles = [self._tiles(image) for turn in turns for image in turn.images]
        each = self.model.num_image_token
        marked = [[self._open, *[self._seen] * (each * len(cut)), self._close] for cut in tiles]
        ids = torch.tensor([self._opening + self._scribe.write(written, marked)])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if tiles:
            inputs["pixel_values"] = torch.cat(tiles)
        return Encoded(inputs, sum(map(len, tiles)))

    def pack(self, layers: Layers) -> Any:
        """Tuples: the model knows no other cache."""
        packed = tuple(layers)
        layers.clear()
        return packed

    def begin(self, encoded: Sequence[Encoded]) -> Begun:
        """Reads requests in one pass; scores are computed for the last token only."""
        inputs = {name: tensor.to(self.device) for name, tensor in self.collate(encoded).items()}
        embedded = self.model.language_model.get_input_embeddings()(inputs["input_ids"])
        if "pixel_values" in inputs:
            pixels = inputs["pixel_values"].to(self.model.vision_model.embeddings.patch_embedding.weight.dtype)
            features = self.model.extract_feature(pixels)
            embedded[inputs["input_ids"] == self._seen] = features.flatten(0, 1).to(embedded.dtype)
        places, following = self.places(inputs)
        scores, cache = self._pass(inputs["attention_mask"], places, inputs_embeds=embedded)
        return Begun(scores, layers_of(cache), inputs["attention_mask"], following)

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, cache: Any
    ) -> tuple[torch.Tensor, Any]:
        """Reads one further token of each row."""
        return self._pass(mask, positions[:, None], input_ids=tokens, past_key_values=cache)

    def _pass(self, mask: torch.Tensor, places: torch.Tensor, **inputs: Any) -> tuple[torch.Tensor, Any]:
        language = self.model.language_model
        output = language.model(attention_mask=mask, position_ids=places, use_cache=True, return_dict=True, **inputs)
        return language.output(output.last_hidden_state[:, -1]).float(), output.past_key_values

    def _plain(self, text: str) -> list[int]:
        """The tokens of a text. This kind of tokenizer (a slow one) keeps nothing of what it was told in a call."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if not self._reserved.isdisjoint(ids):
            raise ApiError("the text must not hold the model's own marks", param="messages", code="invalid_value")
        return ids

    def _tiles(self, image: Image.Image) -> torch.Tensor:
        """One image as (tiles, 3, side, side): its tiles, then the whole of it where there are several."""
        side = self._side
        grid = grid_for(image.size, side, self._most, self._least)
        scaled = image.resize((grid[0] * side, grid[1] * side), Image.Resampling.BICUBIC)
        tiles = [scaled.crop(box) for box in boxes(grid, side)]
        if self._overview and len(tiles) > 1:
            tiles.append(image.resize((side, side), Image.Resampling.BICUBIC))
        raw = bytearray(b"".join(tile.tobytes() for tile in tiles))
        pixels = torch.frombuffer(raw, dtype=torch.uint8).view(len(tiles), side, side, 3).permute(0, 3, 1, 2)
        return (pixels.float() / 255 - MEAN) / DEVIATION


def load(folder: Path, config: Config) -> InternVL2:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="internvl_chat")
    if not config.trust_remote_code:
        raise UnhealableError("InternVL2 runs its repository's own code: needs --trust-remote-code")
    _check_language(folder)
    _stand_in_for_timm()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=True, use_fast=False)
    except (ImportError, OSError, ValueError) as error:
        raise UnhealableError(f"can't load the tokenizer: {one_line(error)}") from error
    missing = {START.text, END.text, *IMAGE_MARKS}.difference(tokenizer.get_added_vocab())
    if missing:
        raise UnhealableError(f"the tokenizer in {folder} lacks the marks {', '.join(sorted(missing))}")
    return InternVL2(
        load_model(AutoModelForCausalLM, folder, config, use_flash_attn=False), tokenizer, config.max_tiles
    )


def _check_language(folder: Path) -> None:
    """The sizes of InternVL2 differ in the language model and its prompt; this adapter knows one kind."""
    data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    language = data.get("llm_config") or {}
    kinds = language.get("architectures") or [None]
    if kinds[0] != "InternLM2ForCausalLM" or data.get("template") != TEMPLATE:
        raise UnhealableError(
            f"family internvl2 serves InternLM2ForCausalLM with the template {TEMPLATE} as its language model;"
            f" {folder}/config.json has {kinds[0]} with {data.get('template')}"
        )


def _stand_in_for_timm() -> None:
    """The model's code imports one class of timm, which drops paths at random in training: here it drops nothing."""
    if find_spec("timm") is None:
        for name in ("timm", "timm.models", "timm.models.layers"):
            module = ModuleType(name)
            # transformers looks for the package before it imports the code.
            module.__spec__ = ModuleSpec(name, None)
            sys.modules[name] = module
        sys.modules["timm.models.layers"].DropPath = torch.nn.Identity  # type: ignore[attr-defined]
