"""GOT-OCR 2.0, by transformers' own classes.

The processor writes the prompt itself: the model takes no question. What it can be asked is in its options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from transformers import AutoTokenizer, GotOcr2ForConditionalGeneration, GotOcr2Processor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from ..config import Config
from ..conversation import Turn
from ..errors import ApiError, UnhealableError
from .base import CausalAdapter, Encoded
from .loading import check_config, load_model, one_line
from .options import Options, one_turn, read_options

#: Tiles of one image by the processor's default, and the most that a request may ask for.
MOST_TILES = 12
#: Texts that ask for nothing: what clients send that can't leave the text out. The processor asks by itself.
PLAIN = frozenset({"", "ocr", "ocr:"})
FORMATTED = frozenset({"ocr with format", "ocr with format:"})

Pixel = Annotated[int, Field(ge=0)]


class GotOptions(Options):
    """What GOT-OCR can be asked; the names are the processor's.

    ``box``: x1, y1, x2, y2 in pixels of the image. ``color``: the colour of the frame around the text to read.
    ``crop_to_patches``: read a large image in tiles of 1024 x 1024, at most ``max_patches``, and an overview.
    ``multi_page``: the images are pages of one document.
    """

    format: bool = False
    box: Annotated[list[Pixel], Field(min_length=4, max_length=4)] | None = None
    color: Annotated[str, Field(pattern=r"^(red|green|blue)$")] | None = None
    crop_to_patches: bool = False
    max_patches: Annotated[int, Field(ge=1, le=MOST_TILES)] = MOST_TILES
    multi_page: bool = False


class GotOcr2(CausalAdapter):
    """A loaded GOT-OCR 2.0."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor.tokenizer)
        self._processor = processor
        vision = model.config.vision_config
        # The tower makes 16-pixel patches and halves them twice: 1024 pixels are 64 patches, then 16 x 16 tokens.
        side = vision.image_size // vision.patch_size // 4
        self._tokens_per_tile = side * side

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model: one message with an image, or with the pages of a document."""
        turn = one_turn(tuple(turns), "GOT-OCR")
        asked = read_options(GotOptions, options)
        text = turn.text.strip().lower()
        if text not in PLAIN | FORMATTED:
            message = (
                'GOT-OCR takes no question: leave the text out, or say "OCR" or "OCR with format"; '
                f"options say the rest: {', '.join(GotOptions.model_fields)}"
            )
            raise ApiError(message, param="messages", code="invalid_value")
        images = list(turn.images)
        _check(len(images), asked)
        inputs = self._processor(
            images=images,
            format=asked.format or text in FORMATTED,
            box=list(_within(asked.box, images[0].size)) if asked.box else None,
            color=asked.color,
            multi_page=asked.multi_page,
            num_image_tokens=self._tokens_per_tile,
            crop_to_patches=asked.crop_to_patches,
            max_patches=asked.max_patches,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask", "pixel_values")
        return Encoded({name: inputs[name] for name in names}, int(inputs["pixel_values"].shape[0]))


def _check(images: int, asked: GotOptions) -> None:
    wrong = None
    if not images:
        wrong = "GOT-OCR reads images: the message holds none"
    elif images > 1 and not asked.multi_page:
        wrong = "GOT-OCR reads one image, or several with options.multi_page: true"
    elif asked.multi_page and (asked.box or asked.crop_to_patches):
        wrong = "GOT-OCR takes neither a box nor crop_to_patches with multi_page"
    elif asked.box and asked.color:
        wrong = "GOT-OCR takes a box or a color, not both"
    if wrong:
        raise ApiError(wrong, param="messages", code="invalid_value")


def _within(box: list[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    if not (left < right <= size[0] and top < bottom <= size[1]):
        message = f"options.box: x1 < x2 and y1 < y2 within the image of {size[0]} x {size[1]} pixels, got {box}"
        raise ApiError(message, param="options.box", code="invalid_value")
    return left, top, right, bottom


def load(folder: Path, config: Config) -> GotOcr2:
    """Loads the model from a folder. Raises ``UnhealableError`` for a folder that can never be served."""
    check_config(folder, config, model_type="got_ocr2")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        image_processor = GotOcr2ImageProcessorPil.from_pretrained(folder, local_files_only=True)
        processor = GotOcr2Processor(image_processor, tokenizer)
    except (OSError, ValueError) as error:
        raise UnhealableError(f"can't load the tokenizer and image processor: {one_line(error)}") from error
    return GotOcr2(load_model(GotOcr2ForConditionalGeneration, folder, config), processor)
