"""Images by address: an http(s) URL is read from the public internet, and never from the network around this machine.

Only the standard library is used, since the images of the families hold no HTTP client in common. Proxies of the
environment are not asked: they would resolve the name once more, out of our sight.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Container, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

from .errors import ApiError
from .images import Fetch

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Characters of a URL; signed ones have about 2000.
_LONGEST = 4096
_MOST_REDIRECTS = 3
#: What may come beside an image: headers, and an eighth of its size for the frames of a chunked answer.
_HEADERS = 2**16
# No user name, no zone, no backslash, nothing outside ASCII: what one parser reads so and the next one otherwise.
_URL = re.compile(
    r"(https?)://(\[[0-9a-f.]*:[0-9a-f:.]*\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?((?:[/?][!-~]*)?)", re.IGNORECASE
)
# The last label begins with a letter: 127.1, 2130706433 and 0x7f000001 are addresses to some resolvers.
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z][a-z0-9-]{0,62}", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
#: All that is handed out as public in IPv6. Outside lie, among others, forms that hold an IPv4 address: ::ffff:0:0/96,
#: and 64:ff9b::/96 of NAT64.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
# What older releases of Python take for public: tunnels that hold an IPv4 address (Teredo in the first, 6to4 in the
# third) and documentation.
_SPECIAL_6 = tuple(ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# Protocol assignments (Oracle's metadata among them), 6to4 relays, multicast; and where Azure answers its own machines.
_SPECIAL_4 = tuple(
    ipaddress.IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "168.63.129.16/32")
)


class Connection(Protocol):
    """What is used of a socket."""

    def settimeout(self, value: float | None, /) -> None:
        """Seconds that the next call may take."""

    def sendall(self, data: bytes, /) -> None:
        """Sends all of it."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int, /) -> int:
        """Fills the buffer with at most so many bytes; 0 at the end."""

    def close(self) -> None:
        """Ends it."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet and to nothing else."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not any(found in net for net in _SPECIAL_4)
    return found.is_global and found in _PUBLIC_6 and not any(found in net for net in _SPECIAL_6)


def _resolve(host: str, seconds: float) -> Sequence[str]:
    """The addresses of a host name. Raises ``TimeoutError``: a resolver's own patience is many times ours."""
    found: list[str] = []

    def ask() -> None:
        try:
            # The dot: no search list of this machine turns the name into another one.
            answers = socket.getaddrinfo(host + ".", None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(answer[4][0]) for answer in answers)

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    return found


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _connect(address: str, port: int, name: str | None, seconds: float) -> Connection:
    """A connection to exactly this address; with a name, TLS whose certificate is checked for it."""
    deadline = time.monotonic() + seconds
    plain = socket.create_connection((address, port), timeout=seconds)
    if name is None:
        return plain
    try:
        plain.settimeout(max(deadline - time.monotonic(), 0.001))
        return _trust().wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


@dataclass(frozen=True, slots=True)
class Web:
    """The way to the internet.

    ``resolve(host, seconds)`` gives a host's addresses; ``connect(address, port, name, seconds)`` a connection, with
    TLS for ``name`` where there is one; ``allows(address)`` whether it may be connected to. ``ports``: no others, so
    that nobody looks through our eyes for open ports. ``seconds``: for all images of a request, redirects included.
    """

    resolve: Callable[[str, float], Sequence[str]] = _resolve
    connect: Callable[[str, int, str | None, float], Connection] = _connect
    allows: Callable[[str], bool] = is_public
    clock: Callable[[], float] = time.monotonic
    ports: Container[int] = frozenset(_PORTS.values())
    seconds: float = 10.0


def fetcher(most: int, web: Web) -> Fetch:
    """Fetches the images of one request: each of at most ``most`` bytes, the time for all of them runs from now.

    It raises ``ApiError`` (400): ``invalid_image_url``, ``image_fetch_failed``, ``image_too_large``.
    """
    deadline = web.clock() + web.seconds

    def left() -> float:
        seconds = deadline - web.clock()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def fetch(url: str) -> bytes:
        try:
            return _follow(url, most, web, left)
        except TimeoutError:
            raise _failed(f"it did not come within {web.seconds:g} s") from None
        except ssl.SSLCertVerificationError:
            raise _failed("the certificate of its host is not trusted") from None
        except (OSError, http.client.HTTPException, ValueError):
            raise _failed("its host can't be reached, or breaks off") from None

    return fetch


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL in its parts. ``host``: a name in lower case, or an address without brackets."""

    scheme: str
    host: str
    is_address: bool
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def _place(url: str, ports: Container[int]) -> _Place:
    found = _URL.fullmatch(url.partition("#")[0])
    if found is None or len(url) > _LONGEST:
        raise _invalid(f"must be http:// or https:// with a host, in ASCII, of at most {_LONGEST} characters")
    scheme, host = found[1].lower(), found[2].lower().strip("[]").removesuffix(".")
    is_address = _is_address(host)
    if not is_address and _NAME.fullmatch(host) is None:
        raise _invalid("names no host")
    port = int(found[3] or _PORTS[scheme])
    if port not in ports:
        raise _invalid("may not name that port")
    return _Place(scheme, host, is_address, port, found[4] if found[4].startswith("/") else "/" + found[4])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _follow(url: str, most: int, web: Web, left: Callable[[], float]) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        place = _place(url, web.ports)
        with closing(_open(place, web, left)) as connection:
            response = _ask(_Link(connection, left, most), place)
            target = response.headers["Location"] if response.status in {301, 302, 303, 307, 308} else None
            if target is None:
                return _content(response, most)
        url = urljoin(url, target)
    raise _failed(f"it is behind more than {_MOST_REDIRECTS} redirects")


def _open(place: _Place, web: Web, left: Callable[[], float]) -> Connection:
    """A connection to an address that was looked at: the name is not resolved a second time.

    One address that is not public is enough to refuse; a name without any is refused in the same words, so that nobody
    learns which names there are inside.
    """
    addresses = list(dict.fromkeys([place.host] if place.is_address else web.resolve(place.host, left())))
    if not addresses or not all(web.allows(address) for address in addresses):
        raise _failed("its host has no public address")
    name = place.host if place.scheme == "https" else None
    while True:
        seconds = left() / len(addresses)
        address = addresses.pop(0)
        try:
            return web.connect(address, place.port, name, seconds)
        except OSError:
            if not addresses:
                raise


class _Stream(io.RawIOBase):
    """What a connection sends: neither a slow nor an endless answer holds us."""

    def __init__(self, connection: Connection, left: Callable[[], float], most: int) -> None:
        self._connection = connection
        self._left = left
        self._most = most
        self._room = most + most // 8 + _HEADERS

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Raises ``TimeoutError`` at the deadline, ``ApiError`` where more comes than there is room for."""
        if self._room <= 0:
            raise _too_large(self._most)
        self._connection.settimeout(self._left())
        count = self._connection.recv_into(buffer, min(memoryview(buffer).nbytes, self._room))
        self._room -= count
        return count


class _Link:
    """A connection in the shape that ``http.client`` asks for."""

    def __init__(self, connection: Connection, left: Callable[[], float], most: int) -> None:
        self._connection = connection
        self._left = left
        self._most = most

    def sendall(self, data: bytes) -> None:
        """Sends all of it."""
        self._connection.settimeout(self._left())
        self._connection.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        """What comes."""
        return io.BufferedReader(_Stream(self._connection, self._left, self._most))

    def close(self) -> None:
        """Nothing: whoever opened the connection closes it."""


def _ask(link: _Link, place: _Place) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(place.host, place.port)
    connection.sock = link
    connection.auto_open = 0  # never a connection of its own, by a name that nobody looked at
    headers = {
        "Host": place.authority,
        "User-Agent": "orchestrator",
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    connection.request("GET", place.path, headers=headers)
    return connection.getresponse()


def _content(response: http.client.HTTPResponse, most: int) -> bytes:
    if response.status != 200:
        raise _failed(f"its host answered with status {response.status}")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise _failed("its host sends it compressed, which was not asked for")
    if response.length is not None and response.length > most:
        raise _too_large(most)
    data = response.read(most + 1)
    if len(data) > most:
        raise _too_large(most)
    if response.length:
        raise _failed("its host sent less than it announced")
    return data


def _invalid(message: str) -> ApiError:
    return ApiError(f"an image's URL {message}", param="messages", code="invalid_image_url")


def _failed(message: str) -> ApiError:
    return ApiError(f"an image can't be fetched: {message}", param="messages", code="image_fetch_failed")


def _too_large(most: int) -> ApiError:
    return ApiError(f"an image file may have at most {most} bytes", param="messages", code="image_too_large")
