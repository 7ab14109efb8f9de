"""One chat request over HTTP: from its body to an answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from .api import ChatRequest, chat_answer, parse_chat
from .config import Config
from .conversation import Ask, Completion
from .errors import ApiError
from .fetching import Web, fetcher
from .images import ImageLimits
from .metrics import Metrics, Record
from .scheduler import Job, Scheduler, stopping
from .streaming import Chunks, event

#: What a request gives: pieces of text, and last the answer as a whole.
Items = AsyncGenerator[str | Completion, None]
#: How often a request looks whether its caller is still there, seconds.
_LOOK = 0.5
_log = logging.getLogger("server")


class Chat:
    """Answers chat requests."""

    def __init__(self, config: Config, scheduler: Scheduler[Any, Any], metrics: Metrics) -> None:
        self._config = config
        self._scheduler = scheduler
        self._metrics = metrics
        self._limits = ImageLimits(count=config.max_images)

    async def __call__(self, request: Request) -> Response:
        """The response; an error before the first token is an HTTP status, later one is an event of the stream."""
        record = Record(self._metrics)
        try:
            asked = parse_chat(await self._body(request), self._config.served_name)
            items = self._items(request, asked, record)
            first = await anext(items)
            if not asked.stream:
                return await self._whole(first, items, record)
        except ApiError as error:
            record.end(error.status)
            raise
        except BaseException as error:
            record.end(500 if isinstance(error, Exception) else 499)
            raise
        chunks = Chunks(_new_id(), int(time.time()), self._config.served_name, asked.include_usage)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        stream = _events(first, items, chunks, record)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _body(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._config.request_seconds):
                return await _read(request, self._limits.body_bytes)
        except TimeoutError:
            message = f"the body did not come within {self._config.request_seconds} s"
            raise ApiError(message, status=408, code="timeout") from None

    async def _whole(self, first: str | Completion, items: Items, record: Record) -> Response:
        item = first
        while isinstance(item, str):
            item = await anext(items)
        await items.aclose()
        _end(record, item)
        body = chat_answer(item, request_id=_new_id(), created=int(time.time()), model=self._config.served_name)
        return JSONResponse(body)

    async def _items(self, request: Request, asked: ChatRequest, record: Record) -> Items:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        job = self._submit(asked, queue)
        job.answer.add_done_callback(lambda _: queue.put_nowait(None))
        deadline = record.began + self._config.request_seconds
        look_at = 0.0
        try:
            while True:
                now = time.monotonic()
                if now >= deadline:
                    message = f"no answer within {self._config.request_seconds} s"
                    raise ApiError(message, status=504, code="timeout")
                if now >= look_at:
                    if await request.is_disconnected():
                        raise _gone()
                    look_at = now + _LOOK
                try:
                    text = await asyncio.wait_for(queue.get(), min(look_at, deadline) - now)
                except TimeoutError:
                    continue
                if text is None:
                    break
                record.token()
                yield text
            if job.answer.cancelled():
                raise stopping()
            yield job.answer.result()
        finally:
            job.give_up()

    def _submit(self, asked: ChatRequest, queue: asyncio.Queue[str | None]) -> Job:
        loop = asyncio.get_running_loop()
        first = True

        def send(text: str) -> None:
            nonlocal first
            # A plain answer needs no pieces; its first one is for the clock.
            if asked.stream or first:
                loop.call_soon_threadsafe(queue.put_nowait, text)
            first = False

        def ask() -> Ask:
            fetch = fetcher(self._limits.bytes, Web()) if self._config.allow_image_urls else None
            return asked.ask(self._limits, fetch)

        return self._scheduler.submit(ask, send)


async def _events(first: str | Completion, items: Items, chunks: Chunks, record: Record) -> AsyncGenerator[str, None]:
    """The stream. Its error is an event and not followed by [DONE], so that no client takes it for an answer."""
    status = 499
    try:
        yield chunks.role()
        item = first
        while isinstance(item, str):
            if item:
                yield chunks.text(item)
            item = await anext(items)
        status = 200
        _end(record, item)
        yield chunks.end(item)
    except ApiError as error:
        status = error.status
        yield event(error.body())
    except Exception:  # noqa: BLE001 - the status line is sent: an event is all that can still tell
        _log.exception("a stream failed")
        status = 500
        yield event(failure().body())
    finally:
        if status != 200:
            record.end(status)
        await items.aclose()


def _end(record: Record, answer: Completion) -> None:
    record.end(200, prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens)


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _gone() -> ApiError:
    """Ends the work on a request; nobody sees this answer."""
    return ApiError("the caller has gone", status=499)


def failure() -> ApiError:
    """What a caller is told of a fault of the server."""
    return ApiError("the server failed on this request; see its log", status=500)


async def _read(request: Request, limit: int) -> bytes:
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
