from collections.abc import Sequence

import pytest
from PIL import Image

from orchestrator.server.conversation import Role, Turn
from orchestrator.server.errors import ApiError
from orchestrator.server.families import dots_ocr_prompt, internvl2_prompt, phi3_prompt
from orchestrator.server.families.marks import IMAGE, Mark, Piece, Scribe
from orchestrator.server.families.qwen_images import check_shapes, enlarged

PICTURE = Image.new("RGB", (2, 2))
TALK = (
    Turn("system", ("Be short.",)),
    Turn("user", (PICTURE, "Hi")),
    Turn("assistant", ("Yes",)),
    Turn("user", ("Bye",)),
)


def internvl2_pieces(turns: Sequence[Turn]) -> list[Piece]:
    return internvl2_prompt.pieces(turns, "I am a test.")


def shown(pieces: list[Piece]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def test_dots_ocr_writes_a_conversation_as_its_template_for_texts_does() -> None:
    assert shown(dots_ocr_prompt.pieces(TALK)) == (
        "<|system|>Be short.<|endofsystem|>\n<|user|><|img|>(image)<|endofimg|>Hi<|endofuser|>"
        "<|assistant|>Yes<|endofassistant|><|user|>Bye<|endofuser|><|assistant|>"
    )


def test_dots_ocr_goes_on_with_an_answer_that_was_begun() -> None:
    pieces = dots_ocr_prompt.pieces((Turn("user", ("Hi",)), Turn("assistant", ("Ye",))))
    assert shown(pieces) == "<|user|>Hi<|endofuser|><|assistant|>Ye"


def test_phi_writes_a_conversation_as_its_template_does() -> None:
    assert shown(phi3_prompt.pieces(TALK)) == (
        "<|system|>\nBe short.<|end|>\n<|user|>\n(image)\nHi<|end|>\n<|assistant|>\nYes<|end|>\n<|user|>\nBye<|end|>\n"
        "<|assistant|>\n"
    )


def test_phi_does_not_go_on_with_an_answer() -> None:
    with pytest.raises(ApiError, match="last message must be the user's"):
        phi3_prompt.pieces((Turn("user", ("Hi",)), Turn("assistant", ("Ye",))))


def test_internvl2_writes_a_conversation_as_its_template_does() -> None:
    assert shown(internvl2_pieces(TALK)) == (
        "<|im_start|>system\nBe short.<|im_end|><|im_start|>user\n(image)\nHi<|im_end|>"
        "<|im_start|>assistant\nYes<|im_end|><|im_start|>user\nBye<|im_end|><|im_start|>assistant\n"
    )


def test_internvl2_has_a_system_prompt_of_its_own() -> None:
    written = shown(internvl2_pieces((Turn("user", ("Hi",)),)))
    assert written.startswith("<|im_start|>system\nI am a test.<|im_end|><|im_start|>user\nHi<|im_end|>")


def test_internvl2_numbers_several_images_and_has_them_before_the_text() -> None:
    turns = (Turn("user", ("Hi", PICTURE, PICTURE)), Turn("assistant", ("Yes",)), Turn("user", (PICTURE, "Bye")))
    written = shown(internvl2_pieces(turns))
    assert "user\nImage-1: (image)\nImage-2: (image)\nHi<|im_end|>" in written
    assert "user\nImage-3: (image)\nBye<|im_end|>" in written


@pytest.mark.parametrize("roles", [("user", "assistant"), ("user", "system", "user"), ("system",)])
def test_internvl2_refuses_what_its_template_has_no_form_for(roles: tuple[Role, ...]) -> None:
    with pytest.raises(ApiError, match="InternVL2"):
        internvl2_pieces(tuple(Turn(role, ("Hi",)) for role in roles))


@pytest.mark.parametrize("pieces", [dots_ocr_prompt.pieces, internvl2_pieces, phi3_prompt.pieces])
@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_are_the_users(pieces: object, role: str) -> None:
    with pytest.raises(ApiError, match="user's messages only"):
        pieces((Turn(role, (PICTURE,)), Turn("user", ("Hi",))))  # type: ignore[operator,arg-type]


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


SCRIBE = Scribe({"<end>": 1000, "<go>": 1001}, frozenset({"<go>"}), letters)


def test_a_mark_is_a_token_and_the_same_text_of_a_caller_is_not() -> None:
    assert SCRIBE.write([Mark("<end>"), "<end>"]) == [1000, *letters("<end>")]


def test_texts_that_touch_are_read_as_one() -> None:
    seen: list[str] = []

    def plain(text: str) -> list[int]:
        seen.append(text)
        return []

    Scribe({"<end>": 1}, frozenset(), plain).write(["a", "b", Mark("<end>"), "", "c"])
    assert seen == ["ab", "c"]


def test_a_mark_that_takes_the_blanks_behind_it_takes_them_across_texts() -> None:
    assert SCRIBE.write([Mark("<go>"), "\n", " a "]) == [1001, *letters("a ")]
    assert SCRIBE.write([Mark("<go>"), "\n"]) == [1001]
    assert SCRIBE.write([Mark("<go>"), IMAGE, "\n"], [[7]]) == [1001, 7, *letters("\n")]


def test_images_have_their_tokens_in_order() -> None:
    assert SCRIBE.write(["a", IMAGE, IMAGE], [[-1, -1], [-2]]) == [*letters("a"), -1, -1, -2]


def test_a_picture_may_be_200_times_as_long_as_wide_and_no_longer() -> None:
    check_shapes([Image.new("RGB", (200, 1))])
    with pytest.raises(ApiError, match="200 times"):
        check_shapes([PICTURE, Image.new("RGB", (1, 201))])


@pytest.mark.parametrize(
    ("size", "wanted"), [((28, 28), (28, 28)), ((27, 30), (54, 60)), ((3, 100), (30, 1000)), ((1, 1), (28, 28))]
)
def test_a_small_picture_is_enlarged_a_whole_number_of_times(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert enlarged(Image.new("RGB", size), 28).size == wanted
