"""The command line: each command parses its arguments and calls the part that does the work."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from monitor import cli_support
from monitor.bench import bench
from monitor.cli_password import password
from monitor.simulate.__main__ import simulate

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(simulate)
app.command()(bench)
app.command()(password)

DEFAULT_SOURCES = [
    f"{venue}:{base}-{quote}"
    for base in ("BTC", "ETH")
    for venue, quote in (("binance", "USDT"), ("kraken", "USD"), ("coinbase", "USD"))
]

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
    tls_cert: Annotated[Path | None, typer.Option(help="PEM; needs --tls-key.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Serve the page; start a collector if none runs on the recordings folder."""
    cli_support.check_transport(transport)
    settings, parsed, _ = cli_support.settings(config, source, endpoint)
    exposure = cli_support.exposure(settings, address, port, (tls_cert, tls_key))
    from monitor import server

    arguments = ["record", *(source or []), "--recordings", str(folder), "--started-by", "serve"]
    arguments += ["--simulated"] if not parsed else []
    arguments += ["--no-record"] if no_record else []
    arguments += ["--config", str(config)] if config else []
    for item in endpoint or []:
        arguments += ["--endpoint", item]
    cli_support.end_cleanly_when_told()
    try:
        server.serve(folder, exposure, arguments)
    except server.ServeError as error:
        cli_support.fail(str(error), cli_support.FAILURE)


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
    cli_support.check_transport(transport)
    settings, parsed, endpoints = cli_support.settings(config, source, endpoint)
    seconds = cli_support.seconds(duration) if duration else None
    if simulated:
        _, parsed, _ = cli_support.settings(None, DEFAULT_SOURCES, None)
    served = {source.venue for source in parsed} if simulated else None
    if not parsed:
        cli_support.fail(
            "expected at least one SOURCE such as binance:BTC-USDT, found none", cli_support.USAGE
        )
    from monitor import lock

    with cli_support.simulators() as simulate:
        try:
            endpoints |= simulate(served or cli_support.homeless(parsed, endpoints))
            from monitor import collector

            recording = (not no_record, raw, seconds, started_by, simulate)
            options = collector.Options(folder, parsed, endpoints, settings, *recording)
            digest = collector.run(options, cli_support.progress() if sys.stderr.isatty() else None)
        except (lock.LockedError, OSError) as error:
            cli_support.fail(str(error), cli_support.FAILURE)
    print(digest, flush=True)


@app.command()
def replay(
    recording: Annotated[list[str], typer.Argument(metavar="RECORDING...")],
    speed: Annotated[str, typer.Option(help="0.1 to 1000, or max.")] = "1",
    from_time: Annotated[str | None, typer.Option("--from", help="ISO 8601.")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="ISO 8601.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Print the digest last.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Over and over until interrupted.")] = False,
    keep: Annotated[str | None, typer.Option("--record", help="Into a new recording.")] = None,
    config: Config = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Replay a recording, or several as one stream, through the graph, without a page."""
    settings, _, _ = cli_support.settings(config, None, None)
    pace = cli_support.speed(speed)
    from_ns, to_ns = cli_support.time_ns(from_time), cli_support.time_ns(to_time)
    whole = digest or keep is not None
    if loop and whole:
        cli_support.fail(
            "expected --loop without --digest and --record, which take an end", cli_support.USAGE
        )
    from monitor import headless

    attended = loop or (not whole and sys.stdin.isatty() and sys.stderr.isatty())
    wanted = headless.Wanted(recording, pace, from_ns, to_ns, loop, keep, attended)
    cli_support.end_cleanly_when_told()
    with cli_support.failures():
        done = headless.replay(folder, wanted, settings.hooks)
    told = (f"{count} {kind}" for kind, count in sorted(done.rows.items()))
    print(", ".join(told), file=sys.stderr)
    if digest:
        print(done.digest)


@app.command()
def recordings(
    as_json: Annotated[bool, typer.Option("--json")] = False, folder: Folder = DEFAULT_FOLDER
) -> None:
    """List the recordings."""
    from monitor.recordings import catalogue

    with cli_support.failures():
        listed = catalogue(folder)
    if as_json:
        print(json.dumps(listed))
        return
    cli_support.table(
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
    venue: Annotated[str | None, typer.Option(help="Only rows of this venue.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Only rows of this symbol, or of none.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    limit: Annotated[int, typer.Option(min=1, help="Rows of a table.")] = cli_support.TABLE_ROWS,
    out: Annotated[Path | None, typer.Option("--out")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Run one SELECT over all recordings, or one."""
    from monitor import queries

    if form not in queries.FORMATS:
        cli_support.fail(
            f"expected a format of {', '.join(queries.FORMATS)}, found {form!r}", cli_support.USAGE
        )
    from_ns, to_ns = cli_support.time_ns(from_time), cli_support.time_ns(to_time)
    with cli_support.failures(*queries.ERRORS):
        result = queries.run(statement, folder, recording, from_ns, to_ns, venue, symbol)
        if result.truncated:
            print(f"monitor: truncated to {queries.MAX_ROWS:,} rows", file=sys.stderr)
        if form == "table" and out is None:
            cli_support.show_result(result.table, limit)
        elif out is None:
            queries.write(result.table, form, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with out.open("wb") as file:
                queries.write(result.table, "csv" if form == "table" else form, file)


@app.command()
def export(
    recording: str,
    to: Annotated[Path, typer.Option("--to", help="The folder for the files.")],
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Write a recording as plain files, one for each kind of row."""
    from monitor.export import FORMATS
    from monitor.export import export as write

    if form not in FORMATS:
        cli_support.fail(
            f"expected a format of {', '.join(FORMATS)}, found {form!r}", cli_support.USAGE
        )
    cli_support.end_cleanly_when_told()
    with cli_support.failures(), cli_support.bar(recording) as advance:
        counts = write(folder, recording, to, form, advance)
    print(", ".join(f"{count} {kind}" for kind, count in counts.items() if count), file=sys.stderr)


@app.command()
def verify(
    recording: str,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Read all of a recording and say whether it is damaged, and how much of it is clean."""
    from monitor.verify import verify as read

    with cli_support.failures():
        report = read(folder, recording)
    found = report.document
    if as_json:
        print(json.dumps(found))
    else:
        cli_support.show_verified(found)
    if report.is_damaged:
        sys.exit(cli_support.FAILURE)


@app.command()
def clip(
    recording: str,
    from_time: Annotated[str, typer.Option("--from", help="ISO 8601.")],
    to_time: Annotated[str, typer.Option("--to", help="ISO 8601, inclusive.")],
    out: Annotated[Path | None, typer.Option("--out", help="A new .duckdb file.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Cut a window out into one file that replays and verifies anywhere; print its digest."""
    from_ns, to_ns = cli_support.time_ns(from_time), cli_support.time_ns(to_time)
    assert from_ns is not None and to_ns is not None
    if from_ns > to_ns:
        cli_support.fail(
            f"expected --from before --to, found {from_time} and {to_time}", cli_support.USAGE
        )
    from monitor.clip import clip as cut

    with cli_support.failures():
        try:
            done = cut(folder, recording, from_ns, to_ns, out)
        except FileExistsError as error:
            cli_support.fail(str(error), cli_support.USAGE)
    print(f"{done.file}: {done.rows} rows, {done.restated} restated", file=sys.stderr)
    print(done.digest)


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE... | RECORDING")],
    venue: Annotated[str | None, typer.Option(help="The venue that sent the frames.")] = None,
    recording: Annotated[str | None, typer.Option(help="The new recording's name.")] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Decode captured frames, or those that a recording kept, into a new sealed recording."""
    import time
    import zlib

    from monitor import ingest as captured
    from monitor.recorder import new_id

    name = recording or new_id(folder, time.time_ns())
    if (folder / name).exists() or Path(name).name != name:
        cli_support.fail(f"expected the name of a new recording, found {name!r}", cli_support.USAGE)
    is_recording = len(files) == 1 and captured.is_recording(folder, str(files[0]))
    if venue is None and not is_recording:
        cli_support.fail(
            f"expected --venue, or one recording, found {len(files)} files", cli_support.USAGE
        )
    missing = [str(file) for file in files if not (file.is_file() or is_recording)]
    if missing:
        cli_support.fail(
            f"expected a capture file, found no file {missing[0]}", cli_support.FAILURE
        )
    cli_support.end_cleanly_when_told()
    with cli_support.failures(EOFError, zlib.error):
        if is_recording:
            done, digest = captured.of_recording(folder, str(files[0]), name)
        else:
            assert venue is not None
            done, digest = captured.of_files(folder, files, venue, name)
    for line in done.bad_lines:
        print(line, file=sys.stderr)
    print(
        f"{name}: {done.frames} frames, {done.ignored} of other channels, {done.bad} bad lines",
        file=sys.stderr,
    )
    print(digest)


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
        cli_support.fail(
            f"expected a kind of {', '.join(KINDS)}, found {kind!r}", cli_support.USAGE
        )
    _, wanted, _ = cli_support.settings(None, source, None)
    if lock.holder(folder) is None:
        cli_support.fail(
            f"expected a running collector on {folder}, found none", cli_support.FAILURE
        )
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


@app.command()
def probe(
    source: str,
    duration: Annotated[str, typer.Option("--for", help="The longest it may take.")] = "30s",
    config: Config = None,
    endpoint: Endpoints = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Walk one source step by step, from DNS to stream against REST: PASS, FAIL or SKIP each."""
    settings, (wanted,), endpoints = cli_support.settings(config, [source], endpoint)
    if "*" in wanted.symbol:
        cli_support.fail(f"expected one symbol, found the pattern {source!r}", cli_support.USAGE)
    seconds = cli_support.seconds(duration)
    from monitor.probe import probe as walk

    steps = []
    for step in walk(wanted, endpoints, settings.venues, seconds):
        steps.append(step)
        if not as_json:
            print(f"{step.name:<19}  {step.result}  {step.found}", flush=True)
    if as_json:
        print(json.dumps([step._asdict() for step in steps]))
    if any(step.result == "FAIL" for step in steps):
        sys.exit(cli_support.FAILURE)


def main() -> None:
    """Run a command; every error is one line on standard error."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        cli_support.fail(error.format_message(), cli_support.USAGE)


if __name__ == "__main__":
    main()
