"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: microsoft/Phi-3.5-vision-instruct, as of the copy named in tests/integration/engines/published.json.
vLLM asks it for pixels and numbers of tokens; our server cuts images by itself. As published: the image processor
makes itself known to transformers by its name, and ``__call__`` gives image k's tokens the id -k.
"""

import math
import re
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch.nn.functional import interpolate, pad
from transformers import AutoImageProcessor
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_processing_utils import BatchFeature as Features
from transformers.processing_utils import ProcessorMixin
from transformers.utils import TensorType

TILE = 336
_TOKENS = 144
_ROWS = 12


def _page(width: int, height: int, most: int) -> tuple[int, int, int]:
    """The scaled image's height, and rows and columns of the page of tiles, for an image that lies."""
    ratio = width / height
    across = max(n for n in range(1, most + 1) if n * math.ceil(n / ratio) <= most or n == 1)
    scaled = int(across * TILE / ratio)
    return scaled, math.ceil(scaled / TILE), across


def _upright(width: int, height: int, most: int) -> tuple[int, int]:
    """Rows and columns of the page."""
    if width >= height:
        return _page(width, height, most)[1:]
    _, columns, rows = _page(height, width, most)
    return rows, columns


def _tokens(rows: int, columns: int) -> int:
    return (rows * columns + 1) * _TOKENS + 1 + (rows + 1) * _ROWS


class Phi3VImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]  # noqa: RUF012 (as published)

    def __init__(
        self,
        num_crops: int = 1,
        image_mean: Any = None,
        image_std: Any = None,
        do_convert_rgb: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_crops = num_crops
        self.image_mean = image_mean
        self.image_std = image_std
        self.do_convert_rgb = do_convert_rgb

    def calc_num_image_tokens(self, images: Any) -> list[int]:
        return [self.calc_num_image_tokens_from_image_size(*image.size) for image in images]

    def calc_num_image_tokens_from_image_size(self, width: int, height: int) -> int:
        return _tokens(*_upright(width, height, self.num_crops))

    def preprocess(
        self,
        images: Any,
        image_mean: Any = None,
        image_std: Any = None,
        do_convert_rgb: Any = None,
        return_tensors: Any = None,
    ) -> Features:
        images = images if isinstance(images, list) else [images]
        pages = [self._page(image.convert("RGB")) for image in images]
        sizes = [(page.shape[1], page.shape[2]) for page in pages]
        tiles = [self._tiles(page) for page in pages]
        data = {
            "pixel_values": torch.stack([pad(cut, (0,) * 7 + (self.num_crops + 1 - len(cut),)) for cut in tiles]),
            "image_sizes": [list(size) for size in sizes],
            "num_img_tokens": [_tokens(height // TILE, width // TILE) for height, width in sizes],
        }
        return Features(data=data, tensor_type=return_tensors)

    def _page(self, image: Any) -> Any:
        """(3, height, width): the image scaled to the page's width, white above and below, and normalised."""
        turned = image.width < image.height
        lying = image.transpose(Image.Transpose.TRANSPOSE) if turned else image
        height, down, across = _page(lying.width, lying.height, self.num_crops)
        page = Image.new("RGB", (across * TILE, down * TILE), "white")
        scaled = lying.resize((across * TILE, height), Image.Resampling.BILINEAR)
        page.paste(scaled, (0, (down * TILE - height) // 2))
        upright = page.transpose(Image.Transpose.TRANSPOSE) if turned else page
        pixels = torch.from_numpy(np.array(upright)).permute(2, 0, 1).float() / 255
        mean, deviation = (torch.tensor(value)[:, None, None] for value in (self.image_mean, self.image_std))
        return (pixels - mean) / deviation

    def _tiles(self, page: Any) -> Any:
        """(tiles + 1, 3, 336, 336): the overview, then the tiles row by row."""
        overview = interpolate(page[None], size=(TILE, TILE), mode="bicubic")
        rows, columns = page.shape[1] // TILE, page.shape[2] // TILE
        grid = page.view(3, rows, TILE, columns, TILE).permute(1, 3, 0, 2, 4)
        return torch.cat([overview, grid.reshape(-1, 3, TILE, TILE)])


AutoImageProcessor.register("Phi3VImageProcessor", Phi3VImageProcessor)
transformers.Phi3VImageProcessor = Phi3VImageProcessor


class Phi3VProcessor(ProcessorMixin):
    attributes = ["image_processor", "tokenizer"]  # noqa: RUF012 (as published)
    image_processor_class = "Phi3VImageProcessor"
    tokenizer_class = ("LlamaTokenizer", "LlamaTokenizerFast")
    special_image_token = "<|image|>"  # noqa: S105 (a mark in a text)

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.num_img_tokens = image_processor.num_img_tokens
        self.img_tokens = [f"<|image_{number}|>" for number in range(1, 1000001)]

    def __call__(
        self,
        text: Any,
        images: Any = None,
        padding: Any = False,
        truncation: Any = None,
        max_length: Any = None,
        return_tensors: Any = TensorType.PYTORCH,
    ) -> Features:
        cut = self.image_processor(images, return_tensors=return_tensors) if images is not None else {}
        return self._convert_images_texts_to_inputs(
            cut, text, padding=padding, truncation=truncation, max_length=max_length, return_tensors=return_tensors
        )

    def calc_num_image_tokens(self, images: Any) -> Any:
        return self.image_processor.calc_num_image_tokens(images)

    def calc_num_image_tokens_from_image_size(self, width: int, height: int) -> Any:
        return self.image_processor.calc_num_image_tokens_from_image_size(width, height)

    @property
    def special_image_token_id(self) -> Any:
        return self.get_special_image_token_id()

    def get_special_image_token_id(self) -> Any:
        return self.tokenizer.convert_tokens_to_ids(self.special_image_token)

    def _convert_images_texts_to_inputs(
        self,
        images: Any,
        texts: Any,
        padding: Any = False,
        truncation: Any = None,
        max_length: Any = None,
        return_tensors: Any = None,
    ) -> Features:
        if not images:
            given = {"padding": padding, "truncation": truncation, "max_length": max_length}
            return Features(data=dict(self.tokenizer(texts, return_tensors=return_tensors, **given)))
        ids: list[int] = []
        for piece in re.split(r"(<\|image_\d+\|>)", texts):
            mark = re.fullmatch(r"<\|image_(\d+)\|>", piece)
            number = int(mark[1]) if mark else 0
            ids += [-number] * images["num_img_tokens"][number - 1] if mark else self.tokenizer(piece).input_ids
        row = torch.tensor([ids])
        kept = {name: images[name] for name in ("pixel_values", "image_sizes")}
        return Features(data={"input_ids": row, "attention_mask": torch.ones_like(row), **kept})

    def batch_decode(self, *args: Any, **kwargs: Any) -> Any:
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        return self.tokenizer.decode(*args, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        return [*self.tokenizer.model_input_names, *self.image_processor.model_input_names]
