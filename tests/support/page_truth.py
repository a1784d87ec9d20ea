"""Every number that a page shows, held against SQL over the recorded rows up to the same row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb

from support import sql_truth as truth
from support.comparing import age_ms, differ, near, numbers_of
from support.figure_truth import NS_PER_MS, TRADES, Figures, Rows
from support.page_reader import Shown, number

# Rows that were asked for, or that a venue repeats, say nothing of latency.
UNTIMED = truth.SNAPSHOT | truth.BACKFILL | 4096
UP = ("connected", "quiet", "polling")


class Truth:
    """SQL over the rows up to `order`; `is_silent` where no rows come, so that none is up."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, order: int, is_silent: bool, fresh_ms: float = 2000.0
    ) -> None:
        self._sql = Rows(con, order)
        self._rows, self._number = self._sql.rows, self._sql.number
        self._figures = Figures(self._sql)
        self._is_silent, self._fresh_ns = is_silent, int(fresh_ms * NS_PER_MS)

    def differences(self, shown: Shown) -> list[str]:
        """Return in words what the page shows otherwise than SQL says; of what is seen alone."""
        instrument = tuple(shown.chosen["Instrument"].split(" "))
        checks = {
            "Watch": (self._watch, lambda _: self._plots(shown, "Price", "Spread", "Size")),
            "Micro-structure": (
                lambda _: self._ladder(shown, instrument),
                lambda _: self._tape(shown, instrument),
                lambda _: self._plots(shown, "Candles", "Depth"),
            ),
            "Compare": (
                lambda _: self._legs(shown, instrument),
                lambda _: self._plots(shown, "Mid of", "Rows a second", "Latency by source"),
            ),
            "Health": (self._sources, self._minutes, self._latencies),
        }
        of_tab = checks.get(shown.tab, ())
        return [*self._header(shown), *(said for check in of_tab for said in check(shown))]

    def _plots(self, shown: Shown, *titles: str) -> Iterator[str]:
        instrument = tuple(shown.chosen["Instrument"].split(" "))
        for title in titles:
            yield from self._figures.check(shown.figure(title), instrument)

    def _followed(self) -> list[tuple[str, str]]:
        """Return the sources that have not been removed."""
        gone = "value = 'stopped' AND detail = 'removed on request'"
        states = f"SELECT venue, symbol, state AS value, detail FROM ({truth.STATES}) WHERE is_last"
        return [
            (v, s)
            for v, s in self._rows(f"SELECT venue, symbol FROM ({states}) WHERE NOT ({gone})")
        ]

    def _header(self, shown: Shown) -> Iterator[str]:
        updates = sum(self._number("updates").values())
        if "updates" in shown.header:
            told = number(shown.header.split("updates")[0].rsplit("—", 1)[-1])
            yield from differ("header, updates", told, updates)
        if "sources connected" in shown.header:
            words = shown.header.split("sources connected")[0].split()
            states = [self._number("state").get(source, "") for source in self._followed()]
            yield from differ("header, sources", int(words[-1]), len(states))
            up = sum(state in UP for state in states)
            yield from differ("header, connected", int(words[-3]), up)

    def _state(self, source: tuple[str, ...]) -> str:
        state = str(self._number("state").get(source, "initialising"))
        return "stale" if self._is_silent and state in UP else state

    def _watch(self, shown: Shown) -> Iterator[str]:
        rows = shown.table("Watch-list").by("venue", "symbol")
        for source in self._followed():
            row = rows.get(source)
            if row is None:
                yield f"watch, {source}: expected a row, found none"
                continue
            where = f"watch {' '.join(source)}"
            yield from differ(f"{where}, state", row["state"].split()[-1], self._state(source))
            bid, ask = (self._number(side).get(source, math.nan) for side in ("bid", "ask"))
            for name, value in (
                *(("last", self._number("last").get(source)), ("bid", bid), ("ask", ask)),
                ("losses", self._number("losses").get(source, 0)),
            ):
                yield from differ(f"{where}, {name}", number(row[name]), value)
            spread = (ask - bid) / (ask + bid) * 2e4
            yield from near(f"{where}, bps", number(row["bps"]), spread, 0.00501)
            if self._is_silent:
                continue
            for name, of, close in (
                ("msg/s", "updates_s", 0.501),
                ("p50 ms", "latency_p50_ms", 0.0501),
                ("p99 ms", "latency_p99_ms", 0.0501),
            ):
                expected = self._number(of).get(source)
                yield from near(f"{where}, {name}", number(row[name]), expected, close)
            yield from near(f"{where}, age", age_ms(row["age"]), self._age(source), 50.01)
            book = self._number("book_health").get(source) or "–"
            yield from differ(f"{where}, book", row["book"].split()[-1], book)

    def _age(self, source: tuple[str, ...]) -> Any:
        return self._number("age_ms").get(source)

    def _sources(self, shown: Shown) -> Iterator[str]:
        for (name,), row in shown.table("Sources").by("source").items():
            venue, symbol = name.split(" ", 1)
            place = (venue, None if symbol == "connection" else symbol)
            where = f"health {name}"
            for title, of in (
                *(("losses", "own_losses"), ("duplicates", "duplicates"), ("late", "late")),
                ("updates", "updates"),
            ):
                if row[title] != "–":
                    expected = self._number(of).get(place, 0)
                    yield from differ(f"{where}, {title}", number(row[title]), expected)
            if place[1] is None:
                continue
            stale = self._number("stale_s").get(place, 0.0)
            yield from near(f"{where}, stale", number(row["stale"]), stale, 0.0501)
            yield from differ(
                f"{where}, state", row["state"].split()[-1], self._state((venue, symbol))
            )

    def _minutes(self, shown: Shown) -> Iterator[str]:
        """Each cell's words name everything that went wrong in its minute."""
        expected: dict[tuple[str, int], dict[str, float]] = {}
        for name, statement in truth.MINUTES.items():
            for venue, symbol, minute, value in self._rows(statement):
                cell = expected.setdefault((f"{venue} {symbol or 'connection'}", minute), {})
                cell[name] = value
        table = shown.table("Minutes")
        ((newest,),) = self._rows("SELECT {now} // 60_000_000_000")
        count = len(table.rows[0]) - 1
        for row in table.rows[1:]:
            if len(row) != count + 1:
                continue
            for back, cell in enumerate(reversed(row[1:])):
                at = (row[0]["text"], newest - back)
                told = numbers_of(cell["title"])
                for name, value in expected.pop(at, {}).items():
                    words = {"stale_s": "stale"}.get(name, name)
                    yield from near(f"minute {at}, {name}", told.pop(words, 0.0), value, 0.0501)
                for name, value in told.items():
                    yield from differ(f"minute {at}, {name}", value, 0.0)
        for (name, minute), values in expected.items():
            if newest - minute < count:
                yield f"minute {name} {minute}: expected {values}, found no cell"

    def _latencies(self, shown: Shown) -> Iterator[str]:
        """The number of latencies of each source in the last minute."""
        if self._is_silent:
            return
        timed = " UNION ALL ".join(
            f"SELECT venue, symbol, ts_recv FROM {table}"
            f" WHERE flags & {UNTIMED} = 0 AND coalesce(ts_event, ts_sent) IS NOT NULL"
            " AND epoch_ns(ts_recv) > {now} - 60_000_000_000"
            for table in (f"({truth.QUOTES})", TRADES)
        )
        counted = self._rows(f"SELECT venue, symbol, count(*) FROM ({timed}) GROUP BY ALL")
        expected = {f"{venue} {symbol}": count for venue, symbol, count in counted}
        for row in shown.table("Latency, venue").texts[1:]:
            if len(row) > 2:
                yield from differ(f"latencies {row[0]}", number(row[-1]), expected.get(row[0], 0))

    def _ladder(self, shown: Shown, instrument: tuple[str, ...]) -> Iterator[str]:
        tables = [t for t in shown.tables if t.title.startswith("Ladder")]
        bid_prices, bid_sizes, ask_prices, ask_sizes = self._sql.last_depth(instrument)
        if not tables:
            # The page says so in words where there is no book yet.
            if bid_prices or ask_prices:
                yield "ladder: found none, SQL has a book"
            return
        asks = [
            row
            for table in tables[:2]
            for row in table.texts
            if len(row) == 4 and row[1] != "price"
        ]
        bids = [row for row in tables[-1].texts if len(row) == 4 and row[1] != "price"]
        for name, rows, prices, sizes in (
            ("ask", asks[::-1], ask_prices, ask_sizes),
            ("bid", bids, bid_prices, bid_sizes),
        ):
            total = 0.0
            for row, price, size in zip(rows, prices, sizes, strict=False):
                total += size
                yield from differ(f"ladder {name}", number(row[1]), price)
                yield from differ(f"ladder {name} size", number(row[2]), size)
                yield from near(f"ladder {name} total", number(row[3]), total, 1e-6 * total)

    def _tape(self, shown: Shown, instrument: tuple[str, ...]) -> Iterator[str]:
        venue, symbol = instrument
        found = self._rows(
            f"SELECT side, price, size FROM {TRADES}"
            f" WHERE venue = '{venue}' AND symbol = '{symbol}' ORDER BY ord DESC LIMIT 40"
        )
        rows = shown.table("Time and sales").texts[1:]
        for row, (side, price, size) in zip(rows, found, strict=False):
            yield from differ("tape, aggressor", row[0].split()[-1], side or "none")
            yield from differ("tape, price", number(row[1]), price)
            yield from differ("tape, size", number(row[2]), size)
        if found and not rows:
            yield "tape: found no trade, SQL has some"

    def _legs(self, shown: Shown, instrument: tuple[str, ...]) -> Iterator[str]:
        rows = shown.table("Legs of").texts
        shares = self._shares(instrument[1])
        for row in rows[1:]:
            if len(row) < 11:
                continue
            venue, symbol = row[0].split()[:2]
            source, where = (venue, symbol), f"leg {venue} {symbol}"
            for name, at in (("bid", 2), ("ask", 3)):
                yield from differ(
                    f"{where}, {name}", number(row[at]), self._number(name).get(source)
                )
            if symbol != instrument[1] or self._is_silent:
                continue
            for name, at, share in zip(
                ("at best bid", "at best ask", "stale"), (8, 9, 10), shares[venue], strict=True
            ):
                yield from near(f"{where}, {name} (%)", number(row[at]), share * 100, 0.501)

    def _shares(self, symbol: str) -> dict[str, tuple[float, float, float]]:
        """Return of the last minute each venue's parts at the best bid, at the best ask, stale."""
        fresh = self._fresh_ns
        found = self._rows(f"""
            WITH q AS (SELECT venue, epoch_ns(ts_recv) AS t, ord, bid, ask FROM ({truth.QUOTES})
                WHERE symbol = '{symbol}'),
            since AS (SELECT greatest({{now}} - 60_000_000_000, min(t)) AS start FROM q),
            times AS (SELECT DISTINCT greatest(least(t, {{now}}), start) AS t FROM (
                SELECT t FROM q UNION ALL SELECT t + {fresh} FROM q UNION ALL SELECT {{now}}
                UNION ALL SELECT start FROM since), since),
            spans AS (SELECT t, lead(t) OVER (ORDER BY t) - t AS lasted FROM times
                QUALIFY lasted > 0),
            lasts AS (SELECT venue, t, last(bid ORDER BY ord) AS bid, last(ask ORDER BY ord) AS ask
                FROM q GROUP BY ALL),
            legs AS (SELECT s.t, s.lasted, v.venue, last.t AS quoted,
                    CASE WHEN s.t - last.t < {fresh} THEN last.bid END AS bid,
                    CASE WHEN s.t - last.t < {fresh} THEN last.ask END AS ask
                FROM spans AS s CROSS JOIN (SELECT DISTINCT venue FROM q) AS v
                ASOF LEFT JOIN lasts AS last ON last.venue = v.venue AND last.t <= s.t),
            best AS (SELECT *, max(bid) OVER (PARTITION BY t) AS best_bid,
                min(ask) OVER (PARTITION BY t) AS best_ask FROM legs)
            SELECT venue, sum(lasted) FILTER (bid = best_bid) / sum(lasted),
                sum(lasted) FILTER (ask = best_ask) / sum(lasted),
                sum(lasted) FILTER (bid IS NULL AND ask IS NULL) / sum(lasted)
            FROM best GROUP BY venue""")
        return {venue: (bid or 0.0, ask or 0.0, stale or 0.0) for venue, bid, ask, stale in found}
