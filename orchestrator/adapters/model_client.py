"""Talks to a running model over the OpenAI API."""

from __future__ import annotations

import base64
import re

import requests

from orchestrator.errors import OrchestratorError
from orchestrator.ports import Endpoint

_QUICK = 5.0
#: seconds for one answer; a CPU is slow
_PATIENT = 600.0
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

    def ask(self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int) -> str:
        """The answer's text; OrchestratorError with what the server said."""
        parts: list[dict[str, object]] = [{"type": "text", "text": prompt}]
        if image is not None:
            parts.insert(
                0,
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:{_media(image)};base64,{base64.b64encode(image).decode()}"},
                },
            )
        body = {
            "model": at.model,
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        try:
            answer = _send("POST", at, "/v1/chat/completions", _PATIENT, body)
        except requests.RequestException as error:
            raise OrchestratorError(
                f"{at.model} did not answer: {error}",
                where=at.base,
                hint="see 'orchestrator status' and 'orchestrator logs'",
            ) from error
        try:
            found = answer.json()
            if answer.status_code == requests.codes.ok:
                return str(found["choices"][0]["message"]["content"] or "")
            said = found["error"]["message"]
        except (ValueError, KeyError, TypeError, IndexError):
            said = answer.text[:500] or "an empty body"
        raise OrchestratorError(f"{at.model} refused ({answer.status_code}): {said}", where=at.base)

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


def _order(at: Endpoint, path: str) -> None:
    try:
        answer = _send("POST", at, path, _PATIENT)
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
    """One request, straight to the server: the key goes to no proxy, and no further by a redirect."""
    headers = {"Authorization": f"Bearer {at.key}"} if at.key else {}
    with requests.Session() as session:
        session.trust_env = False
        url = f"{at.base}{path}"
        answer = session.request(method, url, json=body, headers=headers, timeout=timeout, allow_redirects=False)
    if answer.status_code == requests.codes.unauthorized:
        raise _unauthorised(at)
    return answer


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
