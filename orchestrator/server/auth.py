"""The API key: who may ask."""

from __future__ import annotations

import hmac

from .errors import ApiError

#: The environment variable that holds the key; the gate fills it from a file (``--secret``).
VARIABLE = "ORCHESTRATOR_API_KEY"
#: What health checks and monitoring ask without a key. Everything else needs it.
OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})


def check(key: bytes, path: str, authorization: bytes) -> None:
    """Raises ``ApiError`` 401 unless the path is open, no key is set, or the header holds the key."""
    if not key or path in OPEN_PATHS:
        return
    scheme, _, given = authorization.partition(b" ")
    # In constant time: how long it takes must not tell how much of a guess was right.
    if not hmac.compare_digest(given.strip(), key) or scheme.lower() != b"bearer":
        said = "a wrong API key" if given else "an API key is needed: Authorization: Bearer KEY"
        raise ApiError(said, status=401, code="invalid_api_key")
