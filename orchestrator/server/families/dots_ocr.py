"""dots.ocr, by the repository's own code (transformers 4.51).

Its processor class is not used: it can't be loaded from transformers 4.54 on, and what it does for images is one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen2VLImageProcessor

from ..config import Config
from ..conversation import Turn
from ..errors import UnhealableError
from .base import CausalAdapter, Encoded
from .dots_ocr_prompt import END, END_ANSWER, PATCH, pieces
from .loading import check_config, load_model, one_line
from .marks import Scribe, scribe_of
from .options import no_options
from .qwen_images import MAX_ASPECT_RATIO, check_shapes, enlarged


class ImageAttention(torch.nn.Module):  # type: ignore[misc]
    """The vision tower's attention in memory that grows with an image's patches, not with their square.

    What the repository has for that is flash-attn, which the image does not hold; its others need tens of GiB for one
    large page. PyTorch picks the kernel; on a GPU not verified here.
    """

    def __init__(self, published: Any) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = published.qkv, published.proj, published.num_heads

    def forward(
        self, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, rotary_pos_emb: torch.Tensor
    ) -> torch.Tensor:
        """``hidden_states``: (patches, width) of all images; ``cu_seqlens``: where each begins, and their end."""
        patches = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).view(patches, 3, self.num_heads, -1).permute(1, 2, 0, 3)
        query, key = _turned(query, rotary_pos_emb), _turned(key, rotary_pos_emb)
        lengths = cu_seqlens.diff().tolist()
        images = zip(*(tensor[None].split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
        seen = torch.cat([scaled_dot_product_attention(*image) for image in images], dim=2)
        output: torch.Tensor = self.proj(seen[0].transpose(0, 1).reshape(patches, -1))
        return output


def _turned(tensor: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """(heads, patches, width): the two halves of the width are turned by an angle each, in 32 bit."""
    first, second = tensor.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(tensor.dtype)


class DotsOcr(CausalAdapter):
    """A loaded dots.ocr."""

    def __init__(self, model: Any, tokenizer: Any, scribe: Scribe, image_processor: Any) -> None:
        super().__init__(model, tokenizer)
        self._scribe = scribe
        self._image_processor = image_processor
        self._least = image_processor.patch_size * image_processor.merge_size
        self._patch = model.config.image_token_id
        self.ends |= {scribe.marks[END], scribe.marks[END_ANSWER]}
        tower = model.vision_tower
        self._dtype = model.get_input_embeddings().weight.dtype
        for block in tower.blocks:
            block.attn = ImageAttention(block.attn)
        if self._dtype != torch.bfloat16:
            # Left to itself the tower takes bfloat16 only, whatever its weights are.
            tower.forward = partial(tower.forward, bf16=False)

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model; images are scaled by the image processor's own limits. It has no options."""
        no_options(options)
        written = pieces(turns)
        images = [image for turn in turns for image in turn.images]
        check_shapes(images)
        images = [enlarged(image, self._least) for image in images]
        vision: dict[str, torch.Tensor] = {}
        marked: list[list[int]] = []
        if images:
            vision = dict(self._image_processor(images=images, return_tensors="pt"))
            vision["pixel_values"] = vision["pixel_values"].to(self._dtype)
            merged = self._image_processor.merge_size**2
            marked = [[self._patch] * (int(grid.prod()) // merged) for grid in vision["image_grid_thw"]]
        ids = torch.tensor([self._scribe.write(written, marked)])
        return Encoded({"input_ids": ids, "attention_mask": torch.ones_like(ids), **vision}, len(images))


def load(folder: Path, config: Config) -> DotsOcr:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="dots_ocr")
    if not config.trust_remote_code:
        raise UnhealableError("dots.ocr runs its repository's own code: needs --trust-remote-code")
    try:
        published = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        plain = AutoTokenizer.from_pretrained(folder, local_files_only=True, split_special_tokens=True)
        image_processor = Qwen2VLImageProcessor.from_pretrained(folder, local_files_only=True)
    except (ImportError, OSError, ValueError) as error:
        raise UnhealableError(
            f"can't load the configuration, tokenizer and image processor: {one_line(error)}"
        ) from error
    if config.max_pixels is not None:
        # With fewer, transformers 4.51 scales the longest strips to nothing.
        fewest = MAX_ASPECT_RATIO * (image_processor.patch_size * image_processor.merge_size + 1) ** 2
        if config.max_pixels < fewest:
            raise UnhealableError(f"--max-pixels {config.max_pixels}: dots.ocr needs at least {fewest}")
        image_processor.max_pixels = min(config.max_pixels, image_processor.max_pixels)
    scribe = scribe_of(tokenizer, plain)
    missing = [mark for mark in (END, END_ANSWER, PATCH) if mark not in scribe.marks]
    if missing:
        raise UnhealableError(f"the tokenizer in {folder} lacks the marks {', '.join(missing)}")
    # What the tower asks for by itself is flash-attn; its attention is replaced once it is loaded.
    published.vision_config.attn_implementation = "eager"
    model = load_model(AutoModelForCausalLM, folder, config, config=published, attn_implementation="sdpa")
    return DotsOcr(model, tokenizer, scribe, image_processor)
