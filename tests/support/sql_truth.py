"""What each number on the page is: a SQL statement over the recorded rows up to an `ord`.

Each statement gives venue, symbol and value; of a connection as a whole the symbol is NULL. In
braces stand the rows of a kind up to the `ord`, and `{now}`, the latest `ts_recv` among them in ns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

SNAPSHOT, DUPLICATE, BACKFILL, LAST, SYNTHETIC = 32, 512, 2048, 128, 8192
KINDS = ("quote", "trade", "book", "depth", "instrument", "status", "clock", "stat")

# The rows that give a source's state, with the time until the next one.
STATES = """
    SELECT venue, symbol, state, detail, ord, epoch_ns(ts_recv) AS since,
        lead(epoch_ns(ts_recv), 1, {now}) OVER mine AS until,
        row_number() OVER (mine ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
            = count(*) OVER (PARTITION BY venue, symbol) AS is_last
    FROM {status} WHERE scope = 'symbol' AND symbol IS NOT NULL AND kind <> 'symbol_assumed'
    WINDOW mine AS (PARTITION BY venue, symbol ORDER BY ord)"""

STATE = f"SELECT venue, symbol, state AS value, ord FROM ({STATES}) WHERE is_last"

# A quote counts if its origin is the one that the last `origin` row before it names.
QUOTES = f"""
    SELECT quote.* FROM (FROM {{quote}} WHERE flags & {DUPLICATE} = 0) AS quote
    ASOF LEFT JOIN (FROM {{status}} WHERE kind = 'origin') AS told
        ON quote.venue = told.venue AND quote.symbol = told.symbol AND quote.ord >= told.ord
    WHERE quote.origin = coalesce(told.detail, 'native')"""

UPDATES = f"""
    SELECT venue, symbol, ts_recv FROM {{quote}}
    UNION ALL SELECT venue, symbol, ts_recv FROM {{trade}}
    UNION ALL SELECT venue, symbol, ts_recv FROM {{book}} WHERE flags & {LAST} <> 0"""

# A recording that was ingested may have no row of a source's state.
SOURCES = f"SELECT venue, symbol FROM ({STATE}) UNION SELECT venue, symbol FROM ({UPDATES})"

# What `stat` rows of the last 3 s said since the line was last lost.
STATS = f"""
    SELECT stat.* FROM {{stat}} AS stat LEFT JOIN (
        SELECT venue, symbol, max(ord) AS lost FROM ({STATES})
        WHERE state IN ('failed', 'stopped') GROUP BY ALL) USING (venue, symbol)
    WHERE stat.ord > coalesce(lost, -1) AND epoch_ns(ts_recv) > {{now}} - 3_000_000_000"""


def _slowest(column: str) -> str:
    return f"""
        SELECT venue, symbol, max(nullif({column}, 'nan')) AS value
        FROM ({STATS}) AS stat JOIN ({STATE}) AS state USING (venue, symbol)
        WHERE state.value <> 'stale' AND ts_recv = (
            SELECT max(ts_recv) FROM ({STATS}) AS newest
            WHERE newest.venue = stat.venue AND newest.symbol = stat.symbol)
        GROUP BY ALL"""


def _counted(kinds: str) -> str:
    return f"""
        SELECT venue, symbol, count(*) AS value FROM {{status}}
        WHERE kind IN ({kinds}) AND flags & {DUPLICATE | SYNTHETIC} = 0 GROUP BY ALL"""


LOSSES = _counted("'gap', 'checksum', 'crossed', 'mismatch'")

NUMBERS: dict[str, str] = {
    # Watch
    "state": STATE,
    "last": f"""
        SELECT venue, symbol, arg_max(price, (traded, ord)) AS value FROM (
            SELECT *, CASE WHEN flags & {SNAPSHOT | BACKFILL} <> 0 AND ts_event IS NOT NULL
                THEN ts_event ELSE ts_recv END AS traded
            FROM {{trade}} WHERE flags & {DUPLICATE} = 0) GROUP BY ALL""",
    "bid": f"SELECT venue, symbol, last(bid ORDER BY ord) AS value FROM ({QUOTES}) GROUP BY ALL",
    "ask": f"SELECT venue, symbol, last(ask ORDER BY ord) AS value FROM ({QUOTES}) GROUP BY ALL",
    "updates": f"""
        SELECT venue, symbol, count(ts_recv) AS value
        FROM ({SOURCES}) LEFT JOIN ({UPDATES}) USING (venue, symbol) GROUP BY ALL""",
    # Of the last ten tenths of a second that are over.
    "updates_s": f"""
        SELECT venue, symbol, count(*) FILTER (
            epoch_ns(ts_recv) // 100_000_000 - {{now}} // 100_000_000 BETWEEN -10 AND -1) AS value
        FROM ({SOURCES}) LEFT JOIN ({STATE}) AS state USING (venue, symbol)
        LEFT JOIN ({UPDATES}) USING (venue, symbol)
        WHERE coalesce(state.value, '') NOT IN ('failed', 'stopped') GROUP BY ALL""",
    "age_ms": f"""
        SELECT venue, symbol, ({{now}} - max(epoch_ns(ts_recv))) / 1e6 AS value
        FROM ({UPDATES}) GROUP BY ALL""",
    "latency_p50_ms": _slowest("latency_p50_ms"),
    "latency_p99_ms": _slowest("latency_p99_ms"),
    "book_health": f"""
        SELECT venue, symbol, last(book_health ORDER BY stat.ord) AS value FROM ({STATS}) AS stat
        JOIN ({STATE}) AS state USING (venue, symbol)
        WHERE channel = 'book' AND state.value NOT IN ('failed', 'stopped') GROUP BY ALL""",
    # Of the instrument and of its venue's connection.
    "losses": f"""
        SELECT venue, symbol, coalesce(own.value, 0) + coalesce(line.value, 0) AS value
        FROM ({STATE}) AS followed LEFT JOIN ({LOSSES}) AS own USING (venue, symbol)
        LEFT JOIN (FROM ({LOSSES}) WHERE symbol IS NULL) AS line USING (venue)""",
    # Health: of the instrument, or of the connection, alone
    "own_losses": LOSSES,
    "duplicates": _counted("'duplicate'"),
    "late": _counted("'late'"),
    "stale_s": f"""
        SELECT venue, symbol, sum(until - since) / 1e9 AS value FROM ({STATES})
        WHERE state IN ('stale', 'failed') GROUP BY ALL""",
}

# The same by minute, numbered since 1970, as Health's minutes show them.
MINUTES: dict[str, str] = {
    name: f"""
        SELECT venue, symbol, epoch_ns(ts_recv) // 60_000_000_000 AS minute, count(*) AS value
        FROM {{status}} WHERE kind IN ({kinds}) AND flags & {DUPLICATE | SYNTHETIC} = 0
        GROUP BY ALL"""
    for name, kinds in (
        ("losses", "'gap', 'checksum', 'crossed', 'mismatch'"),
        ("duplicates", "'duplicate'"),
        ("late", "'late'"),
    )
} | {
    "stale_s": f"""
        SELECT venue, symbol, minute, sum(least(until, (minute + 1) * 60_000_000_000)
            - greatest(since, minute * 60_000_000_000)) / 1e9 AS value
        FROM ({STATES}), unnest(generate_series(
            since // 60_000_000_000, until // 60_000_000_000)) AS minutes(minute)
        WHERE state IN ('stale', 'failed') GROUP BY ALL HAVING value > 0"""
}

# Of each gap in the numbers of trades: how many are missing, and how many of them were recorded
# after all.
GAPS = """
    SELECT gap.venue, gap.symbol, gap.ord, gap.count AS missing,
        count(DISTINCT trade.trade_id) AS recorded
    FROM {status} AS gap LEFT JOIN {trade} AS trade
        ON trade.venue = gap.venue AND trade.symbol = gap.symbol AND trade.ord > gap.ord
        AND try_cast(trade.trade_id AS UBIGINT) >= gap.expected
        AND try_cast(trade.trade_id AS UBIGINT) < gap.expected + gap.count
    WHERE gap.kind = 'gap' AND gap.channel IN ('trade', 'aggTrade') GROUP BY ALL ORDER BY gap.ord"""

Instrument = tuple[str, str | None]


def rows(con: duckdb.DuckDBPyConnection, statement: str, order: int, schema: str = "") -> list[Any]:
    """Run a statement over the rows up to `order`; the kinds are tables of `schema` (`name.`)."""
    seen = {kind: f"(SELECT * FROM {schema}{kind} WHERE ord <= {order})" for kind in KINDS}
    ends = " UNION ALL ".join(f"SELECT max(ts_recv) AS t FROM {table}" for table in seen.values())
    ((now,),) = con.execute(f"SELECT epoch_ns(max(t)) FROM ({ends})").fetchall()
    return con.execute(statement.format(**seen, now=now)).fetchall()


def number(
    con: duckdb.DuckDBPyConnection, name: str, order: int, schema: str = ""
) -> Mapping[Instrument, Any]:
    """Return a number of every instrument that has one, as `NUMBERS` defines it."""
    found = rows(con, f"SELECT venue, symbol, value FROM ({NUMBERS[name]})", order, schema)
    return {(venue, symbol): value for venue, symbol, value in found if value is not None}
