"""Sources that are stopped or removed: what their last rows say, and what a page lists then."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path

from support.faulty import DEADLINE_S, Run, collecting, plain

from monitor import recordings
from monitor.feeds.all_feeds import Feeds
from monitor.hub.hub import Hub
from monitor.rows.batches import concat
from monitor.rows.sources import parse
from monitor.settings.configuration import Endpoint

# The lists are looked at after so many rows, and after each row of a symbol's state.
ROWS = 20


def test_a_source_that_is_removed_is_listed_no_more(tmp_path: Path) -> None:
    """The collector's rows tell a removal from a stop."""
    with collecting(tmp_path / "recordings", (), ("binance",), instruments=2) as run:
        run.until(run.has_data, "data")
        kept, removed = list(run.followed["binance"].values())
        run.control("remove", f"binance:{removed}")
        hub = Hub()
        run.until(lambda: _last_state(run, removed) == "removed on request", "the removal")
        run.until(lambda: _last_state(run, kept, "state") == "connected", "data of the other")
        run.control("stop")
        run.until(lambda: _last_state(run, kept) == "stopped on request", "the stop")
        stopped = len(run.statuses)
        run.control("remove", f"binance:{kept}")
        run.until(lambda: _last_state(run, kept) == "removed on request", "the second removal")
        assert not [row for row in run.statuses[stopped:] if row["symbol"] == removed]
        run.stop()
    (listed,) = recordings.catalogue(run.folder)
    with recordings.open_recording(run.folder, listed["id"]) as recording:
        seen = []
        whole = concat(list(recording.batches()))
        first, last = whole.ords or (0, 0)
        ends = {row["ord"] + 1 for row in whole["status"].to_pylist() if row["symbol"]}
        ends |= {*range(first, last + 1, ROWS), last + 1}
        for start, end in itertools.pairwise(sorted(ends)):
            hub(whole.between(start, end))
            listed_now = [(one.symbol, one.state == "stopped") for one in hub.sources()]
            seen += [listed_now] if listed_now not in seen else []
    both, one = sorted([(kept, False), (removed, False)]), [(kept, False)]
    assert both in seen and one in seen and [(kept, True)] in seen
    assert hub.instruments() == []


def test_a_source_that_waits_to_connect_again_is_stopped_too() -> None:
    with socket.socket() as unused:
        # Nobody listens on a port that is only bound.
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        endpoint = Endpoint(f"ws://{address}", f"http://{address}")
        feeds = Feeds([parse("binance:BTC-USDT")], {"binance": endpoint}, {})
        feeds.start()
        assert _states_until(feeds, "failed")
        feeds.stop()
        assert _states_until(feeds, "stopped")[-1] == "stopped"
        feeds.close()


def _states_until(feeds: Feeds, state: str) -> list[str]:
    """Drain until a row says that the instrument is in a state; return all of its states."""
    states: list[str] = []
    limit = time.monotonic() + DEADLINE_S
    while state not in states:
        assert time.monotonic() < limit, states
        batch = feeds.drain(100, 0)
        rows = plain(batch["status"]) if batch else []
        states += [row["state"] for row in rows if row["scope"] == "symbol"]
    return states


def _last_state(run: Run, symbol: str, name: str = "detail") -> str | None:
    of_symbol = [r for r in run.statuses if (r["scope"], r["symbol"]) == ("symbol", symbol)]
    return of_symbol[-1][name] if of_symbol else None
