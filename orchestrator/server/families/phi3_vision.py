"""Phi-3-vision and Phi-3.5-vision, by the repository's own code (transformers up to 4.48).

Images are cut into tiles here: the repository's processor needs torchvision.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn.functional import interpolate, pad
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..batch import layers_of
from ..config import Config
from ..conversation import Turn
from ..errors import UnhealableError
from .base import Begun, CausalAdapter, Encoded
from .loading import check_config, load_model, one_line
from .marks import Scribe, scribe_of
from .options import no_options
from .phi3_prompt import ENDS, pieces
from .phi3_tiles import TILE, layout

_log = logging.getLogger("server")


@dataclass(frozen=True, slots=True)
class Cutter:
    """Makes tiles. ``most``: tiles of one image, the overview not among them; ``mean`` and ``deviation`` by colour."""

    most: int
    mean: torch.Tensor
    deviation: torch.Tensor

    def cut(self, image: Image.Image) -> torch.Tensor:
        """(tiles + 1, 3, 336, 336): the overview, then the tiles row by row."""
        plan = layout(image.size, self.most)
        if plan.turned:
            image = image.transpose(Image.Transpose.TRANSPOSE)
        scaled = image.resize(plan.scaled, Image.Resampling.BILINEAR)
        rows, columns = plan.rows, plan.columns
        across, down = (rows, columns) if plan.turned else (columns, rows)
        page = Image.new("RGB", (across * TILE, down * TILE), "white")
        page.paste(scaled, (0, plan.above))
        if plan.turned:
            page = page.transpose(Image.Transpose.TRANSPOSE)
        raw = torch.frombuffer(bytearray(page.tobytes()), dtype=torch.uint8)
        pixels = raw.view(rows * TILE, columns * TILE, 3).permute(2, 0, 1).contiguous().float() / 255
        pixels = (pixels - self.mean[:, None, None]) / self.deviation[:, None, None]
        overview = interpolate(pixels[None], size=(TILE, TILE), mode="bicubic")
        tiles = pixels.view(3, rows, TILE, columns, TILE).permute(1, 3, 0, 2, 4).reshape(-1, 3, TILE, TILE)
        return torch.cat([overview, tiles])


class Phi3Vision(CausalAdapter):
    """A loaded Phi-3-vision or Phi-3.5-vision."""

    def __init__(self, model: Any, tokenizer: Any, scribe: Scribe, cutter: Cutter, *, most_rows: int | None) -> None:
        super().__init__(model, tokenizer)
        self.most_rows = most_rows
        self._scribe = scribe
        self._cutter = cutter
        self.ends |= {scribe.marks[mark] for mark in ENDS}
        # What the tokenizer puts before a text: the published processor does so behind each image too.
        self._opening = list(tokenizer("").input_ids)

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model. It has no options."""
        no_options(options)
        written = pieces(turns)
        images = [image for turn in turns for image in turn.images]
        sizes = [layout(image.size, self._cutter.most) for image in images]
        # The tokens of an image are its number below zero.
        marked = [[-number] * size.tokens + self._opening for number, size in enumerate(sizes, 1)]
        ids = torch.tensor([self._opening + self._scribe.write(written, marked)])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if images:
            cut = [self._cutter.cut(image) for image in images]
            largest = max(map(len, cut))
            inputs["pixel_values"] = torch.stack([pad(tiles, (0,) * 7 + (largest - len(tiles),)) for tiles in cut])
            inputs["image_sizes"] = torch.tensor([(size.rows * TILE, size.columns * TILE) for size in sizes])
        return Encoded(inputs, len(images))

    def begin(self, encoded: Sequence[Encoded]) -> Begun:
        """Reads requests in one pass, their images one request at a time: together they would be padded with tiles.

        Scores are computed for the last token only.
        """
        parts = [self._embed(one) for one in encoded]
        length = max(part.shape[1] for part in parts)
        mask = torch.zeros((len(parts), length), dtype=torch.long, device=self.device)
        for row, part in zip(mask, parts, strict=True):
            row[length - part.shape[1] :] = 1
        embedded = torch.cat([pad(part, (0, 0, length - part.shape[1], 0)) for part in parts])
        places, following = self.places({"attention_mask": mask})
        output = self.model.model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=places,
            past_key_values=self.pack([]),
            use_cache=True,
            return_dict=True,
        )
        scores = self.model.lm_head(output.last_hidden_state[:, -1]).float()
        return Begun(scores, layers_of(output.past_key_values), mask, following)

    def _embed(self, one: Encoded) -> torch.Tensor:
        inputs = {name: tensor.to(self.device) for name, tensor in one.inputs.items() if name != "attention_mask"}
        language = self.model.model
        if "pixel_values" not in inputs:
            embedded: torch.Tensor = language.embed_tokens(inputs["input_ids"])
        else:
            # A copy: the model writes over the numbers of the images.
            inputs["input_ids"] = inputs["input_ids"].clone()
            embedded = language.vision_embed_tokens(**inputs)
        return embedded


def load(folder: Path, config: Config) -> Phi3Vision:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="phi3_v")
    if not config.trust_remote_code:
        raise UnhealableError("Phi-3-vision runs its repository's own code: needs --trust-remote-code")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        plain = AutoTokenizer.from_pretrained(folder, local_files_only=True, split_special_tokens=True)
        images = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        most = config.max_tiles or int(images["num_crops"])
        cutter = Cutter(most, torch.tensor(images["image_mean"]), torch.tensor(images["image_std"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnhealableError(f"can't load the tokenizer and preprocessor_config.json: {one_line(error)}") from error
    scribe = scribe_of(tokenizer, plain)
    missing = [mark for mark in (*ENDS, "<|user|>", "<|system|>") if mark not in scribe.marks]
    if missing:
        raise UnhealableError(f"the tokenizer in {folder} lacks the marks {', '.join(missing)}")
    # With the underscore: config.json names flash attention so, and would win. The code has no SDPA.
    model = load_model(AutoModelForCausalLM, folder, config, _attn_implementation="eager")
    return Phi3Vision(model, tokenizer, scribe, cutter, most_rows=_most_rows(model.config, config))


def _most_rows(published: Any, config: Config) -> int | None:
    """Beyond its original context the model turns to other factors of rotation, and all rows of a pass with it."""
    trained = published.original_max_position_embeddings
    if config.max_model_len <= trained:
        return None
    if config.max_num_seqs > 1:
        _log.info("one answer at a time: beyond %d tokens one row would change what the others read", trained)
    return 1
