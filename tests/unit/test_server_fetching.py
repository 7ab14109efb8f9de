"""Images by address, over a hand-made internet: names, connections and a clock, no network."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.server.errors import ApiError
from orchestrator.server.fetching import Connection, Web, fetcher, is_public

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST = 1000
PUBLIC, OTHER, PUBLIC_6 = "93.184.216.34", "93.184.216.35", "2606:2800:220:1::ab"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """A connection that gives pieces of an answer, each after so many seconds."""

    def __init__(self, pieces: Iterable[tuple[float, bytes]], clock: Clock) -> None:
        self._pieces = iter(pieces)
        self._clock = clock
        self._patience = 0.0
        self._left = b""
        self.sent = b""
        self.closed = False

    def settimeout(self, value: float | None, /) -> None:
        assert value is not None, "never without a limit"
        assert value > 0
        self._patience = value

    def sendall(self, data: bytes, /) -> None:
        self.sent += data

    def recv_into(self, buffer: WriteableBuffer, nbytes: int, /) -> int:
        if not self._left:
            seconds, self._left = next(self._pieces, (0.0, b""))
            self._clock.now += min(seconds, self._patience)
            if seconds > self._patience:
                raise TimeoutError
        given, self._left = self._left[:nbytes], self._left[nbytes:]
        memoryview(buffer).cast("B")[: len(given)] = given
        return len(given)

    def close(self) -> None:
        self.closed = True


@dataclass
class Internet:
    """``names``: what the resolver says, call by call; ``answers``: what each address sends, call by call."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    answers: dict[str, list[Iterable[tuple[float, bytes]] | Exception]] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    asked: list[str] = field(default_factory=list)
    connected: list[tuple[str, int, str | None]] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    def resolve(self, host: str, seconds: float) -> list[str]:
        self.asked.append(host)
        found = self.names.get(host, [[]])
        return found.pop(0) if len(found) > 1 else found[0]

    def connect(self, address: str, port: int, name: str | None, seconds: float) -> Connection:
        assert seconds > 0
        self.connected.append((address, port, name))
        answer = self.answers[address].pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.peers.append(Peer(answer, self.clock))
        return self.peers[-1]

    def web(self) -> Web:
        return Web(resolve=self.resolve, connect=self.connect, clock=self.clock)


def http(body: bytes = b"picture", status: str = "200 OK", **headers: str) -> list[tuple[float, bytes]]:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return [(0.0, "\r\n".join([*lines, "", ""]).encode("latin-1")), (0.0, body)]


def redirect(to: str, status: str = "302 Found") -> list[tuple[float, bytes]]:
    return http(b"", status, Location=to)


def reaching(*answers: Iterable[tuple[float, bytes]] | Exception) -> Internet:
    """An internet in which a.example is one machine."""
    return Internet(names={"a.example": [[PUBLIC]]}, answers={PUBLIC: list(answers)})


def get(internet: Internet, url: str = "http://a.example/x.png") -> bytes:
    try:
        return fetcher(MOST, internet.web())(url)
    finally:
        assert all(peer.closed for peer in internet.peers), "no connection is left open"


def refusal(internet: Internet, url: str = "http://a.example/x.png") -> ApiError:
    with pytest.raises(ApiError) as refused:
        get(internet, url)
    assert (refused.value.status, refused.value.param) == (400, "messages")
    return refused.value


def failure(internet: Internet, url: str = "http://a.example/x.png") -> str:
    error = refusal(internet, url)
    assert error.code == "image_fetch_failed"
    return error.message


def test_a_picture_is_fetched() -> None:
    internet = reaching(http(Content_Length="7"))
    assert get(internet, "http://A.example/x%20y.png?q=1#part") == b"picture"
    assert internet.connected == [(PUBLIC, 80, None)]
    lines = internet.peers[0].sent.decode().split("\r\n")
    assert lines[0] == "GET /x%20y.png?q=1 HTTP/1.1"
    assert "Host: a.example" in lines
    assert "Accept-Encoding: identity" in lines
    assert "Connection: close" in lines


def test_https_is_checked_for_the_name_and_connects_to_the_address() -> None:
    internet = reaching(http())
    assert get(internet, "https://a.example.?q") == b"picture"
    assert internet.connected == [(PUBLIC, 443, "a.example")]
    assert internet.peers[0].sent.startswith(b"GET /?q HTTP/1.1\r\nHost: a.example\r\n")


def test_an_address_needs_no_resolver() -> None:
    internet = Internet(answers={PUBLIC: [http()], PUBLIC_6: [http()]})
    assert get(internet, f"http://{PUBLIC}/") == get(internet, f"http://[{PUBLIC_6}]/") == b"picture"
    assert internet.asked == []
    assert b"Host: [2606:2800:220:1::ab]\r\n" in internet.peers[1].sent


def test_a_chunked_picture() -> None:
    body = b"3\r\npic\r\n4;x=y\r\nture\r\n0\r\nTrailer: t\r\n\r\n"
    assert get(reaching(http(body, Transfer_Encoding="chunked"))) == b"picture"


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    internet = Internet(names={"a.example": [[PUBLIC_6, PUBLIC]]}, answers={PUBLIC_6: [OSError()], PUBLIC: [http()]})
    assert get(internet) == b"picture"
    assert [address for address, _, _ in internet.connected] == [PUBLIC_6, PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "etc/passwd",
        "ftp://a.example/x",
        "gopher://a.example/x",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "http:a.example",
        "http:///x",
        "http://",
        "//a.example/x",
        "http://user@a.example/",
        "http://user:word@a.example/",
        "http://a.example@127.0.0.1/",
        "http://127.0.0.1\\@a.example/",
        "http://a.example\\.b.example/",
        "http://a.example/ x",
        "http://a.example/\r\nHost: b",
        "http://a.example/\0",
        " http://a.example/",
        "http://a.example/é",
        "http://é.example/",
        "http://127。0。0。1/",
        "http://①②⑦.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1../",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://[::1/",
        "http://::1/",
        "http://a..example/",
        "http://.a.example/",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 127}example/",
        "http://a.example:22/",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://a.example:+80/",
        "http://a.example:/",
        "http://a.example:8080/",
        "http://a.example/" + "x" * 5000,
        "",
    ],
)
def test_what_is_not_plainly_a_public_url_is_refused_before_anything_is_asked(url: str) -> None:
    internet = reaching(http())
    assert refusal(internet, url).code == "invalid_image_url"
    assert (internet.asked, internet.connected) == ([], [])


NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.17.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.216.34",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "fe80::1%eth0", "", "a.example"])
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6, "1.1.1.1", "2a00:1450:4001::1", "223.255.255.254"])
def test_what_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_way_leads_inside(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    for scheme in ("http", "https"):
        assert "no public address" in failure(Internet(), f"{scheme}://{host}/")
    named = Internet(names={"a.example": [[address]]})
    assert "no public address" in failure(named)
    mixed = Internet(names={"a.example": [[PUBLIC, address]]})
    assert "no public address" in failure(mixed)
    assert named.connected == mixed.connected == []
    sent_on = reaching(redirect(f"http://{host}/latest/meta-data"))
    assert "no public address" in failure(sent_on)
    assert sent_on.connected == [(PUBLIC, 80, None)]


def test_a_trailing_dot_changes_nothing() -> None:
    assert "no public address" in failure(Internet(), "http://127.0.0.1./")
    internet = Internet(names={"localhost": [["127.0.0.1"]]})
    assert "no public address" in failure(internet, "http://localhost./")


def test_a_name_inside_and_no_name_at_all_look_the_same() -> None:
    inside = Internet(names={"db.internal": [["10.0.0.5"]]})
    assert failure(inside, "http://db.internal/") == failure(Internet(), "http://db.internal/")


def test_the_name_is_asked_for_once_so_it_can_not_turn_inwards() -> None:
    internet = reaching(http())
    internet.names["a.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert get(internet) == b"picture"
    assert (internet.asked, internet.connected) == (["a.example"], [(PUBLIC, 80, None)])


def test_a_redirect_to_the_same_name_is_looked_at_again() -> None:
    internet = reaching(redirect("/again"))
    internet.names["a.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert "no public address" in failure(internet)
    assert internet.connected == [(PUBLIC, 80, None)]


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_redirects_are_followed(status: str) -> None:
    internet = reaching(redirect("../b.png?x", status), redirect("https://b.example/c.png"))
    internet.names["b.example"] = [[OTHER]]
    internet.answers[OTHER] = [http()]
    assert get(internet, "http://a.example/d/a.png") == b"picture"
    assert internet.connected == [(PUBLIC, 80, None), (PUBLIC, 80, None), (OTHER, 443, "b.example")]
    assert internet.peers[1].sent.startswith(b"GET /b.png?x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://a.example/",
        "http://0x7f000001/",
        "http://2130706433/",
        "//user@a.example/",
        "http://a.example:22/",
        "http://[::1",
        "/é",
        "/ x",
        "data:image/png;base64,QQ==",
    ],
)
def test_a_redirect_to_what_is_not_taken(to: str) -> None:
    internet = reaching(redirect(to))
    assert refusal(internet).code in {"invalid_image_url", "image_fetch_failed"}
    assert len(internet.connected) == 1


def test_three_redirects_and_no_more() -> None:
    assert get(reaching(*[redirect("/x")] * 3, http())) == b"picture"
    internet = reaching(*[redirect("/x")] * 50)
    assert "more than 3 redirects" in failure(internet)
    assert len(internet.connected) == 4


def test_a_redirect_that_leads_nowhere_and_other_answers() -> None:
    assert "status 302" in failure(reaching(http(status="302 Found")))
    assert "status 404" in failure(reaching(http(status="404 Not Found")))
    assert "status 206" in failure(reaching(http(status="206 Partial Content")))


def test_what_an_error_page_says_is_not_told() -> None:
    assert "secret" not in failure(reaching(http(b"secret", "403 secret", X_Note="secret")))


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_nothing_is_unpacked(encoding: str) -> None:
    assert "compressed" in failure(reaching(http(Content_Encoding=encoding)))
    assert get(reaching(http(Content_Encoding="Identity"))) == b"picture"


@pytest.mark.parametrize("headers", [{}, {"Content_Length": "1000"}, {"Content_Length": "x"}, {"Content_Length": "-1"}])
def test_as_many_bytes_as_allowed(headers: dict[str, str]) -> None:
    assert len(get(reaching(http(bytes(MOST), **headers)))) == MOST


def test_a_file_that_is_too_large() -> None:
    announced = reaching(http(b"", Content_Length="1001"))
    assert refusal(announced).code == "image_too_large"
    assert refusal(reaching(http(bytes(MOST + 1)))).code == "image_too_large"
    chunk = b"%x\r\n" % (MOST + 1) + bytes(MOST + 1) + b"\r\n0\r\n\r\n"
    assert refusal(reaching(http(chunk, Transfer_Encoding="chunked"))).code == "image_too_large"
    huge = b"ffffffffffff\r\n" + bytes(MOST + 1)
    assert refusal(reaching(http(huge, Transfer_Encoding="chunked"))).code == "image_too_large"


def test_more_than_was_announced_is_not_read_and_less_is_a_failure() -> None:
    assert get(reaching(http(b"picture and more", Content_Length="7"))) == b"picture"
    assert "less than it announced" in failure(reaching(http(b"pic", Content_Length="7")))


def endless(*parts: bytes) -> Iterator[tuple[float, bytes]]:
    yield from ((0.0, part) for part in parts[:-1])
    yield from ((0.0, parts[-1]) for _ in itertools.count())


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n", b"Trailer: t\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n", b"Header: h\r\n"),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(b"x"),
    ],
)
def test_an_endless_answer_ends(answer: Iterator[tuple[float, bytes]]) -> None:
    assert refusal(reaching(answer)).code in {"image_too_large", "image_fetch_failed"}


@pytest.mark.parametrize("silent", [0, 1, 20, 60])
def test_a_slow_answer_ends_when_its_time_is_up(silent: int) -> None:
    """One byte a second, each in time by itself."""
    data = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100)
    quick, slow = data[:silent], data[silent:]
    internet = reaching([(0.0, quick)] * bool(quick) + [(1.0, slow[i : i + 1]) for i in range(len(slow))])
    assert "within 10 s" in failure(internet)
    assert internet.clock.now == pytest.approx(10)


def test_redirects_and_all_images_of_a_request_share_the_time() -> None:
    slow = [(4.0, b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")]
    internet = reaching(slow, slow, slow)
    assert "within 10 s" in failure(internet)
    internet = reaching([(6.0, b"HTTP/1.1 200 OK\r\n\r\npicture")], [(6.0, b"HTTP/1.1 200 OK\r\n\r\npicture")])
    fetch = fetcher(MOST, internet.web())
    assert fetch("http://a.example/") == b"picture"
    with pytest.raises(ApiError, match="within 10 s"):
        fetch("http://a.example/")


def test_a_host_that_is_not_there_and_a_certificate_that_is_not_trusted() -> None:
    assert "can't be reached" in failure(reaching(ConnectionRefusedError("10.0.0.1 said: secret")))
    assert "secret" not in failure(reaching(ConnectionRefusedError("10.0.0.1 said: secret")))
    assert "not trusted" in failure(reaching(ssl.SSLCertVerificationError("x")), "https://a.example/")
    assert "within 10 s" in failure(reaching(TimeoutError()))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 999999 x\r\n\r\n",
        b"HTTP/1.1 -1 x\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000,
    ],
)
def test_what_is_no_answer_in_http(answer: bytes) -> None:
    assert refusal(reaching([(0.0, answer)])).code in {"image_fetch_failed", "image_too_large"}


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 x\r\nLocation: "]),
    st.sampled_from([b"", b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"Content-Encoding: "]),
    st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
)
def test_any_answer_gives_bytes_or_a_refusal(first: bytes, second: bytes, rest: bytes) -> None:
    with suppress(ApiError):
        assert len(get(reaching([(0.0, first + second + rest)] * 2, http(), http()))) <= MOST


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=30), st.sampled_from(["", "http://", "https://", "http://a.example", "http://127.0.0.1", "//"]))
def test_any_url_gives_bytes_or_a_refusal_and_reaches_only_what_is_public(text: str, before: str) -> None:
    internet = reaching(*[http()] * 5)
    with suppress(ApiError):
        assert get(internet, before + text) == b"picture"
    assert {address for address, _, _ in internet.connected} <= {PUBLIC}
