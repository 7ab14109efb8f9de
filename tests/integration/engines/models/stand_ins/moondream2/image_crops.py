"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image


def select_tiling(height: int, width: int, crop_size: int, max_crops: int) -> tuple[int, int]:
    """Rows and columns of tiles for an image without its margins."""
    if height <= crop_size or width <= crop_size:
        return (1, 1)
    least = (-(-height // crop_size), -(-width // crop_size))
    if least[0] * least[1] > max_crops:
        shrink = (max_crops / (least[0] * least[1])) ** 0.5
        return (max(1, int(least[0] * shrink)), max(1, int(least[1] * shrink)))
    down = max(int((max_crops * height / width) ** 0.5), least[0])
    across = max(int((max_crops * width / height) ** 0.5), least[1])
    if down * across > max_crops and across > down:
        across = max_crops // down
    elif down * across > max_crops:
        down = max_crops // across
    return (max(1, down), max(1, across))


class OverlapCropOutput(TypedDict):
    crops: Any
    tiling: tuple[int, int]


def overlap_crop_image(
    image: Any,
    overlap_margin: int,
    max_crops: int,
    base_size: tuple[int, int] = (378, 378),
    patch_size: int = 14,
) -> OverlapCropOutput:
    """The whole image as one crop, then tiles that overlap by two margins."""
    side = base_size[0]
    margins = 2 * overlap_margin * patch_size
    window = (side // patch_size - 2 * overlap_margin) * patch_size
    tiling = select_tiling(image.shape[0] - margins, image.shape[1] - margins, window, max_crops)
    picture = Image.fromarray(image)
    size = (tiling[1] * window + margins, tiling[0] * window + margins)
    fitted = np.asarray(picture.resize(size, resample=Image.Resampling.LANCZOS))
    crops = [np.asarray(picture.resize((side, side), resample=Image.Resampling.LANCZOS))]
    places = [(row * window, column * window) for row in range(tiling[0]) for column in range(tiling[1])]
    crops += [fitted[top : top + side, left : left + side] for top, left in places]
    return {"crops": np.stack(crops), "tiling": tiling}


def reconstruct_from_crops(crops: Any, tiling: tuple[int, int], overlap_margin: int, patch_size: int = 14) -> Any:
    """Puts tiles (tiles, rows, columns, width) together again, each without the margins that it shares."""
    margin = overlap_margin * patch_size
    rows = []
    for row in range(tiling[0]):
        top, bottom = (margin if row else 0), (margin if row < tiling[0] - 1 else 0)
        line = []
        for column in range(tiling[1]):
            left, right = (margin if column else 0), (margin if column < tiling[1] - 1 else 0)
            crop = crops[row * tiling[1] + column]
            line.append(crop[top : crop.shape[0] - bottom, left : crop.shape[1] - right])
        rows.append(torch.cat(line, dim=1))
    return torch.cat(rows, dim=0)
