"""The Rust core: sessions decode frames into a bounded buffer that is drained as Arrow batches."""

from typing import Any, Literal, final

__all__ = ["Digest", "Feed", "Session", "venues"]

# What the transport is to do: send a text, send a WebSocket ping or pong (with this payload),
# request a REST path (by POST if there is a body) and hand the answer to `fetched`, hold so many
# connections, or connect anew, for the reason given: `close` names, before the reason, the closing
# code that is due to the venue (None: a frame without one). `replace` wants a second connection
# beside one that is about to end, `take_over` comes when the first may be left for it.
_Act = Literal[
    "send", "ping", "pong", "fetch", "parts", "reconnect", "close", "replace", "take_over"
]
_Action = tuple[_Act, Any]

@final
class Feed:
    """The bounded buffer that sessions fill and the pipeline drains; any thread may use it."""

    def __new__(cls, capacity_rows: int) -> Feed: ...
    def drain(self, wait_ms: int, linger_ms: int) -> dict[str, Any] | None:
        """Wait for the first row, linger for more; one Arrow record batch per kind, or None.

        The batches offer `__arrow_c_array__` and are handed over without copies.
        """

    def clock(self, now_ns: int, offset_ns: int, recorder_lag_ms: float) -> None:
        """Write a clock row; `now_ns` is in ns since 1970."""

    def step(self, by_ns: int) -> None:
        """Say that the clock of `now_ns` is about to be set forward by so many ns.

        Sessions do not take that for time in which nothing came.
        """

    def status(
        self,
        now_ns: int,
        scope: str,
        state: str,
        kind: str,
        detail: str | None = None,
        count: int | None = None,
    ) -> None:
        """Write a status row of scope `feed` or `recorder`; ValueError for another one."""

    def close(self) -> None:
        """Wake whoever drains."""

    def __len__(self) -> int: ...

@final
class Session:
    """One connection's life without its I/O: bytes and times in; rows to the feed, actions out.

    Times are ns since 1970. What is known of an instrument's trades goes, at the end on request, to
    the next session of the same feed that follows it. `options` is JSON: `sources` ([{symbol,
    channels, yields_to}]; what fits a symbol of `yields_to` is left to another session), `live`,
    `raw`, `gap_fill` (ask by REST for the trades that a gap tells of), `interval_ms` (between
    polls, 0: the venue's), `part` (of the sources, where one is too few),
    `setup` (`rest_path`: of the address that is polled; `pools`: as the configuration has them).
    """

    def __new__(cls, feed: Feed, venue: str, options: str) -> Session: ...
    def expect(self, now_ns: int) -> None:
        """Write that each source is asked for, before anything is known of it."""

    def prepare(self) -> list[_Action]: ...
    def opened(self, conn: int, now_ns: int, address: str) -> list[_Action]: ...
    def keep(self, symbols: list[str], goes_on: bool) -> None:
        """Only these symbols are still followed after `closed`, or by another session then."""

    def go_on(self, now_ns: int) -> None:
        """Write that another session connects to what was stopped on request."""

    def closed(self, conn: int, now_ns: int, kind: str, why: str) -> None: ...
    def receive(self, data: bytes, now_ns: int) -> list[_Action]: ...
    def sent(self, text: str) -> None: ...
    def fall_back(self, conn: int, now_ns: int, why: str) -> None: ...
    def began(self, conn: int, now_ns: int, took_over: bool) -> None: ...
    def left(self, raw_symbols: list[str], now_ns: int) -> None:
        """End as in a file: other sessions of the same feed go on at once with these symbols."""

    def frame(self, conn: int, text: str, now_ns: int, flags: int) -> None: ...
    def fetched(self, conn: int, url: str, body: str, now_ns: int, flags: int) -> None: ...
    def fetch_failed(self, conn: int, url: str, kind: str, why: str, now_ns: int) -> None: ...
    def opened_beside(self, conn: int, now_ns: int, address: str) -> list[_Action]: ...
    def receive_beside(self, data: bytes, now_ns: int) -> list[_Action]: ...
    def tick_beside(self, now_ns: int) -> list[_Action]: ...
    def take_over(self, now_ns: int) -> list[_Action]: ...
    def lost(self, now_ns: int, why: str) -> list[_Action]: ...
    def closed_beside(self, now_ns: int, kind: str, why: str) -> None: ...
    def tick(self, now_ns: int) -> list[_Action]: ...
    def announce(self, now_ns: int) -> None: ...
    @property
    def is_answered(self) -> bool:
        """Whether the open stream brought data, or an answer to a subscription."""

    @property
    def ignored_frames(self) -> int: ...

@final
class Digest:
    """SHA-256 over the canonical bytes of rows in `ord` order, whatever batches they come in."""

    def __new__(cls) -> Digest: ...
    def update(self, kinds: dict[str, Any]) -> None:
        """Take the next rows: one Arrow record batch per kind; ValueError for a foreign column."""

    def hexdigest(self) -> str: ...

def venues() -> dict[str, dict[str, Any]]:
    """Tell each venue's `ws_url` (None: it is polled), `ws_path`, `rest_url`, `rest_headers`,
    `channels`, `key` and `list_path`, that of the instrument list by REST, if any.

    An empty `rest_url` is that of a venue which the simulated exchange alone has.
    A key is what the venue wants of the user: environment variable, query parameter, REST header.
    """
