"""Replay without a page: to a digest, to a new recording, or with a line on the terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from monitor._rust_feed import Digest
from monitor.cli import support
from monitor.graph import Graph
from monitor.hooks import builtin, user_hooks
from monitor.recordings import SPEEDS, Merged, Player, Recorder, Recording, open_recordings, whole
from monitor.rows import SCHEMAS, Batch, column, iso, signal_text
from monitor.settings import Rule, Settings

LOOK_EVERY_S = 0.2
# The columns that make two signals equal; `origin` only names the run.
SIGNAL = [name for name in SCHEMAS["signal"].names if name not in ("ts_recv", "origin")]
ALERTS = "alerts"
SEEK_NS = 10_000_000_000
# An arrow key sends three bytes.
KEY_BYTES = 3
KEYS = "space pauses, s steps, ← and → seek 10 s, - and + change the speed, q ends"


class Replayed(NamedTuple):
    """The result of a replay: rows by kind, and the digest of all rows except signals."""

    rows: Counter[str]
    digest: str


class Wanted(NamedTuple):
    """What to replay and how; times in ns since 1970, `speed` None as fast as possible."""

    names: Sequence[str]
    speed: float | None
    from_ns: int | None
    to_ns: int | None
    loop: bool = False
    # The name of a new recording that stores every row.
    record: str | None = None
    # Whether a person steers the replay; otherwise it runs to its end.
    attended: bool = False
    # Alert rules to use instead of those of the settings; their signals are printed.
    rules: Sequence[Rule] | None = None


class _Signals:
    """Counts the recorded signals, the recomputed ones and the equal pairs, in any order."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._equal = 0
        # For each signal: how often it was recorded, minus how often it was recomputed.
        self._left: dict[str, int] = {}

    def take(self, origin: Literal["recorded", "recomputed"], batch: Batch) -> None:
        sign = 1 if origin == "recorded" else -1
        rows = batch["signal"]
        times = column(rows, "ts_recv").tolist() if rows.num_rows else []
        for values in zip(times, *(rows[name].to_pylist() for name in SIGNAL), strict=True):
            # Compare as text: there NaN equals NaN.
            key = repr(values)
            left = self._left.pop(key, 0)
            self._counts[origin] += 1
            self._equal += left * sign < 0
            if left + sign:
                self._left[key] = left + sign

    def tell(self) -> None:
        recorded, recomputed = self._counts["recorded"], self._counts["recomputed"]
        if recorded or recomputed:
            told = f"{recorded} recorded, {recomputed} recomputed, {self._equal} equal"
            print(f"signals: {told}", file=sys.stderr)


def replay(folder: Path, wanted: Wanted, settings: Settings) -> Replayed:
    """Play recordings to their end, or in a loop until interrupted.

    An unattended replay prints how many recomputed signals equal the recorded ones.
    Raises ValueError for an unknown recording, a new recording whose name is taken, or a loop
    that ends before it starts.
    """
    total, rows, compared = Digest(), Counter[str](), _Signals()
    rules = settings.alerts if wanted.rules is None else wanted.rules
    fired = 0
    before = Batch({})

    def sink(batch: Batch) -> None:
        nonlocal fired
        if batch is before:
            return
        rows.update({kind: part.num_rows for kind, part in batch.kinds.items()})
        total.update(dict(batch.kinds))
        compared.take("recomputed", batch)
        if wanted.rules is not None:
            fired += _print_alerts(batch["signal"])

    def build() -> Graph:
        own = user_hooks.load(settings.hooks.folder, "recomputed")
        for trouble in own.troubles:
            print(f"monitor: {trouble}", file=sys.stderr)
        every = [*builtin.load(settings.hooks, "recomputed", rules), *own.hooks]
        return Graph({"replay": sink}, every, _tell_disabled)

    graph = build()

    def reset() -> None:
        nonlocal graph
        graph = build()

    with (
        open_recordings(folder, wanted.names) as opened,
        _recording(folder, wanted.record, opened) as record,
    ):

        def relive(batch: Batch) -> None:
            record(batch)
            compared.take("recorded", batch)
            timed = {kind: part for kind, part in batch.kinds.items() if kind != "signal"}
            graph.emit(Batch(timed))

        if wanted.from_ns is not None:
            # Hooks must know the authoritative origins; the result does not count these rows.
            before = opened.in_force(wanted.from_ns)
            graph.emit(before)
        player = Player(opened, relive, reset, wanted.speed, wanted.from_ns, wanted.to_ns)
        if wanted.loop:
            first, last = player.span_ns
            start_ns = first if wanted.from_ns is None else wanted.from_ns
            player.repeat((start_ns, last if wanted.to_ns is None else wanted.to_ns))
        if wanted.attended:
            _attend(player)
        else:
            player.run_to_end()
            compared.tell()
    if wanted.rules is not None:
        print(f"{fired} signals of alert rules", flush=True)
    return Replayed(rows, total.hexdigest())


def _print_alerts(rows: pa.RecordBatch) -> int:
    """Print the signals of alert rules; return their number."""
    told = [found for found in signal_text.documents(rows) if found["hook"] == ALERTS]
    for found in told:
        print(signal_text.line(found), flush=True)
    return len(told)


def _tell_disabled(name: str, why: str) -> None:
    print(f"monitor: hook {name} {why}", file=sys.stderr)


@contextmanager
def _recording(
    folder: Path, name: str | None, opened: Recording | Merged
) -> Iterator[Callable[[Batch], None]]:
    """Yield a sink that stores every row in a new recording; without a name it does nothing."""
    if name is None:
        yield lambda batch: None
        return
    if (folder / name).exists() or Path(name).name != name:
        raise ValueError(f"expected the name of a new recording, found {name!r}")
    recorder = Recorder(folder / name, opened.sources, support.tell)
    recorder.start()
    with whole(recorder) as emit:
        yield emit


def _attend(player: Player) -> None:
    """Play at a terminal: show the position and obey keys."""
    player.start()
    try:
        with _keys() as key, support.status_line() as show:
            while not player.ended and player.is_alive and (pressed := key()) != "q":
                _act(player, pressed)
                show(f"{player.told} {iso(player.position_ns)}")
    except KeyboardInterrupt:
        pass
    finally:
        player.close()
    if player.trouble:
        raise ValueError(player.trouble)


def _act(player: Player, key: str) -> None:
    slowest, fastest = SPEEDS
    match key:
        case " ":
            (player.pause if player.playing else player.play)()
        case "s":
            player.step()
        case "\x1b[D" | "\x1b[C":
            player.skip(SEEK_NS if key.endswith("C") else -SEEK_NS)
        case "+":
            faster = None if player.speed is None else player.speed * 10
            player.set_speed(None if faster is None or faster > fastest else faster)
        case "-":
            player.set_speed(fastest if player.speed is None else max(slowest, player.speed / 10))


def _none() -> str:
    time.sleep(LOOK_EVERY_S)
    return ""


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Yield a function that waits briefly for a key and returns it, or "" without one."""
    if not sys.stdin.isatty():
        yield _none
        return
    print(f"monitor: {KEYS}", file=sys.stderr)
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def key() -> str:
        ready, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY_S)
        return os.read(sys.stdin.fileno(), KEY_BYTES).decode(errors="replace") if ready else ""

    try:
        yield key
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
