"""A viewer without a browser: the page by HTTP, then its WebSocket, as Bokeh's own client does."""

from __future__ import annotations

import json
import re
import socket
from types import TracebackType
from typing import Any

import requests
import websocket

TOKEN = re.compile(r'"token":"([^"]+)"')
TIMEOUT_S = 60.0
READY = {
    "kind": "MessageSent",
    "msg_type": "bokeh_event",
    "msg_data": {
        "type": "event",
        "name": "document_ready",
        "values": {"type": "map", "entries": []},
    },
}


def token(page: str) -> str:
    """Return what the page shows when it connects."""
    found = TOKEN.search(page)
    assert found is not None, page[:500]
    return found[1]


def connect(url: str, shown: str, cookies: str = "", origin: str | None = None) -> Any:
    """Open the WebSocket of a page; `url` is the page's own, with a slash at its end."""
    return websocket.create_connection(
        f"{url.replace('http', 'ws', 1)}ws",
        timeout=TIMEOUT_S,
        origin=origin or url.rstrip("/"),
        subprotocols=["bokeh", shown],
        cookie=cookies,
        sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16),),
    )


class RawViewer:
    """An open page: the server works for it as for a browser that has drawn it."""

    def __init__(self, url: str) -> None:
        page = requests.get(url, timeout=TIMEOUT_S)
        page.raise_for_status()
        self.line = connect(url, token(page.text))
        self.next_type("ACK")
        self._send("PATCH-DOC", {"events": [READY]})

    def __enter__(self) -> RawViewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.line.close()

    def next_type(self, wanted: str) -> dict[str, Any]:
        """Read on to the next message of this type; return its content."""
        while True:
            header = json.loads(self.line.recv())
            self.line.recv()
            content: dict[str, Any] = json.loads(self.line.recv())
            for _ in range(header.get("num_buffers", 0)):
                self.line.recv(), self.line.recv()
            if header["msgtype"] == wanted:
                return content

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        for part in ({"msgid": kind, "msgtype": kind}, {}, content):
            self.line.send(json.dumps(part))
