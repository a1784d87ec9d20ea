"""The commands: each parses its arguments and calls the part that does the work."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import support
from monitor.cli.bench import bench
from monitor.cli.help_topics import show_help
from monitor.cli.password import password
from monitor.cli.recording_commands import (
    DEFAULT_FOLDER,
    Folder,
    clip,
    end_if_unread,
    export,
    ingest,
    recordings,
    sql,
    verify,
)
from monitor.cli.tail import tail
from monitor.processes import standard_streams
from monitor.simulate import simulate

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for command in (recordings, sql, export, verify, clip, ingest, tail, simulate, bench, password):
    app.command()(command)
app.command("help")(show_help)

DEFAULT_SOURCES = [
    f"{venue}:{base}-{quote}"
    for base in ("BTC", "ETH")
    for venue, quote in (("binance", "USDT"), ("kraken", "USD"), ("coinbase", "USD"))
]

Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file.")]
Endpoints = Annotated[list[str] | None, typer.Option("--endpoint", help="VENUE=URL[,URL]")]
Transport = Annotated[str, typer.Option("--transport", help="auto or websocket-client.")]


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
    support.check_transport(transport)
    settings, parsed, endpoints = support.settings(config, source, endpoint)
    support.check_proxies(parsed, endpoints)
    exposure = support.exposure(settings, address, port, (tls_cert, tls_key))
    from monitor.page import serving

    arguments = ["record", *(source or []), "--recordings", str(folder), "--started-by", "serve"]
    arguments += ["--simulated"] if not parsed else []
    arguments += ["--no-record"] if no_record else []
    arguments += ["--config", str(config)] if config else []
    for item in endpoint or []:
        arguments += ["--endpoint", item]
    standard_streams.prepare_stdout()
    try:
        serving.serve(folder, exposure, arguments)
    except serving.ServeError as error:
        support.fail(str(error), support.FAILURE)


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
    support.check_transport(transport)
    settings, parsed, endpoints = support.settings(config, source, endpoint)
    seconds = support.seconds(duration) if duration else None
    if simulated:
        _, parsed, _ = support.settings(None, DEFAULT_SOURCES, None)
    served = {source.venue for source in parsed} if simulated else None
    if not parsed:
        support.fail(
            "expected at least one SOURCE such as binance:BTC-USDT, found none", support.USAGE
        )
    support.check_proxies([] if simulated else parsed, endpoints)
    with support.failures(), support.simulators() as simulate:
        endpoints |= simulate(served or support.homeless(parsed, endpoints))
        from monitor.collector import collector_process

        recording = (not no_record, raw, seconds, started_by, simulate)
        options = collector_process.Options(folder, parsed, endpoints, settings, *recording)
        with support.progress() as show:
            try:
                digest = collector_process.run(options, show)
            except collector_process.UnrecordedError as error:
                # The digest of the rows that were recorded.
                standard_streams.print_last(error.digest)
                raise
    standard_streams.print_last(digest)


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
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A TOML file: print what its alerts would tell.")
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Replay a recording, or several as one stream, through the graph, without a page."""
    settings, _, _ = support.settings(config, None, None)
    pace = support.speed(speed)
    from_ns, to_ns = support.window(from_time, to_time)
    watched = support.rules(rules) if rules else None
    whole = digest or keep is not None or watched is not None
    if loop and whole:
        support.fail(
            "expected --loop without --digest, --record and --rules, which take an end",
            support.USAGE,
        )
    from monitor.cli import headless_replay

    attended = loop or (not whole and sys.stdin.isatty() and sys.stderr.isatty())
    wanted = headless_replay.Wanted(recording, pace, from_ns, to_ns, loop, keep, attended, watched)
    support.expect_recordings(folder, *recording)
    support.expect_new_recording(folder, keep)
    with support.failures():
        done = headless_replay.replay(folder, wanted, settings)
    told = (f"{count} {kind}" for kind, count in sorted(done.rows.items()))
    print(", ".join(told), file=sys.stderr)
    if digest:
        print(done.digest)
    end_if_unread(folder, *recording)


@app.command()
def probe(
    source: str,
    duration: Annotated[str, typer.Option("--for", help="The longest it may take.")] = "30s",
    config: Config = None,
    endpoint: Endpoints = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Walk one source step by step, from DNS to stream against REST: PASS, FAIL or SKIP each."""
    settings, (wanted,), endpoints = support.settings(config, [source], endpoint)
    if "*" in wanted.symbol:
        support.fail(f"expected one symbol, found the pattern {source!r}", support.USAGE)
    support.check_proxies([wanted], endpoints)
    seconds = support.seconds(duration)
    from monitor.probe import probe as walk

    steps = []
    for step in walk(wanted, endpoints, settings.venues, seconds):
        steps.append(step)
        if not as_json:
            print(f"{step.name:<19}  {step.result}  {step.found}", flush=True)
    if as_json:
        print(json.dumps([step._asdict() for step in steps]))
    if any(step.result == "FAIL" for step in steps):
        sys.exit(support.FAILURE)
