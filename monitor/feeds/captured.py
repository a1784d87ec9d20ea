"""One line of a capture as a frame, in each of the formats that captures come in.

- JSON objects, `{"raw": "<payload>", "recv_ns": …, "kind": …, "conn": …, …}`: see the contract.
- hftbacktest's collector: `<ns since 1970> <payload>`; what REST answered looks like a frame.
- cryptofeed's raw files: `<s since 1970>: <payload>`, `<url> -> <s>: <body>` for what REST
  answered, `<url> <- <s>: <text>` for what was sent, `<url> <-> <s>` when a line was opened.

The latter two name no connection: each of their files is one.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import NamedTuple

from monitor.batches import BAD_TS_RECV

_HFTBACKTEST = re.compile(r"(\d{16,19}) (.+)", re.DOTALL)
_CRYPTOFEED = re.compile(
    r"(?:(?P<url>\w+://\S+) (?P<way><->|<-|->) )?(?P<time>\d{9,10}(?:\.\d+)?)(?:: ?(?P<text>.*))?",
    re.DOTALL,
)
# Only the book that Binance's REST gives has this name at its top.
_BINANCE_BOOK, _BINANCE_BOOK_URL = "lastUpdateId", "https://api.binance.com/api/v3/depth"
_CONFIGURATION = "configuration: "
_KINDS = {None: "ws", "->": "http", "<-": "sent"}


class Captured(NamedTuple):
    """One record of a capture: `ts_recv` in ns since 1970, `flags` of its rows."""

    ts_recv: int
    flags: int
    conn: str
    kind: str
    url: str
    raw: str
    # What the client asked with, for an answer that cannot be read without.
    request: str | None


def parse(line: str, previous_ns: int, conn: str) -> Captured | None:
    """Read a line; None if it holds no frame. ValueError, TypeError or KeyError if it is bad.

    Without a time of its own it has that of the record before it; without a connection, `conn`.
    """
    if line.startswith("{"):
        return _of_object(json.loads(line), previous_ns)
    if told := _HFTBACKTEST.fullmatch(line):
        is_book = _BINANCE_BOOK in _whole(told[2])
        kind, url = ("http", _BINANCE_BOOK_URL) if is_book else ("ws", "")
        return Captured(int(told[1]), 0, conn, kind, url, told[2], None)
    if line.startswith(_CONFIGURATION):
        return None
    told = _CRYPTOFEED.fullmatch(line)
    if told is None:
        raise ValueError(f"a line that begins with {line[:20]!r}")
    if told["way"] == "<->":
        return None
    text = told["text"] or ""
    _whole(text)
    ts_recv = int(Decimal(told["time"]) * 1_000_000_000)
    return Captured(ts_recv, 0, conn, _KINDS[told["way"]], told["url"] or "", text, None)


def _whole(text: str) -> list[str]:
    """Return the names at the top of a payload; one cut short is the file's fault, and bad."""
    payload = json.loads(text)
    return list(payload) if isinstance(payload, dict) else []


def _of_object(line: dict[str, object], previous_ns: int) -> Captured:
    raw, kind = line["raw"], line.get("kind", "ws")
    if not isinstance(raw, str) or kind not in ("ws", "http", "sent"):
        raise ValueError(f"kind {kind!r} with a payload of type {type(raw).__name__}")
    flags = 0
    if isinstance(recv_ns := line.get("recv_ns"), int):
        ts_recv = recv_ns
    elif isinstance(recv_ts := line.get("recv_ts"), int | float):
        ts_recv = round(recv_ts * 1e9)
    elif isinstance(rx_ns := line.get("rx_ns"), int):
        ts_recv, flags = rx_ns, BAD_TS_RECV
    else:
        ts_recv, flags = previous_ns, BAD_TS_RECV
    conn, url = str(line.get("conn", "")), str(line.get("url") or "")
    request = line.get("request")
    if isinstance(request, dict | list):
        request = json.dumps(request)
    asked = request if isinstance(request, str) else None
    return Captured(ts_recv, flags, conn, str(kind), url, raw, asked)
