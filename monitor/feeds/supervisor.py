"""Keeps one connection alive: connect, carry out what the session asks for, back off, try again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from monitor._rust_feed import Session
from monitor.feeds import transport
from monitor.feeds.clock import ReceiveClock

BACK_OFF_FIRST_S = 0.5
BACK_OFF_CAP_S = 30.0
HEALTHY_S = 10.0
TICK_NS = 100_000_000
FETCH_TRIES_EVERY_S = 60.0


class Supervisor:
    """One named thread that holds one connection, and never gives up until it is stopped."""

    def __init__(
        self,
        name: str,
        session: Session,
        clock: ReceiveClock,
        ws_url: str,
        rest_url: str,
        next_conn: Callable[[], int],
    ) -> None:
        self._session = session
        self._clock = clock
        self._ws_url = ws_url
        self._rest_url = rest_url.rstrip("/")
        self._next_conn = next_conn
        self._stopping = threading.Event()
        self._fetch_failed_s = -FETCH_TRIES_EVERY_S
        self._thread = threading.Thread(target=self._run, name=f"feed-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def announce(self) -> None:
        """Write this connection's instrument rows anew."""
        self._session.announce(self._clock.now_ns())

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            conn, opened_s = self._next_conn(), time.monotonic()
            why = self._live(conn)
            stopped = self._stopping.is_set()
            self._session.closed(conn, self._clock.now_ns(), why, stopped)
            failures = 0 if time.monotonic() - opened_s >= HEALTHY_S else failures + 1
            # Full jitter: many collectors cut off at once must not come back at once.
            ceiling = min(BACK_OFF_CAP_S, BACK_OFF_FIRST_S * 2 ** min(failures, 16))
            self._stopping.wait(random.uniform(0, ceiling))

    def _live(self, conn: int) -> str:
        """Hold one connection for as long as it lasts; return why it ended."""
        try:
            self._fetch_instruments(conn)
            with transport.connect(self._ws_url) as line:
                shown = transport.address(self._ws_url)
                actions = self._session.opened(conn, self._clock.now_ns(), shown)
                why = self._carry_out(line, actions)
                while not why and not self._stopping.is_set():
                    why = self._step(line)
                if not why:
                    line.close(transport.NORMAL)
                return why or "stopped on request"
        except transport.LINE_ERRORS as error:
            return f"{type(error).__name__}: {error}"

    def _step(self, line: transport.Line) -> str | None:
        """Read once and let time pass; return why to leave the connection, or None."""
        deadline_ns = self._clock.now_ns() + TICK_NS
        now_ns = 0
        while now_ns < deadline_ns:
            data = line.read()
            now_ns = self._clock.now_ns()
            if data is None:
                break
            if not data:
                return "the venue closed the connection without a closing frame"
            actions = self._session.receive(data, now_ns)
            if actions and (why := self._carry_out(line, actions)):
                return why
        return self._carry_out(line, self._session.tick(now_ns))

    def _carry_out(self, line: transport.Line, actions: Sequence[tuple[str, Any]]) -> str | None:
        for act, argument in actions:
            if act == "send":
                line.send(str(argument))
            elif act == "ping":
                line.ping()
            elif act == "pong":
                line.pong(bytes(argument))
            elif act == "reconnect":
                line.close(transport.NORMAL)
                return str(argument)
            elif act == "close":
                code, why = argument
                line.close(code)
                return str(why)
        return None

    def _fetch_instruments(self, conn: int) -> None:
        if time.monotonic() - self._fetch_failed_s < FETCH_TRIES_EVERY_S:
            return
        for _, path in self._session.prepare():
            url = self._rest_url + path
            try:
                body = transport.fetch(url)
            except OSError as error:
                self._fetch_failed_s = time.monotonic()
                self._session.fetch_failed(conn, path, str(error), self._clock.now_ns())
            else:
                self._session.fetched(conn, path, body, self._clock.now_ns(), 0)
