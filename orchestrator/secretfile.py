"""Files that hold one secret: how they are named, and what makes one unfit. Pure, and quick to import.

The text of a secret is in no message, no rendered file and no label, and no value here shows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from orchestrator.errors import EnvironmentProblem, RequestError

#: user and group of every container; vLLM's image supports it
USER, GROUP = 2000, 0
#: no key or token comes near it
LONGEST = 4096
_WORD = re.compile(rb"[\x21-\x7e]{1,%d}" % LONGEST)


@dataclass(frozen=True, slots=True)
class Secret:
    """A kind of secret. Files lie where ``variable`` says, or else in ``secrets/`` beside the Compose files."""

    name: str
    """Of the Compose secret, and of the file in ``secrets/``."""
    variable: str
    what: str
    need: str
    """Why a model needs it; follows the model's name."""
    make: str
    """How to come by one; it belongs into ``{file}`` in ``{folder}``."""

    @property
    def default(self) -> str:
        """The file, from the folder of the Compose files."""
        return f"./secrets/{self.name}"

    @property
    def mount(self) -> str:
        """The file inside the container."""
        return f"/run/secrets/{self.name}"


HF_TOKEN = Secret(
    "hf_token",
    "ORCHESTRATOR_HF_TOKEN_FILE",
    "a Hugging Face token",
    "is gated",
    "put the token into that file",
)
API_KEY = Secret(
    "api_key",
    "ORCHESTRATOR_API_KEY_FILE",
    "an API key",
    "is to ask its callers for an API key",
    "make one: 'mkdir -p {folder} && openssl rand -hex 32 > {file}'",
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it lies on the disk."""

    owner: int
    group: int
    mode: int
    text: bytes | None = field(repr=False)
    """At most ``LONGEST`` bytes and a few; None where this user may not read it."""


def check(secret: Secret, model: str, file: str, found: StoredFile | None) -> None:
    """Whether a model's container can use the file. EnvironmentProblem without one, RequestError for an unfit one."""
    if found is None:
        raise EnvironmentProblem(
            f"{model} {secret.need}, and there is no file with {secret.what}",
            where=file,
            hint=f"{_make(secret, file)}; or name another file in {secret.variable}",
        )
    if not _readable(found):
        raise RequestError(
            f"the containers' user ({USER}:{GROUP}) can't read the file with {secret.what}",
            where=file,
            hint=f"as root: 'chgrp {GROUP} {file} && chmod g+r {file}'",
        )
    if found.text is not None:
        _word(secret, file, found.text)


def reveal(secret: Secret, model: str, file: str, found: StoredFile | None) -> str:
    """The secret itself; raises what ``check`` raises, and EnvironmentProblem where this user may not read it."""
    check(secret, model, file, found)
    if found is None or found.text is None:
        raise EnvironmentProblem(
            f"{model} asks its callers for {secret.what}, and this user can't read the file that holds it",
            where=file,
            hint="run it as root, or let this user read the file",
        )
    return _word(secret, file, found.text)


def known(secret: Secret, file: str, found: StoredFile | None) -> str:
    """The secret, for who can do without: "" where there is no file that this user can read; RequestError if unfit."""
    return _word(secret, file, found.text) if found is not None and found.text is not None else ""


def _make(secret: Secret, file: str) -> str:
    return secret.make.format(file=file, folder=file.rpartition("/")[0])


def _readable(found: StoredFile) -> bool:
    """By the containers' user, as the kernel decides: the first of owner, group and others that fits counts."""
    shift = 6 if found.owner == USER else 3 if found.group == GROUP else 0
    return bool(found.mode >> shift & 4)


def _word(secret: Secret, file: str, text: bytes) -> str:
    word = text.strip()
    if not _WORD.fullmatch(word):
        told = "is empty" if not word else "does not hold one word of visible ASCII characters"
        raise RequestError(f"the file with {secret.what} {told}", where=file, hint=_make(secret, file))
    return word.decode("ascii")
