"""Talks to a running model over the OpenAI API."""

from __future__ import annotations

import base64

import requests

from orchestrator.errors import OrchestratorError

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

    def served(self, base: str) -> tuple[str, ...]:
        """Names that the server at ``base`` says it serves; () while it can't be reached."""
        try:
            answer = requests.get(f"{base}/v1/models", timeout=_QUICK)
            return tuple(str(model["id"]) for model in answer.json()["data"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return ()

    def ask(self, base: str, model: str, prompt: str, image: bytes | None, max_tokens: int) -> str:
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
            "model": model,
            "messages": [{"role": "user", "content": parts}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        try:
            answer = requests.post(f"{base}/v1/chat/completions", json=body, timeout=_PATIENT)
        except requests.RequestException as error:
            raise OrchestratorError(
                f"{model} did not answer: {error}",
                where=base,
                hint="see 'orchestrator status' and 'orchestrator logs'",
            ) from error
        try:
            found = answer.json()
            if answer.ok:
                return str(found["choices"][0]["message"]["content"] or "")
            said = found["error"]["message"]
        except (ValueError, KeyError, TypeError, IndexError):
            said = answer.text[:500] or "an empty body"
        raise OrchestratorError(f"{model} refused ({answer.status_code}): {said}", where=base)


def _media(image: bytes) -> str:
    return next((media for start, media in _MEDIA if image.startswith(start)), "application/octet-stream")
