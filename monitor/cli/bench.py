"""The command `bench`: measure this program and its alternatives in one run."""

from __future__ import annotations

import importlib
import json
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

COUNT, RUNS, CHUNK_BYTES = 200_000, 3, 1 << 16
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
QUOTE_SHARE = 7 / 9
TIME_MS = 1_723_161_255_308
DECODERS = ("json", "orjson", "msgspec.json")


class QuoteTick(NamedTuple):
    """A quote as a plain Python client keeps it."""

    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    seq: int


class TradeTick(NamedTuple):
    """A trade as a plain Python client keeps it."""

    symbol: str
    price: float
    size: float
    side: str
    trade_id: int
    ts_event: int


class Measured(NamedTuple):
    """A line of the table; `per_s` None if the peer is not installed, `ratio` ours to theirs."""

    what: str
    who: str
    unit: str
    per_s: float | None
    ratio: float | None


def bench(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Measure decoding, recording and replay on this machine, beside peers in the same run."""
    measured = measure()
    if as_json:
        print(json.dumps([line._asdict() for line in measured]))
        return
    print(f"{'what':<36}  {'who':<34}  {'per second':>16}  {'monitor is':>10}")
    for line in measured:
        per_s = "not installed" if line.per_s is None else f"{line.per_s:,.0f} {line.unit}"
        ratio = "" if line.ratio is None else f"{line.ratio:.1f}×"
        print(f"{line.what:<36}  {line.who:<34}  {per_s:>16}  {ratio:>10}")


def measure(count: int = COUNT) -> list[Measured]:
    """Measure everything and return the lines: the fastest of `RUNS` runs, ratios of medians."""
    payloads = messages(count)
    wire = framed(payloads)
    return [*_decoding(payloads, wire), *_recording(wire, count)]


def _decoding(payloads: list[bytes], wire: bytes) -> list[Measured]:
    peers = {name: _loads(name) for name in DECODERS}
    known = {name: loads for name, loads in peers.items() if loads is not None}
    taken_s: dict[str, list[float]] = {name: [] for name in ("monitor", *known)}
    for _ in range(RUNS):
        taken_s["monitor"].append(_seconds(partial(decoded, wire)))
        for name, loads in known.items():
            taken_s[name].append(_seconds(partial(_ticks, loads, payloads)))
    what, ours_s = "decode Binance quotes and trades", statistics.median(taken_s["monitor"])
    fastest = {name: len(payloads) / min(took) for name, took in taken_s.items()}
    lines = [Measured(what, "monitor, from frames to Arrow", "msg", fastest["monitor"], 1.0)]
    for name in DECODERS:
        ratio = statistics.median(taken_s[name]) / ours_s if name in known else None
        lines.append(
            Measured(what, f"{name}, from texts to tuples", "msg", fastest.get(name), ratio)
        )
    return lines


def _recording(wire: bytes, count: int) -> list[Measured]:
    from monitor.graph import Graph
    from monitor.hub import Hub
    from monitor.recordings import Player, Recorder, open_recording

    batches = decoded(wire)
    rows = sum(batch.row_count for batch in batches)
    with tempfile.TemporaryDirectory() as made:
        recorder = Recorder(Path(made) / "bench", ["bench:*"], lambda *_: None)
        recorder.start()
        recorded_s = _seconds(partial(_record, recorder, batches, recorder.close))
        with open_recording(Path(made), "bench") as opened:
            player = Player(opened, Graph({"hub": Hub()}, []).emit, speed=None)
            replayed_s = _seconds(player.run_to_end)
    what = "record, sealed and synced", "replay into the page's rings"
    who = f"monitor, {rows:,} rows"
    took_s = (recorded_s, replayed_s)
    return [
        Measured(done, who, "rows", rows / seconds, None)
        for done, seconds in zip(what, took_s, strict=True)
    ]


def _record(recorder: Callable[[Any], None], batches: list[Any], close: Callable[[], None]) -> None:
    for batch in batches:
        recorder(batch)
    close()


def _ticks(loads: Callable[[bytes], Any], payloads: list[bytes]) -> list[QuoteTick | TradeTick]:
    return [tick(loads(payload)) for payload in payloads]


def decoded(wire: bytes) -> list[Any]:
    """Decode WebSocket bytes into Arrow batches, drained every 8 chunks."""
    import pyarrow as pa

    from monitor._rust_feed import Feed, Session
    from monitor.rows import Batch

    feed = Feed(len(wire))
    session = Session(feed, "binance", "{}")
    chunks = range(0, len(wire), CHUNK_BYTES)
    batches = []
    for turn, at in enumerate(chunks, 1):
        session.receive(wire[at : at + CHUNK_BYTES], TIME_MS * 1_000_000 + turn)
        if turn % 8 == 0 or turn == len(chunks):
            kinds = feed.drain(0, 0) or {}
            batches.append(Batch({kind: pa.record_batch(rows) for kind, rows in kinds.items()}))
    return batches


def messages(count: int, seed: int = 1) -> list[bytes]:
    """Make `count` bookTicker and trade messages, 7 to 2, numbered as at the venue."""
    draw = random.Random(seed)
    updates = 40_000_000_000
    trades = dict.fromkeys(SYMBOLS, 1_520_000_000)
    made = []
    for at in range(count):
        symbol, price = draw.choice(SYMBOLS), 2683 + draw.random() * 10
        if draw.random() < QUOTE_SHARE:
            updates += draw.randint(1, 9)
            text = (
                f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":{updates},"s":"{symbol}",'
                f'"b":"{price:.8f}","B":"{draw.random() * 30:.8f}","a":"{price + 0.01:.8f}",'
                f'"A":"{draw.random() * 30:.8f}"}}}}'
            )
        else:
            trades[symbol] += 1
            maker = "true" if draw.random() < 0.5 else "false"
            now = TIME_MS + at
            text = (
                f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{now},'
                f'"s":"{symbol}","t":{trades[symbol]},"p":"{price:.8f}",'
                f'"q":"{draw.random():.8f}","T":{now},"m":{maker},"M":true}}}}'
            )
        made.append(text.encode())
    return made


def framed(payloads: list[bytes]) -> bytes:
    """Frame payloads as a WebSocket server does."""
    parts = []
    for payload in payloads:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x81, size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x81, 126, size)
        else:
            head = struct.pack("!BBQ", 0x81, 127, size)
        parts += [head, payload]
    return b"".join(parts)


def tick(message: dict[str, Any]) -> QuoteTick | TradeTick:
    """Turn a decoded message into a tick, as a plain Python client does."""
    data = message["data"]
    if "e" in data:
        side = "sell" if data["m"] else "buy"
        price, size = float(data["p"]), float(data["q"])
        return TradeTick(data["s"], price, size, side, data["t"], data["T"])
    bid, ask = float(data["b"]), float(data["a"])
    return QuoteTick(data["s"], bid, float(data["B"]), ask, float(data["A"]), data["u"])


def _loads(name: str) -> Callable[[bytes], Any] | None:
    module, _, function = name.partition(".")
    try:
        found = importlib.import_module(f"{module}.{function}" if function else module)
    except ImportError:
        return None
    loads: Callable[[bytes], Any] = getattr(found, "loads", None) or found.decode
    return loads


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
