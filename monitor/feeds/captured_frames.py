"""Read captured frames, in each of the capture formats.

- JSON objects, `{"raw": "<payload>", "recv_ns": …, "kind": …, "conn": …, …}`: see the contract.
- hftbacktest's collector: `<ns since 1970> <payload>`; what REST answered looks like a frame.
- cryptofeed's raw files: `<s since 1970>: <payload>`, `<url> -> <s>: <body>` for what REST
  answered, `<url> <- <s>: <text>` for what was sent, `<url> <-> <s>` when a line was opened.

The latter two name no connection: each of their files is one. A recording made with `--raw` keeps
frames too: as rows, and beside them `status` rows that say whose connection each is, what was sent
and what was fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from monitor.rows import BAD_TS_RECV, Batch, column

_HFTBACKTEST = re.compile(r"(\d{16,19}) (.+)", re.DOTALL)
_CRYPTOFEED = re.compile(
    r"(?:(?P<url>\w+://\S+) (?P<way><->|<-|->) )?(?P<time>\d{9,10}(?:\.\d+)?)(?:: ?(?P<text>.*))?",
    re.DOTALL,
)
# Only a book of Binance's REST has this name at its top level.
_BINANCE_BOOK, _BINANCE_BOOK_URL = "lastUpdateId", "https://api.binance.com/api/v3/depth"
_CONFIGURATION = "configuration: "
# Status rows that say how to read the raw frames of a recording.
_BESIDE_FRAMES = ("opened", "took_over", "left", "fetched", "sent")
_KINDS = {None: "ws", "->": "http", "<-": "sent"}


class Captured(NamedTuple):
    """One record of a capture: `ts_recv` in ns since 1970, `flags` of its rows.

    `kind` is `ws`, `http` or `sent`; of kept frames also `opened` and `took_over`, where `conn`
    begins a new connection, and `left`, where its session ends (`raw`: the state from which the
    next one continues).
    """

    ts_recv: int
    flags: int
    conn: str
    kind: str
    url: str
    raw: str
    # The request, for an answer that cannot be read without it.
    request: str | None
    # Of the connection; files have none.
    number: int | None = None


def parse(line: str, previous_ns: int, conn: str) -> Captured | None:
    """Parse a line; None without a frame. ValueError, TypeError or KeyError if it is bad.

    A line without a time gets that of the record before it; without a connection, `conn`.
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


def kept(batches: Iterable[Batch]) -> Iterator[tuple[str, Captured]]:
    """Yield the raw frames of a recording in `ord` order, each with its venue."""
    fetched: dict[tuple[str, int], str] = {}
    names: dict[tuple[str, int], str] = {}
    for batch in batches:
        told = batch["status"]
        told = told.filter(pc.is_in(told["kind"], pa.array(_BESIDE_FRAMES)))
        frames = [(*row, "frame") for row in _columns(batch["frame"], "raw")]
        rows = sorted([*_columns(told, "detail", "kind"), *frames], key=itemgetter(0))
        for _, ts_recv, venue, conn, text, kind in rows:
            if kind == "fetched":
                fetched[venue, conn] = text
                continue
            if kind in ("opened", "took_over"):
                names[venue, conn] = text
            url = fetched.pop((venue, conn), None) if kind == "frame" else None
            way = kind if kind != "frame" else "ws" if url is None else "http"
            name = names.get((venue, conn), str(conn))
            yield venue, Captured(ts_recv, 0, name, way, url or "", text, None, conn)


def _columns(rows: pa.RecordBatch, *names: str) -> Iterator[tuple[Any, ...]]:
    columns = (column(rows, name).tolist() for name in ("ord", "ts_recv", "venue", "conn", *names))
    return zip(*columns, strict=True)


def _whole(text: str) -> list[str]:
    """Return the top-level names of a payload; a truncated one is a bad line."""
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
