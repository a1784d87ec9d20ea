"""Shared by the commands: settings, times, tables, and errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    import pyarrow as pa

    from monitor.access import Exposure
    from monitor.collector import collector_process
    from monitor.rows import Source
    from monitor.settings import AlertRule, Endpoint, Settings

USAGE, FAILURE = 2, 1
TRANSPORTS = ("auto", "websocket-client")
SIMULATOR_RATE = 120
# A terminal keeps little more, and drawing a table is slow.
TABLE_ROWS = 1_000
PERCENTAGES = ("verified_pct", "clean_pct")


def settings(
    config: Path | None, source: list[str] | None, endpoint: list[str] | None
) -> tuple[Settings, list[Source], dict[str, Endpoint]]:
    from monitor.rows import sources
    from monitor.settings import configuration as settings_file

    try:
        settings = settings_file.load(config)
        parsed = [sources.parse(text) for text in source or []] or settings.parsed()
        return settings, parsed, settings_file.endpoints(settings, endpoint or [])
    except ValueError as error:
        fail(str(error), USAGE)


def rules(file: Path) -> list[AlertRule]:
    """Read the alert rules of a configuration file; exit if there are none."""
    from monitor.settings import configuration as settings_file

    try:
        found = settings_file.load(file).alerts
    except ValueError as error:
        fail(str(error), USAGE)
    if not found:
        fail(f"expected at least one [[alerts]] in {file}, found none", USAGE)
    return found


def exposure(
    settings: Settings, address: str, port: int, tls: tuple[Path | None, Path | None]
) -> Exposure:
    """Decide where the page is served; exit if that would be unsafe."""
    from monitor.access import SECRET_VARIABLE, expose

    # Remove it from the environment, so that no child inherits it.
    secret = os.environ.pop(SECRET_VARIABLE, None)
    certificate, key = tls
    if (certificate is None) != (key is None):
        fail("expected --tls-cert and --tls-key together, found only one", USAGE)
    pair = None if certificate is None or key is None else (certificate, key)
    try:
        return expose(settings.page, secret, address, port, pair)
    except ValueError as error:
        fail(str(error), USAGE)


def homeless(sources: list[Source], endpoints: dict[str, Endpoint]) -> list[str]:
    """Return the venues of `sources` without an address: only the simulated exchange has them."""
    from monitor._rust_feed import venues

    known = venues()
    return [
        venue
        for venue in dict.fromkeys(source.venue for source in sources)
        if venue not in endpoints and not known[venue]["rest_url"]
    ]


def check_proxies(sources: list[Source], endpoints: dict[str, Endpoint]) -> None:
    """Exit if the environment names an unusable proxy for these sources."""
    from monitor._rust_feed import venues
    from monitor.feeds import place, proxy
    from monitor.settings import Endpoint

    known = venues()
    for venue in dict.fromkeys(source.venue for source in sources):
        given = endpoints.get(venue, Endpoint(None, None))
        for url in (given.ws or known[venue]["ws_url"], given.http or known[venue]["rest_url"]):
            try:
                _ = url and proxy(place(url))
            except ValueError as error:
                fail(str(error), USAGE)


@contextmanager
def simulators() -> Iterator[Callable[[Collection[str]], dict[str, Endpoint]]]:
    """Yield a function that runs the simulated exchange of more venues, or raises OSError."""
    with ExitStack() as stack:
        yield lambda venues: stack.enter_context(simulator(venues))


@contextmanager
def simulator(venues: Collection[str]) -> Iterator[dict[str, Endpoint]]:
    """Run the simulated exchange of these venues as a child; yield their endpoints."""
    if not venues:
        yield {}
        return
    from monitor.processes import command_of
    from monitor.settings import Endpoint

    # The child ends when its standard input closes, even if this process is killed.
    command = command_of("simulate", *venues, "--rate", str(SIMULATOR_RATE), "--with-stdin")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        try:
            # The collector's libraries load slowly: import them while the child starts.
            import_module("monitor.collector.collector_process")
            lines = [child.stdout.readline().split() for _ in venues]
            if not all(len(line) == 3 for line in lines):
                raise OSError("expected the simulated exchange to start, found that it ended")
            yield {venue: Endpoint(ws, http) for venue, ws, http in lines}
        finally:
            child.terminate()


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yield a function that replaces the text shown; without a terminal it does nothing."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.status import Status

    with Status("", console=Console(stderr=True)) as status:
        yield status.update


@contextmanager
def progress() -> Iterator[Callable[[collector_process.Collector], None] | None]:
    """Yield a function that shows the progress of a collector; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from monitor.state import UP

    with status_line() as update:

        def show(collector: collector_process.Collector) -> None:
            states = [source["state"] for source in collector.health()["sources"]]
            update(
                f"{collector.recording}: {collector.rows:,} rows, "
                f"{sum(state in UP for state in states)}/{len(states)} sources connected"
            )

        yield show


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar, on a terminal only; yield a function of rows done and their total."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def table(names: list[str], rows: list[list[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False).print(table)


def show_result(result: pa.Table, limit: int) -> None:
    """Print the first rows of a query's result; report on standard error if there are more."""
    from monitor.rows import exact_text
    from monitor.sql import queries

    rows = exact_text.shown(queries.texts(result.slice(0, limit), only_finite=False))
    told = [["NULL" if cell is None else cell for cell in row] for row in rows]
    table(result.column_names, told)
    if result.num_rows > limit:
        print(
            f"monitor: showing {limit:,} of {result.num_rows:,} rows:"
            " --limit N shows more, --format csv all",
            file=sys.stderr,
        )


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name once it is complete; write to a device or pipe directly.

    Exit if the file exists: nothing is overwritten.
    """
    target = path.resolve()
    if target.is_file():
        fail(f"expected the name of a new file, found that {path} exists", USAGE)
    if target.exists():
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def show_verified(found: dict[str, Any]) -> None:
    """Print the findings of `verify` as text; problems come last."""

    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)

    print(f"{found['id']}: {found['state']}, {found['started']} to {found['ended']}")
    print(f"rows: {listed(found['rows'])}; missing: {found['missing']:,}")
    print(f"told: {listed(found['told']) or 'nothing'}")
    table(
        ["venue", "symbol", "guard", "verified %", "clean %", "told", "compared", "mismatches"],
        [
            [
                *(item[name] for name in ("venue", "symbol", "guard")),
                *("" if item[n] is None else f"{item[n]:.2f}" for n in PERCENTAGES),
                *(listed(item[name]) for name in ("told", "compared")),
                item["mismatches"],
            ]
            for item in found["instruments"]
        ],
    )
    for note in found["notes"]:
        print(f"note: {note}")
    for problem in found["problems"]:
        print(f"damaged: {problem}")


def seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        fail(f"expected a time such as 30s, 10m or 2h, found {text!r}", USAGE)
    return seconds


def speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 1000:
        fail(f"expected a speed from 0.1 to 1000, or max, found {text!r}", USAGE)
    return speed


def time_ns(text: str | None) -> int | None:
    from monitor.rows import ns_of

    try:
        return None if text is None else ns_of(text)
    except ValueError as error:
        fail(str(error), USAGE)


def window(from_time: str | None, to_time: str | None) -> tuple[int | None, int | None]:
    """Read the times of --from and --to; exit if --from is after --to."""
    from_ns, to_ns = time_ns(from_time), time_ns(to_time)
    if from_ns is not None and to_ns is not None and from_ns > to_ns:
        fail(f"expected --from before --to, found {from_time} and {to_time}", USAGE)
    return from_ns, to_ns


def expect_recordings(folder: Path, *given: str | None) -> None:
    """Exit if there is no recordings folder, unless every recording is given as a path."""
    if not folder.is_dir() and not (given and all(name and Path(name).exists() for name in given)):
        found = "a file" if folder.exists() else "none there"
        fail(f"expected a recordings folder at {folder}, found {found}", FAILURE)


def expect_new_recording(folder: Path, name: str | None) -> None:
    """Exit if no new recording can have this name."""
    if name is not None and ((folder / name).exists() or Path(name).name != name):
        fail(f"expected the name of a new recording, found {name!r}", USAGE)


def check_venue(name: str) -> None:
    from monitor._rust_feed import venues

    if name not in venues():
        fail(f"expected one of the venues {', '.join(venues())}, found {name!r}", USAGE)


def check_transport(transport: str) -> None:
    if transport not in TRANSPORTS:
        fail(f"expected a transport of {', '.join(TRANSPORTS)}, found {transport!r}", USAGE)


def tell(state: str, kind: str, detail: str, count: int | None) -> None:
    print(f"recorder: {kind}: {detail} ({count} rows)", file=sys.stderr)


@contextmanager
def failures(*also: type[Exception]) -> Iterator[None]:
    """Turn errors of a command's work into one line and exit code 1."""
    from monitor.recordings import FILE_ERRORS, line

    try:
        yield
    except BrokenPipeError:
        # The reader of the output has closed it.
        raise
    except (ValueError, *FILE_ERRORS, *also) as error:
        fail(line(error), FAILURE)


def leave_output() -> None:
    """Discard output that is not written yet: Python would write it again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def fail(message: str, code: int) -> NoReturn:
    print(f"monitor: {message}", file=sys.stderr, flush=True)
    sys.exit(code)
