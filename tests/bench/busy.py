"""A busy collector: a process of its own plays four venues to it over plain sockets.

Nothing is asked of it by REST, so that symbols are taken at their word. Coinbase brings books, the
others quotes and trades.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import multiprocessing
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from monitor.cli.bench import framed
from monitor.processes import locks

RATE, TURN_S = 20_000, 0.02
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Texts = Iterator[str]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def step(draw: random.Random, mids: dict[str, float]) -> tuple[str, float]:
    """Return one of the names, and its mid, which goes a tick up or down or stays."""
    name = draw.choice(list(mids))
    mids[name] = max(1.0, mids[name] + draw.choice((-0.01, 0.0, 0.01)))
    return name, mids[name]


def binance(draw: random.Random, names: list[str]) -> Texts:
    """Best bids and offers, and trades: 7 to 2."""
    ids, mids = {name: itertools.count(1) for name in names}, dict.fromkeys(names, 100.0)
    for update in itertools.count(1):
        name, mid = step(draw, mids)
        head = f'{{"stream":"{name.lower()}usdt@'
        if draw.random() < 7 / 9:
            yield (
                f'{head}bookTicker","data":{{"u":{update},"s":"{name}USDT","b":"{mid:.8f}",'
                f'"B":"{draw.random() * 9:.8f}","a":"{mid + 0.01:.8f}",'
                f'"A":"{draw.random() * 9:.8f}"}}}}'
            )
        else:
            at = time.time_ns() // 1000
            yield (
                f'{head}trade","data":{{"e":"trade","E":{at},"s":"{name}USDT",'
                f'"t":{next(ids[name])},"p":"{mid:.8f}","q":"0.50000000","T":{at},"m":true,"M":true}}}}'
            )


def kraken(draw: random.Random, names: list[str]) -> Texts:
    """Best bids and offers, and trades: 7 to 2."""
    ids, mids = {name: itertools.count(1) for name in names}, dict.fromkeys(names, 100.0)
    while True:
        name, mid = step(draw, mids)
        if draw.random() < 7 / 9:
            yield (
                f'{{"channel":"ticker","type":"update","data":[{{"symbol":"{name}/USD",'
                f'"bid":{mid:.2f},"bid_qty":1.5,"ask":{mid + 0.01:.2f},"ask_qty":2.5,'
                f'"last":{mid:.2f},"volume":1.0,"vwap":1.0,"low":1.0,"high":1.0,"change":0.1,'
                f'"change_pct":0.1,"timestamp":"{now()}"}}]}}'
            )
        else:
            yield (
                f'{{"channel":"trade","type":"update","data":[{{"symbol":"{name}/USD","side":"buy",'
                f'"price":{mid:.2f},"qty":0.5,"ord_type":"limit","trade_id":{next(ids[name])},'
                f'"timestamp":"{now()}"}}]}}'
            )


def coinbase(draw: random.Random, names: list[str]) -> Texts:
    """A book of 100 levels per side for each product, then changes of 10 levels."""
    sequence = itertools.count()

    def message(kind: str, name: str, levels: list[tuple[str, float, float]]) -> str:
        at = now()
        updates = ",".join(
            f'{{"side":"{side}","event_time":"{at}","price_level":"{price:.2f}",'
            f'"new_quantity":"{size:.8f}"}}'
            for side, price, size in levels
        )
        return (
            f'{{"channel":"l2_data","timestamp":"{at}","sequence_num":{next(sequence)},"events":'
            f'[{{"type":"{kind}","product_id":"{name}-USD","updates":[{updates}]}}]}}'
        )

    bids = [("bid", 100 - step / 100, 1.0) for step in range(1, 101)]
    asks = [("offer", 100 + step / 100, 1.0) for step in range(1, 101)]
    for name in names:
        yield message("snapshot", name, bids + asks)
    while True:
        levels = draw.sample(bids, 5) + draw.sample(asks, 5)
        changed = [(side, price, draw.random() + 0.1) for side, price, _ in levels]
        yield message("update", draw.choice(names), changed)


def exchange(draw: random.Random, names: list[str]) -> Texts:
    """Tickers and matches, one to one."""
    ids, mids = {name: itertools.count(1) for name in names}, dict.fromkeys(names, 100.0)
    for sequence in itertools.count(1):
        (name, mid), at = step(draw, mids), now()
        if sequence % 2:
            yield (
                f'{{"type":"ticker","sequence":{sequence},"product_id":"{name}-USD",'
                f'"price":"{mid:.2f}","best_bid":"{mid:.2f}","best_bid_size":"1.5",'
                f'"best_ask":"{mid + 0.01:.2f}","best_ask_size":"2.5","side":"buy","time":"{at}",'
                f'"trade_id":1,"last_size":"1.0"}}'
            )
        else:
            yield (
                f'{{"type":"match","trade_id":{next(ids[name])},"sequence":{sequence},'
                f'"maker_order_id":"m","taker_order_id":"t","time":"{at}",'
                f'"product_id":"{name}-USD","size":"0.5","price":"{mid:.2f}","side":"sell"}}'
            )


VENUES: dict[str, tuple[str, Callable[[random.Random, list[str]], Texts]]] = {
    "binance": ("USDT+quote+trade", binance),
    "kraken": ("USD+quote+trade", kraken),
    "coinbase": ("USD+book", coinbase),
    "coinbase-exchange": ("USD+quote+trade", exchange),
}


def play(listener: socket.socket, texts: Texts) -> None:
    """Answer one opening handshake and send messages at an even rate until the client goes."""
    peer, _ = listener.accept()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(4096)
    key = head[head.lower().index(b"sec-websocket-key:") + 18 :].split(b"\r\n")[0].strip()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    peer.sendall(answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    began_s, sent, rate = time.monotonic(), 0, RATE / len(VENUES)
    try:
        while True:
            due = int((time.monotonic() - began_s) * rate)
            peer.sendall(framed([text.encode() for text in itertools.islice(texts, due - sent)]))
            sent = max(sent, due)
            time.sleep(TURN_S)
    except OSError:
        peer.close()


def play_all(listeners: list[socket.socket], names: list[str]) -> None:
    threads = [
        threading.Thread(target=play, args=(listener, texts(random.Random(venue), names)))
        for listener, (venue, (_, texts)) in zip(listeners, VENUES.items(), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def busy_collector(folder: Path, of_each: int) -> Iterator[locks.Held]:
    """Run a collector in `folder` on `of_each` instruments of each venue, at `RATE` in all."""
    names = [f"A{at:02d}" for at in range(of_each)]
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in VENUES]
    fork = multiprocessing.get_context("fork")
    player = fork.Process(target=play_all, args=(listeners, names), daemon=True)
    player.start()
    command = [sys.executable, "-m", "monitor.cli", "record", "--recordings", str(folder)]
    for listener, (venue, (channels, _)) in zip(listeners, VENUES.items(), strict=True):
        quote, *rest = channels.split("+")
        command += [f"{venue}:{'+'.join((f'{name}-{quote}', *rest))}" for name in names]
        port = listener.getsockname()[1]
        command += ["--endpoint", f"{venue}=ws://127.0.0.1:{port},http://127.0.0.1:9"]
    collector = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while (held := locks.holder(folder)) is None:
            time.sleep(0.1)
        yield held
    finally:
        collector.terminate()
        collector.wait()
        player.terminate()
