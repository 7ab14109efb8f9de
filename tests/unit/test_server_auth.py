import pytest

from orchestrator.server.auth import check
from orchestrator.server.errors import ApiError

KEY = "geheim-й".encode()


@pytest.mark.parametrize("header", [b"Bearer " + KEY, b"bearer " + KEY, b"Bearer  " + KEY + b" "])
def test_the_key_opens(header: bytes) -> None:
    check(KEY, "/v1/models", header)


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer ", b"Bearer geheim", KEY, b"Basic " + KEY, b"Bearer \xff"])
def test_anything_else_does_not(header: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        check(KEY, "/v1/chat/completions", header)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert "geheim" not in refused.value.message


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_monitoring_needs_no_key(path: str) -> None:
    check(KEY, path, b"")


@pytest.mark.parametrize("path", ["/v1", "//v1/models", "/health/", "/openapi.json"])
def test_every_other_path_does(path: str) -> None:
    with pytest.raises(ApiError):
        check(KEY, path, b"")


def test_without_a_key_all_may_ask() -> None:
    check(b"", "/v1/models", b"")
