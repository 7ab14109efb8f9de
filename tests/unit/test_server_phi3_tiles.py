import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.families.phi3_tiles import TILE, layout

SIDES = st.integers(1, 20_000)


# What the published processor gives for these sizes, run with torchvision outside the project.
@pytest.mark.parametrize(
    ("size", "most", "grid", "tokens"),
    [
        ((100, 100), 16, (4, 4), 2509),
        ((100, 100), 4, (2, 2), 757),
        ((1344, 1008), 16, (3, 4), 1921),
        ((1008, 1344), 16, (4, 3), 1933),
        ((5000, 100), 16, (1, 16), 2473),
        ((100, 5000), 16, (16, 1), 2653),
        ((640, 480), 1, (1, 1), 313),
        ((2480, 3508), 16, (4, 3), 1933),
    ],
)
def test_the_grid_and_the_tokens_are_those_of_the_published_processor(
    size: tuple[int, int], most: int, grid: tuple[int, int], tokens: int
) -> None:
    page = layout(size, most)
    assert (page.rows, page.columns, page.tokens) == (*grid, tokens)


@given(SIDES, SIDES, st.integers(1, 16))
def test_an_image_fills_its_page_across_and_is_never_larger_than_it(width: int, height: int, most: int) -> None:
    page = layout((width, height), most)
    assert page.rows * page.columns <= most
    across, down = (page.rows, page.columns) if page.turned else (page.columns, page.rows)
    assert page.scaled[0] == across * TILE
    below = down * TILE - page.scaled[1] - page.above
    assert page.above <= below <= page.above + 1
    assert page.above + below < TILE


@given(SIDES, SIDES, st.integers(1, 16))
def test_a_standing_image_is_a_lying_one_on_its_side(width: int, height: int, most: int) -> None:
    lying, standing = (
        layout((max(width, height), min(width, height)), most),
        layout((min(width, height), max(width, height)), most),
    )
    assert (lying.rows, lying.columns) == (standing.columns, standing.rows)
    assert lying.scaled == standing.scaled


def test_a_strip_that_would_vanish_keeps_a_pixel() -> None:
    assert layout((20_000, 1), 4).scaled == (4 * TILE, 1)
