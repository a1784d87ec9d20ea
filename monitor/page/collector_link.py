"""The page's link to its collector: whether live rows arrive, why not, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from monitor.state import SILENT_NS

SILENT_MS = SILENT_NS / 1e6
# A slow collector answers within this time; only later do we advise to end it.
PATIENCE_MS = 10_000.0
START = "start one with monitor record binance:BTC-USDT, or monitor serve"


class Standing(NamedTuple):
    """Why the page does not show the present: the text of a badge, and advice.

    `kind` is `missing` (no collector runs), `hung` (it neither sends nor answers), `mute` (it
    answers, but sends no rows), `attaching` (the page is receiving the last minutes) or `behind`
    (rows arrive late).
    """

    kind: str
    badge: str
    advice: str


class Seen(NamedTuple):
    """The page process's view of its collector; `pid` None if none holds the folder's lock.

    Times are in ms: the age of the newest row; the running time of the page process, without
    stops, since rows last arrived, however old; and since the collector's port last answered.
    """

    pid: int | None
    silence_ms: float
    waited_ms: float
    unanswered_ms: float
    is_attaching: bool = False


def judge(seen: Seen) -> Standing | None:
    """Return why the page does not show the present; None if it does."""
    if seen.pid is None:
        since = f"no row for {span(seen.silence_ms)}; " if seen.silence_ms > SILENT_MS else ""
        return Standing("missing", "NO COLLECTOR", f"the collector has stopped: {since}{START}")
    if seen.silence_ms <= SILENT_MS:
        return None
    badge = f"NO ROWS FOR {span(seen.silence_ms)}"
    if seen.waited_ms <= SILENT_MS:
        late = span(seen.silence_ms)
        if seen.is_attaching:
            return Standing("attaching", "ATTACHING", f"reading the last {late} from the collector")
        advice = "this machine is too busy; the page attaches anew if they come later than 10 s"
        return Standing("behind", f"{late} BEHIND", f"rows reach this page {late} late: {advice}")
    if seen.unanswered_ms <= SILENT_MS:
        advice = f"the collector (PID {seen.pid}) answers but sends no rows: restart it"
        return Standing("mute", badge, advice)
    advice = f"the collector (PID {seen.pid}) does not answer"
    if seen.unanswered_ms > PATIENCE_MS:
        advice += (
            f": it hangs or is paused. Resume it with kill -CONT {seen.pid}, or end it with"
            f" kill -9 {seen.pid} and start another: what it recorded is kept"
        )
    return Standing("hung", badge, advice)


def span(ms: float) -> str:
    """Return a duration as text for people."""
    seconds = int(ms / 1e3)
    if seconds < 120:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 120:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
