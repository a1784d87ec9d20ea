"""The command line: each command parses its arguments and calls the part that does the work."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from monitor.simulate.__main__ import simulate

if TYPE_CHECKING:
    from monitor.collector import Collector
    from monitor.config import Endpoint, Settings
    from monitor.sources import Source

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(simulate)

DEFAULT_SOURCES = [
    f"{venue}:{base}-{quote}"
    for base in ("BTC", "ETH")
    for venue, quote in (("binance", "USDT"), ("kraken", "USD"), ("coinbase", "USD"))
]
USAGE, FAILURE = 2, 1
TRANSPORTS = ("auto", "websocket-client")
SIMULATOR_RATE = 120

Folder = Annotated[Path, typer.Option("--recordings", help="The recordings folder.")]
Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file.")]
Endpoints = Annotated[list[str] | None, typer.Option("--endpoint", help="VENUE=URL[,URL]")]
Transport = Annotated[str, typer.Option("--transport", help="auto or websocket-client.")]
Time = Annotated[str | None, typer.Option(help="ISO 8601, UTC unless it says otherwise.")]
DEFAULT_FOLDER = Path("recordings")


@app.command()
def serve(
    source: Sources = None,
    port: int = 5006,
    address: str = "127.0.0.1",
    no_record: Annotated[bool, typer.Option("--no-record")] = False,
    config: Config = None,
    endpoint: Endpoints = None,
    transport: Transport = "auto",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Serve the page; start a collector if none runs on the recordings folder."""
    _check_transport(transport)
    settings, parsed, _ = _settings(config, source, endpoint)
    if address not in ("127.0.0.1", "localhost"):
        _fail(f"expected a loopback address (there is no authentication), found {address}", USAGE)
    from monitor import server

    written = [str(item) for item in parsed] or settings.sources
    arguments = ["record", *written, "--recordings", str(folder), "--started-by", "serve"]
    arguments += ["--simulated"] if not written else []
    arguments += ["--no-record"] if no_record else []
    arguments += ["--config", str(config)] if config else []
    for item in endpoint or []:
        arguments += ["--endpoint", item]
    try:
        server.serve(folder, address, port, arguments)
    except server.ServeError as error:
        _fail(str(error), FAILURE)


@app.command()
def record(
    source: Sources = None,
    duration: Annotated[str | None, typer.Option("--for", help="Such as 10m.")] = None,
    config: Config = None,
    endpoint: Endpoints = None,
    transport: Transport = "auto",
    raw: Annotated[bool, typer.Option("--raw", help="Keep every payload verbatim.")] = False,
    no_record: Annotated[bool, typer.Option("--no-record", hidden=True)] = False,
    simulated: Annotated[bool, typer.Option("--simulated", hidden=True)] = False,
    started_by: Annotated[str, typer.Option("--started-by", hidden=True)] = "user",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Collect and record without a page; print the digest of what was recorded."""
    _check_transport(transport)
    settings, parsed, endpoints = _settings(config, source, endpoint)
    seconds = _seconds(duration) if duration else None
    from monitor import collector, lock, sources

    with _simulator(simulated) as simulator:
        endpoints.update(simulator)
        if simulated:
            parsed = [sources.parse(text) for text in DEFAULT_SOURCES]
        if not parsed:
            _fail("expected at least one SOURCE such as binance:BTC-USDT, found none", USAGE)
        options = collector.Options(
            folder, parsed, endpoints, settings.hooks, not no_record, raw, seconds, started_by
        )
        try:
            digest = collector.run(options, _progress() if sys.stderr.isatty() else None)
        except (lock.LockedError, OSError) as error:
            _fail(str(error), FAILURE)
    print(digest, flush=True)


@app.command()
def replay(
    recording: str,
    speed: Annotated[str, typer.Option(help="0.1 to 1000, or max.")] = "1",
    from_time: Annotated[str | None, typer.Option("--from", help="ISO 8601.")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="ISO 8601.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Print the digest last.")] = False,
    config: Config = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Replay a recording through the graph, without a page."""
    settings, _, _ = _settings(config, None, None)
    pace = _speed(speed)
    from_ns, to_ns = _time_ns(from_time), _time_ns(to_time)
    from monitor import hooks
    from monitor._rust_feed import Digest
    from monitor.batches import Batch
    from monitor.pipeline import Graph
    from monitor.recordings import open_recording
    from monitor.replay import Player

    total = Digest()
    counts: dict[str, int] = {}

    def sink(batch: Batch) -> None:
        for kind, rows in batch.kinds.items():
            counts[kind] = counts.get(kind, 0) + rows.num_rows
        total.update(dict(batch.kinds))

    def relive(batch: Batch) -> None:
        graph.emit(Batch({kind: rows for kind, rows in batch.kinds.items() if kind != "signal"}))

    graph = Graph({"replay": sink}, hooks.load(settings.hooks, "recomputed"))
    with _failures(), open_recording(folder, recording) as opened:
        player = Player(opened, relive, speed=pace, from_ns=from_ns, to_ns=to_ns)
        player.run_to_end()
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())), file=sys.stderr)
    if digest:
        print(total.hexdigest())


@app.command()
def recordings(
    as_json: Annotated[bool, typer.Option("--json")] = False, folder: Folder = DEFAULT_FOLDER
) -> None:
    """List the recordings."""
    from monitor.recordings import catalogue

    with _failures():
        listed = catalogue(folder)
    if as_json:
        print(json.dumps(listed))
        return
    _table(
        ["id", "state", "started", "ended", "rows", "gaps", "bytes", "sources"],
        [
            [
                item["id"],
                item["state"],
                item["started"] or "",
                item["ended"] or "",
                sum(item["rows"].values()),
                item["gaps"],
                item["bytes"],
                " ".join(item["sources"]),
            ]
            for item in listed
        ],
    )


@app.command()
def sql(
    statement: str,
    recording: Annotated[str | None, typer.Option("--recording")] = None,
    from_time: Annotated[str | None, typer.Option("--from", help="ISO 8601.")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="ISO 8601.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option("--out")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Run one SELECT over all recordings, or one."""
    from monitor import queries

    if form not in queries.FORMATS:
        _fail(f"expected a format of {', '.join(queries.FORMATS)}, found {form!r}", USAGE)
    from_ns, to_ns = _time_ns(from_time), _time_ns(to_time)
    with _failures(queries.QueryError):
        result = queries.run(statement, folder, recording, from_ns, to_ns)
        if form == "table" and out is None:
            rows = queries.texts(result.table).to_pylist()
            _table(result.table.column_names, [list(row.values()) for row in rows])
        elif out is None:
            queries.write(result.table, form, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with out.open("wb") as file:
                queries.write(result.table, "csv" if form == "table" else form, file)


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    venue: Annotated[str, typer.Option(help="The venue that sent the frames.")],
    recording: Annotated[str | None, typer.Option(help="The new recording's name.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Decode captured frames into a new sealed recording."""
    import time

    from monitor.feeds.ingest import ingest as read
    from monitor.recorder import Recorder, new_id

    name = recording or new_id(folder, time.time_ns())
    if (folder / name).exists() or Path(name).name != name:
        _fail(f"expected the name of a new recording, found {name!r}", USAGE)
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        _fail(f"expected a capture file, found no file {missing[0]}", FAILURE)
    with _failures(EOFError):
        recorder = Recorder(folder / name, [f"{venue}:{file.name}" for file in files], _tell)
        try:
            done = read(files, venue, recorder, on_open=recorder.start)
        finally:
            recorder.close()
    for line in done.bad_lines:
        print(line, file=sys.stderr)
    print(
        f"{name}: {done.frames} frames, {done.ignored} of other channels, {done.bad} bad lines",
        file=sys.stderr,
    )
    print(recorder.digest)


@app.command()
def tail(
    source: Sources = None,
    kind: Annotated[str | None, typer.Option(help="Only rows of this kind.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print live rows of the running collector, one JSON object a line, until interrupted."""
    from monitor import lock
    from monitor.batches import KINDS, Batch
    from monitor.follower import Follower
    from monitor.queries import texts

    if kind is not None and kind not in KINDS:
        _fail(f"expected a kind of {', '.join(KINDS)}, found {kind!r}", USAGE)
    _, wanted, _ = _settings(None, source, None)
    if lock.holder(folder) is None:
        _fail(f"expected a running collector on {folder}, found none", FAILURE)
    pairs = {(item.venue, item.symbol.upper().replace("/", "-")) for item in wanted}
    gone = threading.Event()

    def show(batch: Batch) -> None:
        import pyarrow as pa

        try:
            for name, rows in batch.kinds.items():
                if kind in (None, name):
                    for row in texts(pa.Table.from_batches([rows])).to_pylist():
                        if not pairs or (row["venue"], row["symbol"]) in pairs:
                            print(json.dumps({"kind": name, **row}), flush=True)
        except BrokenPipeError:
            gone.set()

    follower = Follower(lambda: lock.holder(folder), show)
    follower.start()
    try:
        gone.wait()
    except KeyboardInterrupt:
        pass
    finally:
        follower.close()


def main() -> None:
    """Run a command; every error is one line on standard error."""
    try:
        app(standalone_mode=False)
    except typer.TyperException as error:
        _fail(error.format_message(), USAGE)


def _settings(
    config: Path | None, source: list[str] | None, endpoint: list[str] | None
) -> tuple[Settings, list[Source], dict[str, Endpoint]]:
    from monitor import config as settings_file
    from monitor import sources

    try:
        settings = settings_file.load(config)
        parsed = [sources.parse(text) for text in source or settings.sources]
        return settings, parsed, settings_file.endpoints(settings, endpoint or [])
    except ValueError as error:
        _fail(str(error), USAGE)


@contextmanager
def _simulator(wanted: bool) -> Iterator[dict[str, Endpoint]]:
    """Run the simulated exchange as a child; yield where its venues are reached."""
    if not wanted:
        yield {}
        return
    from monitor.config import Endpoint
    from monitor.simulate.server import VENUES

    command = [sys.executable, "-m", "monitor.simulate", "--rate", str(SIMULATOR_RATE)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        try:
            lines = [child.stdout.readline().split() for _ in VENUES]
            if not all(len(line) == 3 for line in lines):
                _fail("expected the simulated exchange to start, found that it ended", FAILURE)
            yield {venue: Endpoint(ws, http) for venue, ws, http in lines}
        finally:
            child.terminate()


def _progress() -> Callable[[Collector], None]:
    from rich.console import Console
    from rich.status import Status

    status = Status("", console=Console(stderr=True))
    status.start()

    def show(collector: Collector) -> None:
        states = [source["state"] for source in collector.health()["sources"]]
        status.update(
            f"{collector.recording}: {collector.rows:,} rows, "
            f"{states.count('connected')}/{len(states)} sources connected"
        )

    return show


def _table(names: list[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False).print(table)


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        _fail(f"expected a time such as 30s, 10m or 2h, found {text!r}", USAGE)
    return seconds


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 1000:
        _fail(f"expected a speed from 0.1 to 1000, or max, found {text!r}", USAGE)
    return speed


def _time_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"expected an ISO 8601 time, found {text!r}", USAGE)
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    whole = int(aware.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + aware.microsecond * 1000


def _check_transport(transport: str) -> None:
    if transport not in TRANSPORTS:
        _fail(f"expected a transport of {', '.join(TRANSPORTS)}, found {transport!r}", USAGE)


def _tell(state: str, kind: str, detail: str, count: int | None) -> None:
    print(f"recorder: {kind}: {detail} ({count} rows)", file=sys.stderr)


@contextmanager
def _failures(*also: type[Exception]) -> Iterator[None]:
    """Turn what the work may raise into one line and exit code 1."""
    import duckdb

    try:
        yield
    except (ValueError, OSError, duckdb.Error, *also) as error:
        _fail(str(error).splitlines()[0] if str(error) else type(error).__name__, FAILURE)


def _fail(message: str, code: int) -> NoReturn:
    print(f"monitor: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
