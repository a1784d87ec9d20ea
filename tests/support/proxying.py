"""A proxy on this machine, HTTP and SOCKS at one port, that leads every host to one port of it."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MOST_BYTES = 1 << 16
DEADLINE_S = 60.0
# <https://www.rfc-editor.org/rfc/rfc1928>, <https://www.rfc-editor.org/rfc/rfc1929>.
NO_LOGIN, WITH_LOGIN, NONE_FITS = 0, 2, 255
GRANTED_4, GRANTED_5 = b"\0\x5a" + bytes(6), b"\5\0\0\1" + bytes(6)


class Proxy:
    """What the proxy wants (`user`, `password`; both empty: no login), and what it was asked."""

    def __init__(self, port: int, login: tuple[str, str]) -> None:
        self.upstream, self.login = port, login
        # The protocol and the host of each request that it granted, and how many it refused.
        self.asked: list[tuple[str, str]] = []
        self.refused = 0
        self.at = ""

    def serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), client:
            client.settimeout(DEADLINE_S)
            first = _take(client, 1)
            if first == b"\5":
                self._socks5(client)
            elif first == b"\4":
                self._socks4(client)
            else:
                self._http(client, first)

    def _socks5(self, client: socket.socket) -> None:
        offered = _take(client, _take(client, 1)[0])
        wanted = WITH_LOGIN if any(self.login) else NO_LOGIN
        if wanted not in offered:
            self.refused += 1
            return client.sendall(bytes([5, NONE_FITS]))
        client.sendall(bytes([5, wanted]))
        if wanted == WITH_LOGIN:
            _take(client, 1)
            given = tuple(_take(client, _take(client, 1)[0]).decode() for _ in range(2))
            client.sendall(bytes([1, given != self.login]))
            if given != self.login:
                self.refused += 1
                return None
        _, _, _, kind = _take(client, 4)
        match kind:
            case 1:
                host = socket.inet_ntoa(_take(client, 4))
            case 4:
                host = socket.inet_ntop(socket.AF_INET6, _take(client, 16))
            case _:
                host = _take(client, _take(client, 1)[0]).decode()
        _take(client, 2)
        self._lead(client, "socks5", host, GRANTED_5)
        return None

    def _socks4(self, client: socket.socket) -> None:
        _take(client, 3)
        address = _take(client, 4)
        _until(client, b"\0")
        # 0.0.0.x: a name follows (SOCKS 4a).
        is_name = address[:3] == bytes(3)
        host = _until(client, b"\0").decode() if is_name else socket.inet_ntoa(address)
        self._lead(client, "socks4", host, GRANTED_4)

    def _http(self, client: socket.socket, first: bytes) -> None:
        """Answer CONNECT, or pass requests of one connection on to their host."""
        head = first + _until(client, b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        method, where, version = line.split(" ")
        told = dict(header.split(": ", 1) for header in headers if header)
        login = base64.b64encode(":".join(self.login).encode()).decode()
        if any(self.login) and told.get("Proxy-Authorization") != f"Basic {login}":
            self.refused += 1
            refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            return client.sendall(refusal)
        if method == "CONNECT":
            host = where.rpartition(":")[0]
            return self._lead(client, "connect", host, f"{version} 200 OK\r\n\r\n".encode())
        _, _, rest = where.partition("://")
        host, _, path = rest.partition("/")
        kept = [header for header in headers if header and not header.startswith("Proxy-")]
        asked = "\r\n".join([f"{method} /{path} {version}", *kept, "Connection: close", "", ""])
        return self._lead(client, "http", host.rpartition(":")[0] or host, b"", asked.encode())

    def _lead(
        self, client: socket.socket, how: str, host: str, granted: bytes, asked: bytes = b""
    ) -> None:
        self.asked.append((how, host))
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            client.sendall(granted)
            server.sendall(asked)
            back = threading.Thread(target=_pipe, args=(server, client), daemon=True)
            back.start()
            _pipe(client, server)
            back.join()


@contextmanager
def proxying(port: int, user: str = "", password: str = "") -> Iterator[Proxy]:
    """Run a proxy that leads to `port`; `at` is its address."""
    proxy = Proxy(port, (user, password))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy.at = f"127.0.0.1:{listening.getsockname()[1]}"

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, name="proxy")
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _take(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = line.recv(count - len(found))
        if not part:
            raise OSError("expected more bytes, found the end")
        found += part
    return found


def _until(line: socket.socket, end: bytes) -> bytes:
    """Read up to an end; return what is before it."""
    found = b""
    while not found.endswith(end):
        found += _take(line, 1)
    return found.removesuffix(end)


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(MOST_BYTES):
            target.sendall(part)
    for line in (source, target):
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
