import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.families.tiling import boxes, grid_for, grids

SIDES = st.integers(1, 20_000)


# What the recipe of InternVL2's model card gives for these sizes, run outside the project.
@pytest.mark.parametrize(
    ("size", "most", "grid"),
    [
        ((448, 448), 12, (1, 1)),
        ((1000, 1000), 12, (3, 3)),
        ((1600, 1200), 12, (4, 3)),
        ((2480, 3508), 12, (2, 3)),
        ((5000, 100), 12, (12, 1)),
        ((100, 5000), 12, (1, 12)),
        ((900, 450), 12, (2, 1)),
        ((1920, 1080), 12, (4, 2)),
        ((1920, 1080), 6, (2, 1)),
        ((1920, 1080), 1, (1, 1)),
        ((3000, 1000), 4, (3, 1)),
    ],
)
def test_the_grid_is_that_of_the_model_card(size: tuple[int, int], most: int, grid: tuple[int, int]) -> None:
    assert grid_for(size, 448, most) == grid


@given(SIDES, SIDES, st.integers(1, 12))
def test_a_grid_has_no_more_tiles_than_are_allowed(width: int, height: int, most: int) -> None:
    columns, rows = grid_for((width, height), 448, most)
    assert 1 <= columns * rows <= most


@given(st.integers(1, 12), st.integers(1, 12))
def test_grids_come_with_few_tiles_first_and_each_once(least: int, most: int) -> None:
    found = grids(most, least)
    sizes = [columns * rows for columns, rows in found]
    assert sizes == sorted(sizes)
    assert len(set(found)) == len(found)
    assert all(least <= size <= most for size in sizes)


def test_tiles_are_cut_row_by_row() -> None:
    assert boxes((2, 2), 10) == ((0, 0, 10, 10), (10, 0, 20, 10), (0, 10, 10, 20), (10, 10, 20, 20))
