"""The views that every statement can use beside the tables.

Times are `ts_recv`, as everywhere; rows flagged DUPLICATE are left out. As in `quote_authority.py`,
the authoritative quotes are those of the origin that the last `origin` row before them names, else
`native`.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.rows import BACKFILL, DUPLICATE, FIRST_ORIGIN, LAST, REST, SNAPSHOT
from monitor.state import MISSING

NAMES = (
    *("origins", "authoritative", "spread_bps", "best_quote"),
    *("bars_1s", "bars_1m", "gaps", "latency"),
)

# A trade by REST, or repeated at subscription, belongs to its own `ts_event`.
_TRADED = (
    f"CASE WHEN flags & {SNAPSHOT | BACKFILL} <> 0 THEN coalesce(ts_event, ts_recv)"
    " ELSE ts_recv END"
)
# Stream and REST may give a trade's time with different precision.
_SAME_NS = 1_000_000_000
_NO_END = 2**64 - 1


def views(venues: Sequence[str], switches: str, recordings: int) -> dict[str, str]:
    """Return each view's query, ordered so that each needs only earlier ones.

    `venues` are all venues that quote; `switches` is a query for all `origin` rows of the
    recordings, in the window or not: recording, ord, venue, symbol, origin. `recordings` is their
    number.
    """
    return dict(
        zip(
            NAMES,
            (
                _origins(switches),
                _authoritative(),
                _spread_bps(),
                _best_quote(venues or [""]),
                _bars(1, recordings),
                _bars(60, recordings),
                _gaps(),
                _latency(),
            ),
            strict=True,
        )
    )


def _origins(switches: str) -> str:
    return f"""
        SELECT recording, venue, symbol, origin, ord AS after_ord,
            lead(ord) OVER (PARTITION BY recording, venue, symbol ORDER BY ord) AS until_ord
        FROM ({switches})"""


def _authoritative() -> str:
    # Spans instead of an ASOF join: they are few, and the quotes need no sorting.
    return f"""
        SELECT q.* FROM quote AS q LEFT JOIN origins AS o
            ON q.recording = o.recording AND q.venue = o.venue AND q.symbol = o.symbol
            AND q.ord > o.after_ord AND q.ord <= coalesce(o.until_ord, {_NO_END})
        WHERE q.flags & {DUPLICATE} = 0 AND q.origin = coalesce(o.origin, '{FIRST_ORIGIN}')"""


def _spread_bps() -> str:
    return """
        SELECT recording, ord, ts_recv, venue, symbol, bid, ask,
            (ask - bid) / ((ask + bid) / 2) * 1e4 AS spread_bps
        FROM authoritative WHERE bid IS NOT NULL AND ask IS NOT NULL"""


def _best_quote(venues: Sequence[str]) -> str:
    """At each quote, the best of all venues' last quotes; among equals the first venue by name.

    One sort for all venues, each venue's last values carried forward: an ASOF join for each venue
    takes longer and twice the memory. A quote that ended (null) is carried as a price that never
    wins.
    """
    carried = {
        "bid": "coalesce(bid, '-inf'::DOUBLE)",
        "ask": "coalesce(ask, 'inf'::DOUBLE)",
        "bid_size": "bid_size",
        "ask_size": "ask_size",
        "recv": "ts_recv",
    }
    legs = ", ".join(
        f"last_value(CASE WHEN venue = {_quoted(venue)} THEN {value} END IGNORE NULLS)"
        f" OVER w AS {name}_{at}"
        for at, venue in enumerate(venues)
        for name, value in carried.items()
    )
    numbers = range(len(venues))

    def leg(side: str, no_price: str) -> str:
        def of_best(values: Sequence[str]) -> str:
            cases = " ".join(f"WHEN {side}_{at} THEN {values[at]}" for at in numbers)
            return f"CASE nullif(best_{side}, '{no_price}'::DOUBLE) {cases} END"

        names = [_quoted(venue) for venue in venues]
        size, venue = of_best([f"{side}_size_{at}" for at in numbers]), of_best(names)
        recv = of_best([f"recv_{at}" for at in numbers])
        return (
            f"nullif(best_{side}, '{no_price}'::DOUBLE) AS {side}, {size} AS {side}_size,"
            f" {venue} AS {side}_venue, (epoch_ns(ts_recv) - epoch_ns({recv})) / 1e6"
            f" AS {side}_age_ms"
        )

    bids, asks = (", ".join(f"{side}_{at}" for at in numbers) for side in ("bid", "ask"))
    return f"""
        SELECT recording, ord, ts_recv, symbol, {leg("bid", "-inf")}, {leg("ask", "inf")}
        FROM (
            SELECT *, greatest({bids}) AS best_bid, least({asks}) AS best_ask
            FROM (
                SELECT recording, ord, ts_recv, symbol, {legs} FROM authoritative
                WINDOW w AS (PARTITION BY recording, symbol ORDER BY ord
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)))"""


def _bars(seconds: int, recordings: int) -> str:
    once = f"ANTI JOIN ({_had_before()}) USING (recording, ord)" if recordings > 1 else ""
    return f"""
        SELECT recording, venue, symbol, {_floor("traded", seconds)} AS start,
            arg_min(price, (traded, ord)) AS open, max(price) AS high,
            min(price) AS low, arg_max(price, (traded, ord)) AS close,
            sum(size) AS volume, count(*) AS trades
        FROM (SELECT *, {_TRADED} AS traded FROM trade {once}
            WHERE flags & {DUPLICATE} = 0 AND price IS NOT NULL)
        GROUP BY ALL"""


def _had_before() -> str:
    """Trades that repeat those of an earlier recording.

    After a restart venues send the last trades again, by stream or REST. Copies of a recording have
    the same times and keep all trades. Trade ids may start again, hence the time; trades without an
    id are compared by content.
    """
    named = "coalesce(trade_id, concat_ws(' ', epoch_ns(ts_event), price, size, side))"
    columns = f"recording, ord, venue, symbol, {named} AS named, ts_recv, epoch_ns(ts_event) AS at"
    had = f"SELECT {columns} FROM trade WHERE flags & {DUPLICATE} = 0"
    # No other recording has the REST trades since this recording's start.
    return f"""
        SELECT recording, ord FROM (
            {had} AND (flags & {SNAPSHOT | BACKFILL} <> 0 OR (flags & {REST} <> 0 AND ts_event <
                (SELECT min(t.ts_recv) FROM trade AS t WHERE t.recording = trade.recording)))
        ) AS again SEMI JOIN ({had}) AS had
            ON had.venue = again.venue AND had.symbol = again.symbol AND had.named = again.named
            AND had.recording <> again.recording AND had.ts_recv < again.ts_recv
            AND had.at > again.at - {_SAME_NS} AND had.at < again.at + {_SAME_NS}"""


def _gaps() -> str:
    kinds = ", ".join(f"'{kind}'" for kind in MISSING)
    return f"""
        SELECT recording, ord, ts_recv, venue, symbol, scope, channel, kind, expected, got,
            count, detail
        FROM status WHERE kind IN ({kinds}) AND flags & {DUPLICATE} = 0"""


def _latency() -> str:
    asked_for = DUPLICATE | SNAPSHOT | BACKFILL | REST
    # A book message counts once, at its last row.
    parts = " UNION ALL ".join(
        f"SELECT recording, venue, symbol, '{kind}' AS channel, ts_recv,"
        f" coalesce(ts_event, ts_sent) AS told FROM {kind}"
        f" WHERE flags & {asked_for} = 0 AND flags & {last} = {last}"
        for kind, last in (("quote", 0), ("trade", 0), ("book", LAST))
    )
    return f"""
        SELECT recording, venue, symbol, channel, {_floor("ts_recv", 1)} AS start,
            quantile_cont(ms, 0.5) AS p50_ms, quantile_cont(ms, 0.99) AS p99_ms,
            max(ms) AS max_ms, count(*) AS messages
        FROM (SELECT *, (epoch_ns(ts_recv) - epoch_ns(told)) / 1e6 AS ms
            FROM ({parts}) WHERE told IS NOT NULL)
        GROUP BY ALL"""


def _floor(time: str, seconds: int) -> str:
    ns = seconds * 1_000_000_000
    return f"make_timestamp_ns(epoch_ns({time}) // {ns} * {ns})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
