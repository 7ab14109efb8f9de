"""Cutting an image into square tiles: how many across and down. Pure arithmetic, as InternVL2's model card has it."""

from __future__ import annotations

from functools import cache

Grid = tuple[int, int]
Box = tuple[int, int, int, int]


@cache
def grids(most: int, least: int = 1) -> tuple[Grid, ...]:
    """All grids (columns, rows) of ``least`` to ``most`` tiles, those with fewer tiles first.

    Which of two grids with equally many tiles comes first decides ties, and in the published code is left to the order
    of a set. So the set is made here in the same way; the order is the same on every CPython.
    """
    made = {
        (columns, rows)
        for number in range(least, most + 1)
        for columns in range(1, number + 1)
        for rows in range(1, number + 1)
        if least <= columns * rows <= most
    }
    return tuple(sorted(made, key=lambda grid: grid[0] * grid[1]))


def grid_for(size: tuple[int, int], side: int, most: int, least: int = 1) -> Grid:
    """The grid whose shape is nearest to that of an image of ``size``; ``side``: that of a tile in pixels.

    Of equally near ones the later wins where the image has more than half as many pixels as its tiles would.
    """
    width, height = size
    shape = width / height
    best, nearest = (1, 1), float("inf")
    for columns, rows in grids(most, least):
        distance = abs(shape - columns / rows)
        if distance < nearest or (distance == nearest and width * height > 0.5 * side * side * columns * rows):
            best, nearest = (columns, rows), distance
    return best


def boxes(grid: Grid, side: int) -> tuple[Box, ...]:
    """The tiles of an image that was scaled to the grid, row by row: left, upper, right, lower in pixels."""
    columns, rows = grid
    return tuple(
        (column * side, row * side, (column + 1) * side, (row + 1) * side)
        for row in range(rows)
        for column in range(columns)
    )
