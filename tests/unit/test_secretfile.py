"""Files with secrets: which are fit, for the container and for us, and that nothing shows what they hold."""

from __future__ import annotations

import pytest

from orchestrator.errors import EnvironmentProblem, RequestError
from orchestrator.secretfile import API_KEY, HF_TOKEN, LONGEST, Secret, StoredFile, check, known, reveal

FILE = "/state/secrets/api_key"


def stored(text: bytes | None = b"a-key\n", owner: int = 0, group: int = 0, mode: int = 0o100640) -> StoredFile:
    return StoredFile(owner, group, mode, text)


def test_names() -> None:
    assert (API_KEY.default, API_KEY.mount) == ("./secrets/api_key", "/run/secrets/api_key")
    assert (HF_TOKEN.default, HF_TOKEN.mount) == ("./secrets/hf_token", "/run/secrets/hf_token")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (API_KEY, "demo is to ask its callers for an API key, and there is no file with an API key"),
        (HF_TOKEN, "demo is gated, and there is no file with a Hugging Face token"),
    ],
)
def test_no_file(secret: Secret, words: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        check(secret, "demo", FILE, None)
    assert (caught.value.what, caught.value.where) == (words, FILE)
    assert secret.variable in caught.value.hint


def test_how_to_make_a_key_is_told() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        check(API_KEY, "demo", FILE, None)
    assert f"mkdir -p /state/secrets && openssl rand -hex 32 > {FILE}" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"two words", "does not hold one word"),
        (b"two\nlines", "does not hold one word"),
        ("schl\u00fcssel".encode(), "does not hold one word"),
        (b"a\0b", "does not hold one word"),
        (b"\x1b[31m", "does not hold one word"),
        (b"x" * (LONGEST + 1), "does not hold one word"),
    ],
)
def test_a_text_that_is_no_key(text: bytes, told: str) -> None:
    with pytest.raises(RequestError) as caught:
        check(API_KEY, "demo", FILE, stored(text))
    assert f"the file with an API key {told}" in caught.value.what
    assert "[31m" not in str(vars(caught.value))


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        (stored(), True),
        (stored(mode=0o100600), False),
        (stored(mode=0o100604), False),
        (stored(owner=1000, group=1000), False),
        (stored(owner=1000, group=1000, mode=0o100644), True),
        (stored(owner=1000, group=0), True),
        (stored(owner=2000, group=2000, mode=0o100400), True),
        (stored(owner=2000, group=0, mode=0o100044), False),
    ],
)
def test_the_containers_user_must_be_able_to_read_it(found: StoredFile, fit: bool) -> None:
    """The kernel looks at the first of owner, group and others that fits, and at no other."""
    if fit:
        check(API_KEY, "demo", FILE, found)
        return
    with pytest.raises(RequestError, match=r"the containers' user \(2000:0\) can't read") as caught:
        check(API_KEY, "demo", FILE, found)
    assert f"chgrp 0 {FILE}" in caught.value.hint


def test_the_key_is_revealed_without_its_line_end() -> None:
    assert reveal(API_KEY, "demo", FILE, stored(b" a-key\r\n")) == "a-key"


def test_a_file_that_only_root_may_read_is_fit_for_the_container_and_not_for_us() -> None:
    check(API_KEY, "demo", FILE, stored(None))
    with pytest.raises(EnvironmentProblem, match="this user can't read the file that holds it"):
        reveal(API_KEY, "demo", FILE, stored(None))


def test_nothing_shows_the_text() -> None:
    assert "a-key" not in repr(stored())


def test_who_can_do_without_a_secret_gets_none() -> None:
    assert known(HF_TOKEN, FILE, stored()) == "a-key"
    assert known(HF_TOKEN, FILE, stored(mode=0o100600)) == "a-key", "it is not for a container"
    assert known(HF_TOKEN, FILE, None) == known(HF_TOKEN, FILE, stored(None)) == ""
    with pytest.raises(RequestError, match="is empty"):
        known(HF_TOKEN, FILE, stored(b""))
