"""Qwen2-VL, by transformers' own classes.

The processor class is not used: it asks for torchvision for the sake of videos, which are not served. What it
does for images (one mark in the prompt becomes one mark per merged patch) is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..config import Config
from ..conversation import Turn
from ..errors import ApiError, UnhealableError
from .base import CausalAdapter, Encoded
from .loading import check_config, load_model, one_line
from .options import no_options
from .qwen_images import check_shapes

IMAGE_MARK = "<|image_pad|>"


class Qwen2VL(CausalAdapter):
    """A loaded Qwen2-VL model."""

    padding: ClassVar[Mapping[str, int]] = {**CausalAdapter.padding, "mm_token_type_ids": 0}

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        super().__init__(model, tokenizer)
        self._image_processor = image_processor
        self._image_token = tokenizer.convert_tokens_to_ids(IMAGE_MARK)

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model; images are scaled by the image processor's own limits. It has no options."""
        no_options(options)
        text = self._prompt(turns)
        images = [image for turn in turns for image in turn.images]
        pieces = text.split(IMAGE_MARK)
        if len(pieces) != len(images) + 1:
            raise ApiError(f"the text must not hold the model's own mark {IMAGE_MARK}", param="messages")
        check_shapes(images)
        vision: dict[str, torch.Tensor] = {}
        if images:
            vision = dict(self._image_processor(images=images, return_tensors="pt"))
            merged = self._image_processor.merge_size**2
            counts = (vision["image_grid_thw"].prod(dim=1) // merged).tolist()
            marked = [piece + IMAGE_MARK * count for piece, count in zip(pieces[:-1], counts, strict=True)]
            text = "".join([*marked, pieces[-1]])
        inputs = dict(self.tokenizer(text, add_special_tokens=False, return_tensors="pt"))
        # Which tokens are images: the model gives them positions in two dimensions.
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == self._image_token).int()
        return Encoded(inputs | vision, len(images))

    def places(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
        """Images have places in two dimensions, and move the text behind them on by less than their tokens."""
        names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")
        places, moved = self.model.model.get_rope_index(**{name: inputs.get(name) for name in names})
        return places, (inputs["attention_mask"].sum(-1) + moved[:, 0]).tolist()

    def spread(self, positions: torch.Tensor) -> torch.Tensor:
        """Time, height and width are the same for text."""
        return positions[None].expand(3, -1, -1)

    def _prompt(self, turns: Sequence[Turn]) -> str:
        messages = [
            {
                "role": turn.role,
                "content": [
                    {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                    for part in turn.parts
                ],
            }
            for turn in turns
        ]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except jinja2.TemplateError as error:
            raise ApiError(f"the model's prompt template refuses the conversation: {error}", param="messages") from None


def load(folder: Path, config: Config) -> Qwen2VL:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="qwen2_vl")
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=config.trust_remote_code
        )
        image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UnhealableError(f"can't load the tokenizer and image processor: {one_line(error)}") from error
    if tokenizer.chat_template is None:
        raise UnhealableError(f"{folder} holds no chat template")
    if config.max_pixels is not None:
        size = dict(image_processor.size)
        size["longest_edge"] = min(config.max_pixels, size["longest_edge"])
        image_processor.size = size
    return Qwen2VL(load_model(Qwen2VLForConditionalGeneration, folder, config), tokenizer, image_processor)
