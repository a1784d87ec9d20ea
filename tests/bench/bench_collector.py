"""What the collector costs at 20,000 messages a second over 200 instruments of 4 venues.

A process of its own plays the venues over plain sockets; nothing is asked of it by REST, so that
symbols are taken at their word. Kraken and Coinbase bring books, the others quotes and trades.
Run: .venv/bin/python tests/bench/bench_collector.py
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import multiprocessing
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench_memory import rows_seen
from bench_page import share

from monitor import lock
from monitor.bench import framed

INSTRUMENTS, RATE, WARM_S, TURN_S = 50, 20_000, 15, 0.02
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NAMES = [f"A{at:02d}" for at in range(INSTRUMENTS)]

Texts = Iterator[str]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def binance(draw: random.Random) -> Texts:
    """Best bids and offers, and trades: 7 to 2."""
    ids = {name: itertools.count(1) for name in NAMES}
    for update in itertools.count(1):
        name, mid = draw.choice(NAMES), 100 + draw.random()
        head = f'{{"stream":"{name.lower()}usdt@'
        if draw.random() < 7 / 9:
            yield (
                f'{head}bookTicker","data":{{"u":{update},"s":"{name}USDT","b":"{mid:.8f}",'
                f'"B":"1.00000000","a":"{mid + 0.01:.8f}","A":"2.00000000"}}}}'
            )
        else:
            at = time.time_ns() // 1000
            yield (
                f'{head}trade","data":{{"e":"trade","E":{at},"s":"{name}USDT",'
                f'"t":{next(ids[name])},"p":"{mid:.8f}","q":"0.50000000","T":{at},"m":true,"M":true}}}}'
            )


def kraken(draw: random.Random) -> Texts:
    """Best bids and offers, and trades: 7 to 2."""
    ids = {name: itertools.count(1) for name in NAMES}
    while True:
        name, mid = draw.choice(NAMES), 100 + draw.random()
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


def coinbase(draw: random.Random) -> Texts:
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
    for name in NAMES:
        yield message("snapshot", name, bids + asks)
    while True:
        levels = draw.sample(bids, 5) + draw.sample(asks, 5)
        changed = [(side, price, draw.random() + 0.1) for side, price, _ in levels]
        yield message("update", draw.choice(NAMES), changed)


def exchange(draw: random.Random) -> Texts:
    """Tickers and matches, one to one."""
    ids = {name: itertools.count(1) for name in NAMES}
    for sequence in itertools.count(1):
        name, mid, at = draw.choice(NAMES), 100 + draw.random(), now()
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


VENUES: dict[str, tuple[str, Callable[[random.Random], Texts]]] = {
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


def play_all(listeners: list[socket.socket]) -> None:
    threads = [
        threading.Thread(target=play, args=(listener, texts(random.Random(name))))
        for listener, (name, (_, texts)) in zip(listeners, VENUES.items(), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in VENUES]
    player = multiprocessing.get_context("fork").Process(target=play_all, args=(listeners,))
    player.start()
    command = [sys.executable, "-m", "monitor.cli", "record"]
    for listener, (venue, (channels, _)) in zip(listeners, VENUES.items(), strict=True):
        quote, *rest = channels.split("+")
        command += [f"{venue}:{'+'.join((f'{name}-{quote}', *rest))}" for name in NAMES]
        port = listener.getsockname()[1]
        command += ["--endpoint", f"{venue}=ws://127.0.0.1:{port},http://127.0.0.1:9"]
    with tempfile.TemporaryDirectory() as folder:
        collector = subprocess.Popen([*command, "--recordings", folder], stdout=subprocess.PIPE)
        try:
            while (held := lock.holder(Path(folder))) is None:
                time.sleep(0.1)
            time.sleep(WARM_S)
            before, began_s = rows_seen(held.address), time.monotonic()
            used = share(held.pid)
            rows = (rows_seen(held.address) - before) / (time.monotonic() - began_s)
        finally:
            collector.terminate()
            collector.wait()
    player.terminate()
    print(f"{RATE:,} messages and {rows:,.0f} rows a second: {used:.1f} % of a core")


if __name__ == "__main__":
    main()
