"""Talks to a running model over the OpenAI API."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests

from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Answer
from orchestrator.ports import PATIENCE, Endpoint

#: seconds for the list of models, which is there at once; ``status --probe`` tells a dead engine within 5
_QUICK = 2.0
_LOOK = "see 'orchestrator status' and 'orchestrator logs'"
_CHAT = "/v1/chat/completions"
_MEDIA = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
)


class HttpModels:
    """Models behind HTTP on this host."""

    def served(self, at: Endpoint) -> tuple[str, ...]:
        """Names that the server says it serves; () while it can't be reached. OrchestratorError if it wants a key."""
        try:
            answer = _send("GET", at, "/v1/models", _QUICK)
            return tuple(str(model["id"]) for model in answer.json()["data"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return ()

    def ask(self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE) -> str:
        """The answer's text; OrchestratorError with what the server said, or after ``patience`` seconds."""
        with _answering(at, patience):
            answer = _send("POST", at, _CHAT, patience, _question(at, prompt, image, max_tokens))
        if answer.status_code == requests.codes.ok:
            with suppress(ValueError, KeyError, TypeError, IndexError):
                return str(answer.json()["choices"][0]["message"]["content"] or "")
        raise _refused(at, answer)

    def timed(
        self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE
    ) -> Answer:
        """The same, token by token, with times; ``patience`` is for each of them."""
        body = _question(at, prompt, image, max_tokens)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        pieces, tokens, begun, first = [], 0, time.monotonic(), 0.0
        with _answering(at, patience), _sent("POST", at, _CHAT, patience, body, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise _refused(at, answer)
            for chunk in _chunks(at, answer):
                piece = "".join(str((choice.get("delta") or {}).get("content") or "") for choice in chunk["choices"])
                first = first or (time.monotonic() - begun if piece else 0.0)
                pieces.append(piece)
                tokens = int((chunk.get("usage") or {}).get("completion_tokens") or tokens)
        whole = time.monotonic() - begun
        return Answer("".join(pieces), first or whole, whole, tokens)

    def version(self, at: Endpoint) -> str:
        """By ``GET /version``, which vLLM and our server have; "" where it does not tell."""
        try:
            return str(_send("GET", at, "/version", _QUICK).json()["version"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return ""

    def sleep(self, at: Endpoint) -> None:
        """Sleep mode's level 1. vLLM takes it again and again, and each call returns when the engine sleeps."""
        # "wait": by itself vLLM would cut off the answers that it is writing.
        _order(at, "/sleep?level=1&mode=wait")

    def wake(self, at: Endpoint) -> None:
        """Level 2, which is only reached by hand, drops the weights: vLLM would wake and answer from empty memory."""
        if _is_empty(at):
            raise OrchestratorError(
                f"{at.model} was put to sleep without keeping its weights (level 2), by hand",
                where=at.base,
                hint=f"'orchestrator restart {at.model}' loads them again",
            )
        _order(at, "/wake_up")


def _question(at: Endpoint, prompt: str, image: bytes | None, max_tokens: int) -> dict[str, object]:
    parts: list[dict[str, object]] = [{"type": "text", "text": prompt}]
    if image is not None:
        url = f"data:{_media(image)};base64,{base64.b64encode(image).decode()}"
        parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
    messages = [{"role": "user", "content": parts}]
    return {"model": at.model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}


@contextmanager
def _answering(at: Endpoint, patience: float) -> Iterator[None]:
    """What may become of a request, in words."""
    try:
        yield
    except requests.Timeout as error:
        what = f"no answer within {patience:g} s: the engine is hung or has very much to do"
        raise OrchestratorError(what, where=at.base, hint=_LOOK) from error
    except requests.RequestException as error:
        raise OrchestratorError(f"{at.model} did not answer: {error}", where=at.base, hint=_LOOK) from error


def _refused(at: Endpoint, answer: requests.Response) -> OrchestratorError:
    try:
        said = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError, IndexError):
        said = answer.text[:500] or "an empty body"
    return OrchestratorError(f"{at.model} refused ({answer.status_code}): {said}", where=at.base)


def _chunks(at: Endpoint, answer: requests.Response) -> Iterator[dict[str, Any]]:
    """The chunks of a stream of events. OrchestratorError where it breaks off, or holds something else."""
    for line in answer.iter_lines():
        if line == b"data: [DONE]":
            return
        if line.startswith(b"data: "):
            try:
                chunk = json.loads(line.removeprefix(b"data: "))
                chunk["choices"]
            except (ValueError, KeyError, TypeError) as error:
                raise _broken(at, f": {line[:500].decode(errors='replace')}") from error
            yield chunk
    raise _broken(at)


def _broken(at: Endpoint, said: str = "") -> OrchestratorError:
    return OrchestratorError(f"{at.model} broke off its answer{said}", where=at.base, hint=_LOOK)


def _order(at: Endpoint, path: str) -> None:
    try:
        answer = _send("POST", at, path, PATIENCE)
    except requests.RequestException as error:
        raise OrchestratorError(
            f"{at.model} did not answer POST {path}: {error}",
            where=at.base,
            hint="run it again: what was begun goes on; 'orchestrator logs' shows what the engine said",
        ) from error
    if answer.status_code != requests.codes.ok:
        said = answer.text[:500] or "an empty body"
        raise OrchestratorError(
            f"{at.model} refused POST {path} ({answer.status_code}): {said}",
            where=at.base,
            hint=f"'orchestrator logs {at.model}' shows what the engine said",
        )


def _is_empty(at: Endpoint) -> bool:
    """Whether it sleeps at level 2, by vLLM's metric of 0.33.0; an older one may not tell."""
    try:
        said = _send("GET", at, "/metrics", _QUICK).text
    except requests.RequestException:
        return False
    return (
        re.search(r'^vllm:engine_sleep_state\{[^}]*sleep_state="discard_all"[^}]*\} 1(\.0)?$', said, re.M) is not None
    )


def _send(method: str, at: Endpoint, path: str, timeout: float, body: object = None) -> requests.Response:
    """One request, and its answer as a whole."""
    with _sent(method, at, path, timeout, body) as answer:
        return answer


@contextmanager
def _sent(
    method: str, at: Endpoint, path: str, timeout: float, body: object = None, *, stream: bool = False
) -> Iterator[requests.Response]:
    """One request, straight to the server: the key goes to no proxy, and no further by a redirect."""
    headers = {"Authorization": f"Bearer {at.key}"} if at.key else {}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            method,
            f"{at.base}{path}",
            json=body,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            stream=stream,
        )
        if answer.status_code == requests.codes.unauthorized:
            raise _unauthorised(at)
        yield answer


def _unauthorised(at: Endpoint) -> OrchestratorError:
    if at.key:
        return OrchestratorError(
            f"the server of {at.model} does not take the API key that is in its file",
            where=at.base,
            hint=f"if the file was changed since it started: 'orchestrator restart {at.model}'",
        )
    return OrchestratorError(
        f"the server of {at.model} wants an API key, and its container was given no file with one",
        where=at.base,
        hint=f"'orchestrator up {at.model} --api-key' gives it one",
    )


def _media(image: bytes) -> str:
    return next((media for start, media in _MEDIA if image.startswith(start)), "application/octet-stream")
