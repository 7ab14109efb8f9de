"""How Phi-3-vision cuts an image into tiles of 336 x 336 pixels, and how many tokens it takes. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Side of a tile, in pixels: what the vision tower was trained with.
TILE = 336
#: Tokens of a tile: patches of 14 pixels, 2 x 2 of them a token.
_PER_TILE = (TILE // 14 // 2) ** 2
_ROWS_OF_TILE = TILE // 14 // 2


@dataclass(frozen=True, slots=True)
class Layout:
    """An image on a page of tiles.

    ``turned``: the image stands, and is worked on lying. ``scaled``: its width and height in pixels then; ``above``:
    the white pixels over it. ``rows`` and ``columns``: the tiles of the page, the image upright again.
    """

    turned: bool
    scaled: tuple[int, int]
    above: int
    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """Of all tiles and of the overview; each row of tokens has an end, and one mark stands between the two."""
        return (self.rows * self.columns + 1) * _PER_TILE + 1 + (self.rows + 1) * _ROWS_OF_TILE


def layout(size: tuple[int, int], most: int) -> Layout:
    """The largest page of at most ``most`` tiles (the overview not among them) for an image of ``size``.

    The image fills the page across, so small ones are enlarged.
    """
    turned = size[0] < size[1]
    width, height = reversed(size) if turned else size
    ratio = width / height
    across = 1
    while (across + 1) * math.ceil((across + 1) / ratio) <= most:
        across += 1
    # The published code fails on a strip that is more than 336 times as long as wide: nothing would be left of it.
    scaled = (across * TILE, max(1, int(across * TILE / ratio)))
    down = math.ceil(scaled[1] / TILE)
    rows, columns = (across, down) if turned else (down, across)
    return Layout(turned, scaled, (down * TILE - scaled[1]) // 2, rows, columns)
