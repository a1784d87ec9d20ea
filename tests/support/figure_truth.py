"""Every point that a plot draws, held against SQL over the recorded rows up to the same row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from support import sql_truth as truth
from support.comparing import differ, near, same
from support.page_reader import Figure

# Milliseconds in Bokeh's times are doubles: a time is known to less than this, in ms.
CLOSE_MS = 0.002
TRADED = (
    f"CASE WHEN flags & {truth.SNAPSHOT | truth.BACKFILL} <> 0 AND ts_event IS NOT NULL"
    " THEN ts_event ELSE ts_recv END"
)
TRADES = f"(SELECT *, {TRADED} AS traded FROM {{trade}} WHERE flags & {truth.DUPLICATE} = 0)"
NS_PER_MS = 1e6


def connect(parts: list[Path]) -> duckdb.DuckDBPyConnection:
    """Open the files of a recording as one set of tables."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for at, file in enumerate(parts):
        con.execute(f"ATTACH '{file}' AS part{at} (READ_ONLY)")
    for kind in (*truth.KINDS, "signal"):
        every = " UNION ALL ".join(f"FROM part{at}.{kind}" for at in range(len(parts)))
        con.execute(f"CREATE VIEW {kind} AS {every}")
    return con


class Rows:
    """SQL over the rows of a recording up to the row `order`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, order: int) -> None:
        self._con, self._order = con, order
        self._known: dict[str, Any] = {}

    def rows(self, statement: str) -> list[Any]:
        return truth.rows(self._con, statement, self._order)

    def number(self, name: str) -> Any:
        """Return a number of every instrument, as `truth.NUMBERS` defines it."""
        if name not in self._known:
            self._known[name] = truth.number(self._con, name, self._order)
        return self._known[name]

    def last_depth(self, instrument: tuple[str, ...]) -> Any:
        venue, symbol = instrument
        rows = self.rows(
            "SELECT bid_prices, bid_sizes, ask_prices, ask_sizes FROM {depth}"
            f" WHERE venue = '{venue}' AND symbol = '{symbol}' ORDER BY ord DESC LIMIT 1"
        )
        return rows[0] if rows else ([], [], [], [])


class Figures:
    """What plots show; `check` gives in words what they show otherwise than SQL says."""

    def __init__(self, rows: Rows) -> None:
        self._sql = rows

    def check(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        kinds = {
            "Price": self._price,
            "Spread": self._spread,
            "Size": self._sizes,
            "Candles": self._candles,
            "Depth": self._depth,
            "Mid of each venue": self._mids,
            "Rows a second": self._rates,
            "Latency by source": self._slowest,
        }
        for title, check in kinds.items():
            if figure.title.startswith(title):
                yield from check(figure, instrument)

    def _quotes(self, instrument: tuple[str, ...]) -> dict[int, tuple[float, ...]]:
        """Return bid, ask and sizes of the counting quotes by `ts_recv` in microseconds."""
        venue, symbol = instrument
        found = self._sql.rows(
            f"SELECT epoch_ns(ts_recv), bid, ask, bid_size, ask_size FROM ({truth.QUOTES})"
            f" WHERE venue = '{venue}' AND symbol = '{symbol}' ORDER BY ord"
        )
        quotes: dict[int, list[tuple[float, ...]]] = {}
        for at_ns, *values in found:
            known = tuple(math.nan if value is None else value for value in values)
            quotes.setdefault(round(at_ns / 1e3), []).append(known)
        return quotes  # type: ignore[return-value]

    def _points(
        self, what: str, columns: dict[str, list[float]], names: dict[str, Any], quotes: Any
    ) -> Iterator[str]:
        """Every point is a quote of SQL, and the newest quote is there."""
        for at, at_ms in enumerate(columns["time"]):
            key = round(at_ms * 1e3)
            there = [q for near_us in (key, key - 1, key + 1) for q in quotes.get(near_us, [])]
            for name, of in names.items():
                value = columns[name][at]
                if not any(same(value, of(quote)) for quote in there):
                    yield f"{what}, {name} at {at_ms}: found {value}, expected one of {there}"
        newest = max(quotes, default=0) / 1e3
        last = columns["time"][-1] if columns["time"] else 0.0
        yield from near(f"{what}, newest", last, newest, CLOSE_MS)

    def _price(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        quotes = self._quotes(instrument)
        for name, at in (("bid", 0), ("ask", 1)):
            (source,) = (s for s in figure.sources if s["name"] == name)
            yield from self._points(
                "price", source["columns"], {name: lambda q, at=at: q[at]}, quotes
            )
        yield from self._trades(figure, instrument)

    def _trades(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        venue, symbol = instrument
        found = self._sql.rows(
            f"SELECT epoch_ns(traded), price, size, side FROM {TRADES}"
            f" WHERE venue = '{venue}' AND symbol = '{symbol}'"
        )
        there = {(round(at / 1e3), price, size, side) for at, price, size, side in found}
        for side in ("buy", "sell"):
            (source,) = (s for s in figure.sources if s["name"] == side)
            columns = source["columns"]
            for at_ms, price, size in zip(
                columns["time"], columns["price"], columns["amount"], strict=True
            ):
                key = round(at_ms * 1e3)
                if not any((key + by, price, size, side) in there for by in (0, -1, 1)):
                    yield f"trades: found {side} {size} at {price}, {at_ms}; SQL has none"

    def _spread(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        def bps(quote: tuple[float, ...]) -> float:
            return (quote[1] - quote[0]) / ((quote[1] + quote[0]) / 2) * 1e4

        columns = figure.sources[0]["columns"]
        yield from self._points("spread", columns, {"bps": bps}, self._quotes(instrument))

    def _sizes(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        quotes = self._quotes(instrument)
        for source, name, at in zip(figure.sources, ("bid_size", "ask_size"), (2, 3), strict=False):
            yield from self._points(
                "size", source["columns"], {name: lambda q, at=at: q[at]}, quotes
            )

    def _candles(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        """Closed bars and the forming one, at the interval that their widths tell."""
        venue, symbol = instrument
        bodies = [s["columns"] for s in figure.sources if "trades" in s["columns"]]
        starts = sorted(at for columns in bodies for at in columns["time"])
        if not starts:
            return
        left, right = (bodies[-1] or bodies[0])["left"][0], bodies[-1]["right"][0]
        interval_ns = round((right - left) / 0.72 / 1e3) * 1_000_000_000
        found = self._sql.rows(
            f"SELECT epoch_ns(traded) // {interval_ns} * {interval_ns} AS start,"
            " arg_min(price, (traded, ord)), max(price), min(price), arg_max(price, (traded, ord)),"
            f" sum(size), count(*) FROM {TRADES} WHERE price IS NOT NULL"
            f" AND venue = '{venue}' AND symbol = '{symbol}' GROUP BY ALL ORDER BY 1"
        )
        bars = {round(start / NS_PER_MS): values for start, *values in found}
        names = ("open", "high", "low", "close", "volume", "trades")
        drawn = set()
        for columns in bodies:
            for at, start in enumerate(columns["time"]):
                drawn.add(round(start))
                values = [columns[name][at] for name in names]
                expected = bars.get(round(start))
                if expected is None or not all(map(same, values, expected)):
                    yield f"candle of {interval_ns / 1e9:g} s at {start}: {values}, SQL {expected}"
        for start, values in bars.items():
            if start >= starts[0] and start not in drawn:
                yield f"candle of {interval_ns / 1e9:g} s at {start}: none, SQL {values}"

    def _lines(self, figure: Figure) -> Iterator[tuple[tuple[str, str], dict[str, list[float]]]]:
        """Yield whose line each one is, by its label, and its columns."""
        for source, label in zip(figure.sources, figure.labels, strict=False):
            venue, _, symbol = label.partition(" ")
            if source["name"].isdecimal() and symbol:
                yield (venue, symbol), source["columns"]

    def _mids(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        """Every mid that is drawn is one of SQL; where a quote counts no longer, none is."""
        for owner, columns in self._lines(figure):
            quotes = self._quotes(owner)
            for at_ms, y in zip(columns["time"], columns["y"], strict=True):
                key = round(at_ms * 1e3)
                there = [q for near_us in (key, key - 1, key + 1) for q in quotes.get(near_us, [])]
                is_drawn = isinstance(y, float) and math.isfinite(y)
                if is_drawn and not any(same(y, (bid + ask) / 2) for bid, ask, *_ in there):
                    yield f"mid of {owner} at {at_ms}: found {y}, SQL has {there}"

    def _seconds(self, figure: Figure, value: str) -> Iterator[str]:
        """Each point is that of the `stat` rows of its second, and the newest second is there."""
        for (venue, symbol), columns in self._lines(figure):
            found = self._sql.rows(
                f"SELECT epoch_ns(ts_recv), {value} FROM {{stat}} WHERE venue = '{venue}'"
                f" AND symbol = '{symbol}' AND epoch_ns(ts_recv) < {{now}} - 100_000_000 GROUP BY 1"
            )
            expected = {round(at / 1e3): of for at, of in found}
            for at_ms, y in zip(columns["time"], columns["y"], strict=True):
                key = round(at_ms * 1e3)
                there = [expected[us] for us in (key, key - 1, key + 1) if us in expected]
                if not any(same(y, of) for of in there):
                    yield f"{figure.title}, {venue} {symbol} at {at_ms}: {y}, SQL has {there}"
            newest = max(expected, default=0) / 1e3
            last = columns["time"][-1] if columns["time"] else 0.0
            yield from near(f"{figure.title}, {venue} {symbol}, newest", last, newest, CLOSE_MS)

    def _rates(self, figure: Figure, _: tuple[str, ...]) -> Iterator[str]:
        yield from self._seconds(figure, 'sum(coalesce("rows", 0))')

    def _slowest(self, figure: Figure, _: tuple[str, ...]) -> Iterator[str]:
        yield from self._seconds(figure, "max(nullif(latency_p99_ms, 'nan'))")

    def _depth(self, figure: Figure, instrument: tuple[str, ...]) -> Iterator[str]:
        levels = self._sql.last_depth(instrument)
        for source, prices, sizes in zip(figure.sources, levels[::2], levels[1::2], strict=False):
            columns = source["columns"]
            got = sorted(zip(columns["price"], columns["size"], strict=True))
            yield from differ("depth", got, sorted(zip(prices, sizes, strict=True)))
