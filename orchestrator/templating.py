"""Templates to text. The only importer of jinja2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import jinja2

from orchestrator.errors import RequestError

_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "$": "$$"}
#: printable ASCII without those above: almost every text, and it needs no second look at each character
_PLAIN = re.compile(r"[ !#%-\[\]-~]*")


def quote(value: object) -> str:
    """A YAML scalar that Compose reads back as exactly this value.

    Text is double-quoted, anything that is not plainly printable is escaped, and ``$`` is doubled because Compose
    interpolates variables inside quoted text too.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f'"{text if _PLAIN.fullmatch(text) else "".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise RequestError(f"text holds half a UTF-16 pair (U+{code:04X}), which no YAML file can carry")
    if character.isprintable() and code != 0xFEFF:
        return character
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


@lru_cache(maxsize=64)
def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 (YAML and Markdown; every value passes the filter below)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = quote
    environment.filters["code"] = "`{}`".format
    return environment.from_string(text)


def render(template: str, values: Mapping[str, object]) -> str:
    """The template's text with the values in place. A name that the template uses and the values lack is an error."""
    return _template(template).render(values)
