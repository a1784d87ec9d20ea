"""Example statements of the tab SQL."""

from __future__ import annotations

# Time in the recordings, not by the clock: also the last minute of a replay.
_LAST_MINUTE = "ts_recv > (SELECT max(ts_recv) FROM quote) - INTERVAL 1 MINUTE"

FIRST = (
    "SELECT venue, symbol, count(*) AS quotes, avg((ask - bid) / bid) * 1e4 AS spread_bps\n"
    "FROM quote GROUP BY ALL ORDER BY ALL"
)

SNIPPETS = {
    "Spread by venue": (
        "SELECT venue, symbol, count(*) AS quotes, quantile_cont(spread_bps, 0.5) AS p50_bps,\n"
        "    quantile_cont(spread_bps, 0.99) AS p99_bps, max(spread_bps) AS max_bps\n"
        "FROM spread_bps GROUP BY ALL ORDER BY symbol, p50_bps"
    ),
    "Spread over time (chart)": (
        "SELECT time_bucket(INTERVAL 1 SECOND, ts_recv) AS time, venue, symbol,\n"
        "    avg(spread_bps) AS spread_bps\n"
        "FROM spread_bps GROUP BY ALL ORDER BY time"
    ),
    "Bars of one minute (chart)": (
        "SELECT start, venue, symbol, open, high, low, close, volume, trades\n"
        "FROM bars_1m ORDER BY start DESC, venue, symbol"
    ),
    "Best venue in the last minute": (
        "SELECT symbol, bid_venue AS venue, count(*) AS times_best_bid,\n"
        "    max(bid_age_ms) AS oldest_ms\n"
        f"FROM best_quote WHERE {_LAST_MINUTE}\n"
        "GROUP BY ALL ORDER BY symbol, times_best_bid DESC"
    ),
    "Best quote of all venues": (
        "SELECT ts_recv, symbol, bid, bid_venue, bid_age_ms, ask, ask_venue, ask_age_ms\n"
        "FROM best_quote ORDER BY ts_recv DESC LIMIT 1000"
    ),
    "Crossed across venues": (
        "SELECT ts_recv, symbol, (bid - ask) / ask * 1e4 AS crossed_bps, bid_venue, ask_venue,\n"
        "    greatest(bid_age_ms, ask_age_ms) AS older_leg_ms\n"
        "FROM best_quote WHERE bid > ask ORDER BY ts_recv DESC LIMIT 1000"
    ),
    "Slippage of legs against the mid": (
        "SELECT t.venue, t.symbol, t.side, count(*) AS trades, sum(t.size) AS size,\n"
        "    avg(CASE t.side WHEN 'buy' THEN 1 ELSE -1 END * (t.price - q.mid) / q.mid) * 1e4"
        " AS slippage_bps\n"
        "FROM trade AS t ASOF JOIN (\n"
        "    SELECT recording, venue, symbol, ord, (bid + ask) / 2 AS mid FROM spread_bps\n"
        ") AS q ON t.recording = q.recording AND t.venue = q.venue AND t.symbol = q.symbol\n"
        "    AND t.ord > q.ord\n"
        "WHERE t.side IS NOT NULL AND t.flags & 512 = 0 GROUP BY ALL ORDER BY ALL"
    ),
    "Bought and sold by minute (chart)": (
        "SELECT time_bucket(INTERVAL 1 MINUTE, ts_recv) AS time, venue, symbol,\n"
        "    sum(size) FILTER (side = 'buy') AS bought,\n"
        "    sum(size) FILTER (side = 'sell') AS sold\n"
        "FROM trade WHERE flags & 512 = 0 GROUP BY ALL ORDER BY time"
    ),
    "Weight of the book (chart)": (
        "SELECT ts_recv, venue, symbol,\n"
        "    list_sum(bid_sizes[1:5]) / (list_sum(bid_sizes[1:5]) + list_sum(ask_sizes[1:5]))"
        " AS share_of_bids\n"
        "FROM depth ORDER BY ts_recv DESC LIMIT 20000"
    ),
    "Latency by venue": (
        "SELECT venue, channel, sum(messages) AS messages, quantile_cont(p50_ms, 0.5) AS p50_ms,\n"
        "    max(p99_ms) AS worst_p99_ms, max(max_ms) AS max_ms\n"
        "FROM latency GROUP BY ALL ORDER BY ALL"
    ),
    "Latency over time (chart)": (
        "SELECT start, venue, channel, p50_ms, p99_ms, max_ms, messages\n"
        "FROM latency ORDER BY start"
    ),
    "Messages and rows a second (chart)": (
        "SELECT ts_recv, venue, sum(rows) AS rows, sum(bytes) AS bytes\n"
        "FROM stat GROUP BY ALL ORDER BY ts_recv"
    ),
    "Gaps": "FROM gaps ORDER BY ts_recv DESC LIMIT 1000",
    "What went wrong, by cause": (
        "SELECT recording, venue, symbol, kind, count(*) AS times, min(ts_recv) AS first,\n"
        "    max(ts_recv) AS last\n"
        "FROM status WHERE state IN ('stale', 'failed') OR kind IN ('gap', 'checksum', 'crossed',\n"
        "    'disconnected', 'fallback', 'overflow', 'unrecorded')\n"
        "GROUP BY ALL ORDER BY last DESC"
    ),
    "Signals": (
        "SELECT ts_recv, recording, hook, level, venue, symbol, value, text, origin\n"
        "FROM signal ORDER BY ts_recv DESC LIMIT 1000"
    ),
    "What is recorded": "FROM recordings ORDER BY started DESC",
}
