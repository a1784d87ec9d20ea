"""A viewer without a browser: the page by HTTP, then its WebSocket, as Bokeh's own client does."""

from __future__ import annotations

import json
import re
import socket
import threading
from types import TracebackType
from typing import Any

import requests
import websocket

TOKEN = re.compile(r'"token":"([^"]+)"')
TIMEOUT_S = 90.0
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
    """An open page: the server works for it as for a browser that has drawn it.

    Its thread reads until `freeze`, and says after each refresh that it was drawn.
    """

    def __init__(self, url: str) -> None:
        page = requests.get(url, timeout=TIMEOUT_S)
        page.raise_for_status()
        self.refreshes = 0
        self._line = connect(url, token(page.text))
        self._reading = threading.Event()
        self._reading.set()
        self._next_type("ACK")
        self._send("PULL-DOC-REQ", {})
        roots = self._next_type("PULL-DOC-REPLY")["doc"]["roots"]
        self._counters = [
            model["id"]
            for model in _models(roots)
            if model["name"].endswith("Spinner") and model["attributes"].get("visible") is False
        ]
        self._send("PATCH-DOC", {"events": [READY]})
        self._thread = threading.Thread(target=self._read, name="raw viewer", daemon=True)
        self._thread.start()

    def __enter__(self) -> RawViewer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.freeze()
        self._line.close()

    def freeze(self) -> None:
        """Read no more, as a browser that was stopped; what is sent piles up."""
        self._reading.clear()
        self._thread.join()

    def _read(self) -> None:
        while self._reading.is_set():
            try:
                content = self._next_type("PATCH-DOC")
            except websocket.WebSocketConnectionClosedException:
                return
            for event in content["events"]:
                model = event.get("model", {}).get("id")
                if event.get("attr") == "value" and model in self._counters:
                    self.refreshes += 1
                    (seen,) = (other for other in self._counters if other != model)
                    change = {"kind": "ModelChanged", "attr": "value", "new": event["new"]}
                    self._send("PATCH-DOC", {"events": [{**change, "model": {"id": seen}}]})

    def _next_type(self, wanted: str) -> dict[str, Any]:
        """Read on to the next message of this type; return its content."""
        while True:
            first = self._line.recv()
            if not first:
                raise websocket.WebSocketConnectionClosedException("the server closed it")
            header = json.loads(first)
            self._line.recv()
            content: dict[str, Any] = json.loads(self._line.recv())
            for _ in range(2 * header.get("num_buffers", 0)):
                self._line.recv()
            if header["msgtype"] == wanted:
                return content

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        for part in ({"msgid": kind, "msgtype": kind}, {}, content):
            self._line.send(json.dumps(part))


def _models(found: Any) -> list[dict[str, Any]]:
    """Return all models of a document, in whatever they are nested."""
    if isinstance(found, list):
        return [model for item in found for model in _models(item)]
    if not isinstance(found, dict):
        return []
    own = [found] if "attributes" in found and "id" in found else []
    return own + [model for item in found.values() for model in _models(item)]
