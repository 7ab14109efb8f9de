"""The two ways to say no: to a caller (``ApiError``) and to whoever started the server (``UnhealableError``)."""

from __future__ import annotations


class UnhealableError(Exception):
    """The server can't start, and a restart would not help: one line, exit code 2."""


class ApiError(Exception):
    """A request is refused. ``param`` names the part of the request, ``code`` is for programs.

    ``retry_after``: seconds after which another try makes sense.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def body(self) -> dict[str, object]:
        """The answer, in the shape of OpenAI's errors."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class DeviceLostError(Exception):
    """The device can't be used by this process any more: only a new process can go on."""
