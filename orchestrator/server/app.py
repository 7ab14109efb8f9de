"""HTTP: OpenAI's endpoints in front of the engine."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from .api import chat_answer, model_list, parse_chat
from .config import Config
from .conversation import Completion, Sampling, Turn
from .errors import ApiError
from .images import ImageLimits
from .worker import Worker

Complete = Callable[[Sequence[Turn], Sampling, Event], Completion]
#: How often a waiting request looks whether its caller is still there, seconds.
_LOOK = 0.5


def create_app(complete: Complete, config: Config) -> FastAPI:
    """The application. ``complete`` runs in a thread of its own, one call at a time."""
    app = FastAPI(title="orchestrator Transformers server", docs_url=None, redoc_url=None)
    limits = ImageLimits(count=config.max_images)
    worker = Worker(config.max_queue)
    created = int(time.time())

    async def refuse(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), status_code=error.status)

    async def refuse_http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse(ApiError(str(error.detail), status=error.status_code).body(), error.status_code)

    async def fail(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse(ApiError("the server failed on this request; see its log", status=500).body(), 500)

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    async def models() -> dict[str, Any]:
        return model_list(config.served_name, created=created, max_model_len=config.max_model_len)

    async def chat(request: Request) -> dict[str, Any]:
        asked = parse_chat(await _body(request, limits.body_bytes), config.served_name)
        cancelled = Event()

        def job() -> Completion:
            if cancelled.is_set():
                raise _gone()
            return complete(asked.conversation(limits), asked.sampling(), cancelled)

        completion = await _wait(request, worker.submit(job), cancelled)
        return chat_answer(
            completion,
            request_id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=config.served_name,
        )

    app.add_exception_handler(ApiError, refuse)
    app.add_exception_handler(StarletteHTTPException, refuse_http)
    app.add_exception_handler(Exception, fail)
    app.add_api_route("/health", health)
    app.add_api_route("/v1/models", models)
    app.add_api_route("/v1/chat/completions", chat, methods=["POST"])
    return app


def _gone() -> ApiError:
    """Ends the work on a request; nobody sees this answer."""
    return ApiError("the caller has gone", status=499)


async def _body(request: Request, limit: int) -> bytes:
    """The body, never more of it in memory than ``limit`` bytes.

    A larger one is read to its end and dropped: a caller that is still sending would not see the answer.
    """
    body = bytearray()
    fits = True
    try:
        async for chunk in request.stream():
            fits = fits and len(body) + len(chunk) <= limit
            if fits:
                body += chunk
            else:
                body.clear()
    except ClientDisconnect:
        raise _gone() from None
    if not fits:
        raise ApiError(f"the body may have at most {limit} bytes", status=413, code="body_too_large")
    return bytes(body)


async def _wait(request: Request, answer: asyncio.Future[Completion], cancelled: Event) -> Completion:
    """The answer; the work is given up when the caller goes, or when the server stops."""
    try:
        while not (await asyncio.wait({answer}, timeout=_LOOK))[0]:
            if await request.is_disconnected():
                cancelled.set()
        return answer.result()
    finally:
        cancelled.set()
