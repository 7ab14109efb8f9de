from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.stopping import cut, tail_tokens


def test_the_first_stop_string_ends_the_text() -> None:
    assert cut("one two three", ["three", "two"]) == ("one ", True)
    assert cut("one", ["two"]) == ("one", False)
    assert cut("one", []) == ("one", False)


def test_the_tail_is_counted_in_bytes() -> None:
    assert tail_tokens(["ab", "й"]) == 2 + 3
    assert tail_tokens([]) == 3


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_stop_string_is_left(text: str, stops: list[str]) -> None:
    kept, found = cut(text, stops)
    assert not any(stop in kept for stop in stops)
    assert found == (kept != text)
    assert text.startswith(kept)
