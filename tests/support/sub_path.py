"""A reverse proxy that serves a page below a path of its own, as nginx does.

location /monitor/ {
    proxy_pass http://127.0.0.1:5006/;
    proxy_http_version 1.1;
    proxy_set_header Host $host;    # or $http_host, which has the port
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
}
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PREFIX = b"/monitor/"
MOST_BYTES = 1 << 16
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def proxied(port: int, has_port: bool) -> Iterator[str]:
    """Yield the URL below which the page of `port` is served; `Host` keeps its port or not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            # It ends when the listening socket is shut down.
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    arguments = (client, port, has_port)
                    threading.Thread(target=_serve, args=arguments, daemon=True).start()

        thread = threading.Thread(target=accept, name="proxy")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}{PREFIX.decode()}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(client: socket.socket, port: int, has_port: bool) -> None:
    """Pass one request on, then all bytes both ways until either side ends."""
    with suppress(OSError), client:
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(MOST_BYTES)
            if not part:
                return
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        (method, path, version), *lines = (line.split(b" ") for line in head.split(b"\r\n"))
        if not path.startswith(PREFIX):
            client.sendall(NOT_FOUND)
            return
        headers = [tuple(b" ".join(line).split(b": ", 1)) for line in lines]
        with socket.create_connection(("127.0.0.1", port)) as server:
            asked = b" ".join((method, b"/" + path.removeprefix(PREFIX), version))
            told = [b": ".join(header) for header in _passed_on(headers, has_port)]
            server.sendall(b"\r\n".join([asked, *told, b"", body]))
            back = threading.Thread(target=_pipe, args=(server, client), daemon=True)
            back.start()
            _pipe(client, server)
            back.join()


def _passed_on(headers: list[tuple[bytes, ...]], has_port: bool) -> Iterator[tuple[bytes, ...]]:
    for name, value in headers:
        match name.lower():
            case b"host" if not has_port:
                yield name, value.split(b":")[0]
            case b"connection" if b"upgrade" not in value.lower():
                # So that each request comes here on a connection of its own.
                yield name, b"close"
            case _:
                yield name, value
    yield b"X-Forwarded-For", b"192.0.2.7"
    yield b"X-Forwarded-Proto", b"http"


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(MOST_BYTES):
            target.sendall(part)
    for line in (source, target):
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
