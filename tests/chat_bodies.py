"""Bodies of chat requests that are nearly right, for tests that throw thousands of them at the server."""

from __future__ import annotations

import base64
import copy
import io
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from PIL import Image

#: Put into the JSON text by hand, since no Python value becomes it.
_WRITTEN = {
    '"@deep"': b"[" * 100_000 + b"]" * 100_000,
    '"@deep-open"': b'{"a":' * 100_000,
    '"@digits"': b"9" * 5000,
    '"@vast"': b"1e99999",
    '"@small"': b"1e-99999",
    '"@minus-zero"': b"-0",
    '"@surrogates"': b'"\\udc00\\ud800"',
    '"@long"': b'"' + b"a" * 100_000 + b'"',
    '"@many"': b"[" + b"0," * 50_000 + b"0]",
}
_JUNK: tuple[Any, ...] = (
    *(key.strip('"') for key in _WRITTEN),
    *(None, True, False, 0, 1, -1, 0.5, 2.0, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "0", "true", "null", "demo", "user", "text", "image_url", "\0", "\ufeff", "\ud800", "\U0001f600", "й" * 50),
    *("<|image_pad|>", "<|im_end|>", "<|vision_start|><|image_pad|><|vision_end|>", "{{ 7 * 7 }}", "{% include 'x' %}"),
    *([], {}, [[]], [None], [{}], {"": None}, {"type": "text"}, {"type": "input_audio"}, {"__proto__": {"n": 2}}),
)
#: What happens to a body as bytes: mostly nothing.
_DAMAGE = ("encode", "cut", "overwrite", "twice", *["none"] * 30)
#: Keys that a faulty request may hold besides those of the right ones.
_KEYS = (
    "",
    "n",
    "top_k",
    "audio",
    "tools",
    "tool_choice",
    "functions",
    "logprobs",
    "logit_bias",
    "modalities",
    "store",
)
_MORE_KEYS = ("response_format", "frequency_penalty", "user", "metadata", "model_config", "__class__", "\0", "\ud800")


def picture(form: str = "PNG") -> str:
    """A data URL of a small image."""
    file = io.BytesIO()
    Image.new("RGB", (30, 20), "white").save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


_URLS = (
    *(picture(form) for form in ("PNG", "JPEG", "GIF", "WEBP")),
    picture()[:-20],
    "data:image/png;base64,",
    "data:image/png;base64,@@",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "http://127.0.0.1/x.png",
    "file:///etc/passwd",
)


def _right(text: str, url: str) -> tuple[dict[str, Any], ...]:
    """Requests without a fault, but for what the text and the URL bring."""
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    words = {"type": "text", "text": text}
    plain = [{"role": "user", "content": text}]
    talk = [{"role": "system", "content": "Be brief."}, *plain, {"role": "assistant", "content": [words]}, *plain]
    common = {"model": "demo", "max_tokens": 1}
    return (
        {**common, "messages": plain},
        {**common, "messages": [{"role": "user", "content": [image, words]}], "temperature": 0},
        {**common, "messages": talk, "temperature": 0.7, "top_p": 0.9, "seed": 7, "stop": [text, "end"]},
        {**common, "messages": plain, "stream": True, "stream_options": {"include_usage": True}},
        {**common, "messages": plain, "n": 1, "tools": [], "logprobs": False, "response_format": {"type": "text"}},
    )


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything inside, as the thing that holds it and the key or index there."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _break(request: dict[str, Any], at: int, how: str, junk: Any, key: str) -> None:
    """One fault, at one of all places."""
    places = list(_places(request))
    if not places:
        return
    holder, name = places[at % len(places)]
    match how:
        case "replace":
            holder[name] = copy.deepcopy(junk)
        case "remove":
            del holder[name]
        case "wrap":
            holder[name] = [holder[name]]
        case "repeat":
            holder[name] = [copy.deepcopy(holder[name]) for _ in range(3)]
        case "add" if isinstance(holder, dict):
            holder[key] = copy.deepcopy(junk)
        case _:
            pass


def _written(request: Any, *, ascii_only: bool) -> bytes:
    body = json.dumps(request, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    for key, written in _WRITTEN.items():
        body = body.replace(key.encode(), written)
    return body


def _damaged(body: bytes, how: str, at: int, junk: bytes) -> bytes:
    """The body as no JSON library would write it."""
    at %= len(body) + 1
    match how:
        case "encode":
            return body.decode(errors="replace").encode("utf-16" if at % 2 else "utf-8-sig")
        case "cut":
            return body[:at]
        case "overwrite":
            return body[:at] + junk + body[at + 1 :]
        case "twice":
            return body.replace(b"{", b'{"model":"demo","n":2,"n":1,', 1)
        case _:
            return body


_faults = st.tuples(
    st.integers(0, 60),
    st.sampled_from(["replace", "replace", "remove", "wrap", "repeat", "add"]),
    st.sampled_from(_JUNK) | st.integers() | st.floats() | st.text(max_size=10),
    st.sampled_from(_KEYS + _MORE_KEYS),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body with up to two faults in its values, and now and then one in its bytes."""
    texts = st.sampled_from(["hi", "hi", *(junk for junk in _JUNK if isinstance(junk, str))]) | st.text(max_size=10)
    kind = draw(st.sampled_from([0, 1, 1, 2, 3, 4]))
    request = copy.deepcopy(_right(draw(texts), draw(st.sampled_from(_URLS)))[kind])
    for fault in draw(st.lists(_faults, max_size=2)):
        _break(request, *fault)
    body = _written(request, ascii_only=draw(st.booleans()))
    return _damaged(body, draw(st.sampled_from(_DAMAGE)), draw(st.integers(0, 2000)), draw(st.binary(max_size=3)))
