"""Qwen2-VL, by transformers' own classes.

The processor class is not used: it asks for torchvision for the sake of videos, which are not served. What it
does for images (one mark in the prompt becomes one mark per merged patch) is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..config import Config
from ..conversation import Turn
from ..errors import ApiError, UnhealableError
from .loading import check_config, load_model, one_line

IMAGE_MARK = "<|image_pad|>"
#: The image processor refuses longer strips.
MAX_ASPECT_RATIO = 200


class Qwen2VL:
    """A loaded Qwen2-VL model."""

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._image_processor = image_processor
        self._image_token = tokenizer.convert_tokens_to_ids(IMAGE_MARK)

    def encode(self, turns: Sequence[Turn]) -> Mapping[str, Any]:
        """The arguments of ``generate``; images are scaled by the image processor's own limits."""
        text = self._prompt(turns)
        images = [part for turn in turns for part in turn.parts if not isinstance(part, str)]
        pieces = text.split(IMAGE_MARK)
        if len(pieces) != len(images) + 1:
            raise ApiError(f"the text must not hold the model's own mark {IMAGE_MARK}", param="messages")
        for image in images:
            if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
                message = f"an image may be at most {MAX_ASPECT_RATIO} times as long as wide, got {image.size}"
                raise ApiError(message, param="messages", code="invalid_image")
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
        return {name: tensor.to(self.model.device) for name, tensor in (inputs | vision).items()}

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
