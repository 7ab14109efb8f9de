"""HTTP: OpenAI's endpoints, health and metrics in front of the engine."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from . import auth
from .api import model_list
from .chat import Chat, failure
from .config import Config
from .errors import ApiError
from .metrics import CONTENT_TYPE, Metrics, State
from .scheduler import Scheduler, stopping


def create_app(
    config: Config,
    scheduler: Scheduler[Any, Any],
    key: str = "",
    gpu_memory: Callable[[], int | None] = lambda: None,
) -> FastAPI:
    """The application; an empty key lets everybody in. ``gpu_memory``: what is held of the GPU now, in bytes."""
    app = FastAPI(title="orchestrator Transformers server", docs_url=None, redoc_url=None, openapi_url=None)
    metrics = Metrics()
    created = int(time.time())

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    async def ready() -> dict[str, str]:
        if scheduler.stopping:
            raise stopping()
        return {"status": "ready"}

    async def measured() -> PlainTextResponse:
        state = State(
            waiting=scheduler.waiting,
            running=scheduler.running,
            steps=scheduler.steps,
            stepped=scheduler.stepped,
            memory_bytes=_memory(),
            gpu_memory_bytes=gpu_memory(),
        )
        return PlainTextResponse(metrics.text(state), media_type=CONTENT_TYPE)

    async def version() -> dict[str, str]:
        return {"version": importlib.metadata.version("transformers")}

    async def models() -> dict[str, Any]:
        return model_list(config.served_name, created=created, max_model_len=config.max_model_len)

    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(StarletteHTTPException, _refuse_http)
    app.add_exception_handler(Exception, _fail)
    app.add_middleware(_KeyGuard, key=os.fsencode(key))
    app.add_api_route("/health", health)
    app.add_api_route("/ready", ready)
    app.add_api_route("/metrics", measured)
    app.add_api_route("/version", version)
    app.add_api_route("/v1/models", models)
    app.add_route("/v1/chat/completions", Chat(config, scheduler, metrics).__call__, methods=["POST"])
    return app


class _KeyGuard:
    """Middleware that refuses whoever has no key, before the body is read."""

    def __init__(self, app: Any, key: bytes) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            try:
                auth.check(self._key, scope["path"], dict(scope["headers"]).get(b"authorization", b""))
            except ApiError as error:
                await _response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def _refuse(_: Request, error: ApiError) -> JSONResponse:
    return _response(error)


async def _refuse_http(_: Request, error: StarletteHTTPException) -> JSONResponse:
    return _response(ApiError(str(error.detail), status=error.status_code))


async def _fail(_: Request, __: Exception) -> JSONResponse:
    return _response(failure())


def _memory() -> int:
    """Resident memory of this process in bytes, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
