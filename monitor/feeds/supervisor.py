"""Keep one connection alive: connect, carry out the session's actions, back off, poll meanwhile."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from monitor._rust_feed import Session
from monitor.feeds import transport
from monitor.feeds.api_key import Key
from monitor.feeds.back_off import BackOff
from monitor.feeds.connecting import Opening, refusal
from monitor.feeds.receive_clock import ReceiveClock
from monitor.feeds.rest import Answer, Rest
from monitor.feeds.second_connection import WAIT_S, Beside
from monitor.feeds.worker import PASSING, Worker

TICK_S = 0.1
TICK_NS = 100_000_000
LIST_TRIES_EVERY_S = 60.0
LIST_WAIT_S = 15.0
# A line must last this long to prevent the fallback to REST.
GREETING_S = 2.0
# The reason for the fallback from such a line.
MUTE = "the stream is open, but neither data nor answers come by it"
# Reads that empty a line before it is closed.
LAST_READS = 64


class Policy(NamedTuple):
    """How a source is followed: `auto`, `ws` or `rest`, and when REST takes over without a line.

    With two connections each message counts once, and one of them may fail.
    """

    mode: str = "auto"
    fallback_after_s: float = 15.0
    connections: int = 1


class Supervisor:
    """One named thread that holds one connection and reconnects until it is stopped."""

    def __init__(
        self,
        name: str,
        session: Session,
        clock: ReceiveClock,
        ws_url: str | None,
        key: Key,
        rest: Rest,
        next_conn: Callable[[], int],
        on_parts: Callable[[int], None],
        policy: Policy,
    ) -> None:
        self._name = name
        self._session = session
        self._clock = clock
        self._ws_url, self._key = ws_url, key
        self._rest = rest
        self._next_conn, self._on_parts = next_conn, on_parts
        self._policy = policy
        self._stopping = threading.Event()
        # The end was recorded while the thread hung.
        self._is_left = False
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._conn = 0
        self._list_asked_s = -LIST_TRIES_EVERY_S
        self._heard_s = time.monotonic()
        self._opened_s: float | None = None
        self._beside: Beside | None = None
        self._beside_due_s, self._back_off = 0.0, BackOff()
        self._may_take_over = False
        self._why = "no connection yet"
        ended = functools.partial(self._end, "stopped", "stopped on request")
        self._worker = Worker(f"feed-{name}", self._run, self._tell, ended, self._stopping)

    def start(self) -> None:
        self._session.expect(self._clock.now_ns())
        self.keep_started()

    def keep_started(self) -> None:
        """Start the thread if no thread could be started before."""
        self._worker.keep_started()

    def stop(self, kept: list[str] | None = None) -> None:
        """Ask the thread to end; `join` waits for it.

        Symbols in `kept` go on with another connection; others are removed.
        """
        if kept is not None:
            self._session.keep(kept, goes_on=True)
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        if not self._worker.has_ended(timeout_s):
            # Its end must precede the rows of the next connection.
            self._is_left = True
            self._write_end("stopped", "stopped on request")

    def remove_all_but(self, kept: list[str]) -> None:
        """After the end, record that all other symbols were removed."""
        self._session.keep(kept, goes_on=False)
        self._write_end("stopped", "stopped on request")

    def go_on(self) -> None:
        """After the end, record that another connection to the symbols is being opened."""
        self._session.go_on(self._clock.now_ns())

    def announce(self) -> None:
        """Write this connection's instruments and whole books again."""
        self._session.announce(self._clock.now_ns())

    def _run(self) -> None:
        if self._key.is_missing:
            # The venue would refuse every attempt.
            self._conn, why = self._next_conn(), self._key.missing()
            self._end("auth_failed", why)
            self._stopping.wait()
            self._end("stopped", "stopped on request")
            return
        if self._ws_url is None or self._policy.mode == "rest":
            self._poll()
            return
        back_off, kind = BackOff(), ""
        while not self._stopping.is_set():
            self._conn, self._opened_s = self._next_conn(), None
            kind, self._why, pause_s = self._live(self._ws_url)
            self._end(kind, self._why)
            self._idle(max(pause_s, back_off.pause_s(self._lived_s())))
        if kind != "stopped":
            # Stopped during the wait for the next attempt.
            self._end("stopped", "stopped on request")

    def _poll(self) -> None:
        """Poll by REST until stopped; the venue has no stream, or the mode is `rest`."""
        self._conn = self._next_conn()
        has_none = self._ws_url is None
        why = "the venue has no WebSocket" if has_none else "REST was asked for"
        self._session.fall_back(self._conn, self._clock.now_ns(), why)
        while not self._stopping.wait(TICK_S):
            self._pass_time(None)
        self._end("stopped", "stopped on request")

    def _tell(self, error: Exception) -> None:
        self._end(*refusal(error)[:2])

    def _end(self, kind: str, why: str) -> None:
        if not self._is_left:
            self._write_end(kind, why)

    def _write_end(self, kind: str, why: str) -> None:
        self._session.closed(self._conn, self._clock.now_ns(), kind, why)

    def _lived_s(self) -> float:
        # The time of a failed opening does not count as connected.
        return time.monotonic() - self._opened_s if self._opened_s is not None else 0.0

    def _live(self, url: str) -> tuple[str, str, float]:
        """Hold one connection until it ends; return kind, reason, and a pause in s."""
        with ExitStack() as stack:
            try:
                self._learn_instruments()
                line = self._connect(stack, url)
                if line is None:
                    return "stopped", "stopped on request", 0.0
                self._opened_s = time.monotonic()
                shown = transport.address(url)
                actions = self._session.opened(self._conn, self._clock.now_ns(), shown)
                why = self._carry_out(line, actions)
                while not why and not self._stopping.is_set():
                    why = self._hold(line)
                    if self._may_take_over:
                        line, why = self._take_over(stack, line, bool(why)), None
                if not why:
                    line.close(transport.NORMAL)
                    return "stopped", "stopped on request", 0.0
                return "disconnected", why, 0.0
            except PASSING as error:
                kind, why, pause_s = refusal(error)
                return kind, self._key.explain(kind, why), pause_s
            finally:
                self._leave_beside(0.0)

    def _hold(self, line: transport.Line) -> str | None:
        """Read both connections, if there are two; return why the first one ended, or None."""
        try:
            why = self._step(line)
        except transport.LINE_ERRORS as error:
            why = refusal(error)[1]
            self._meet_end(why)
            if not self._may_take_over:
                raise
            return why
        if why:
            self._meet_end(why)
        else:
            self._step_beside(0.0)
        return why

    def _meet_end(self, why: str) -> None:
        """Go on with the second connection, or with one that was to replace the first."""
        self._carry_out(None, self._session.lost(self._clock.now_ns(), why))
        while self._beside is not None and not self._may_take_over and not self._stopping.is_set():
            if self._policy.connections > 1:
                # It was not ready, and quotes must not stay valid for as long as that takes.
                return
            self._step_beside(WAIT_S)

    def _step_beside(self, wait_s: float) -> None:
        """Advance the second connection, if there is one."""
        if self._beside is None:
            return
        kind, pause_s = "disconnected", 0.0
        try:
            why = self._beside.step(self._clock.now_ns, self._carry_out, wait_s)
        except PASSING as error:
            kind, why, pause_s = refusal(error)
            why = self._key.explain(kind, why)
        if why and not self._may_take_over:
            self._session.closed_beside(self._clock.now_ns(), kind, why)
            self._leave_beside(pause_s)

    def _take_over(self, stack: ExitStack, line: transport.Line, lost: bool) -> transport.Line:
        """Read the first line to its end, go on with the second, and close the first."""
        assert self._beside is not None
        beside, self._beside, self._may_take_over = self._beside, None, False
        with suppress(*transport.LINE_ERRORS):
            for _ in range(LAST_READS):
                data = line.read(0)
                if not data:
                    break
                self._session.receive(data, self._clock.now_ns())
        left = stack.pop_all()
        taken, closing = beside.take_over()
        stack.push(closing)
        now_s = time.monotonic()
        self._beside_due_s = now_s + self._back_off.pause_s(self._lived_s())
        self._conn, self._opened_s, self._heard_s = beside.conn, now_s - beside.lived_s, now_s
        self._carry_out(taken, self._session.take_over(self._clock.now_ns()))
        if lost:
            left.close()
            return taken
        # Rows of the second connection do not wait for the first one's end.
        name = f"leave-{self._name}"
        try:
            threading.Thread(target=_leave, args=(line, left), name=name, daemon=True).start()
        except transport.OUT_OF_RESOURCES:
            left.close()
        return taken

    def _replace(self) -> None:
        due = time.monotonic() >= self._beside_due_s
        if due and self._beside is None and self._ws_url is not None:
            name = f"connect-{self._name}"
            self._beside = Beside(self._session, self._next_conn(), self._ws_url, name)

    def _leave_beside(self, pause_s: float) -> None:
        if self._beside is not None:
            pause_s = max(pause_s, self._back_off.pause_s(self._beside.lived_s))
            self._beside_due_s = time.monotonic() + pause_s
            self._beside.close()
        self._beside, self._may_take_over = None, False

    def _connect(self, stack: ExitStack, url: str) -> transport.Line | None:
        """Open a connection on its own thread, while polling goes on. None if stopped."""
        opening = Opening(url, f"connect-{self._name}")
        while not opening.wait(TICK_S):
            if self._stopping.is_set():
                opening.abandon()
                return None
            self._pass_time(None)
        return opening.line(stack)

    def _learn_instruments(self) -> None:
        """Fetch the venue's instrument list, if it comes by REST and is not known yet."""
        if time.monotonic() - self._list_asked_s < LIST_TRIES_EVERY_S:
            return
        actions = self._session.prepare()
        if not actions:
            return
        self._list_asked_s = time.monotonic()
        self._carry_out(None, actions)
        while self._session.prepare() and not self._stopping.is_set():
            if time.monotonic() - self._list_asked_s > LIST_WAIT_S:
                return
            try:
                answer = self._answers.get(timeout=TICK_S)
            except queue.Empty:
                self._fall_back_if_due()
                continue
            self._take(answer)
            # The session itself requests the list again if there was none.
            if any(argument[0] == answer.path for act, argument in actions if act == "fetch"):
                return

    def _step(self, line: transport.Line) -> str | None:
        """Read once and let time pass; return why to close the connection, or None."""
        deadline_ns = self._clock.now_ns() + TICK_NS
        now_ns = 0
        while now_ns < deadline_ns:
            data = self._read(line)
            now_ns = self._clock.now_ns()
            if data is None:
                break
            if not data:
                return "the venue closed the connection without a closing frame"
            actions = self._session.receive(data, now_ns)
            self._hear()
            if actions and (why := self._carry_out(line, actions)):
                return why
        return self._pass_time(line)

    def _read(self, line: transport.Line) -> bytes | None:
        """Wait for bytes of the first connection, and read those of the second as they arrive."""
        until_s = time.monotonic() + transport.READ_TIMEOUT_S
        while self._beside is not None and (beside := self._beside.line) is not None:
            left_s = until_s - time.monotonic()
            ready = transport.readable((line, beside), max(0.0, left_s))
            if beside in ready:
                self._step_beside(0.0)
            if line in ready or left_s <= 0 or self._may_take_over:
                return line.read(0.0)
        return line.read()

    def _hear(self) -> None:
        # A line that is cut right after its greeting, or only answers pings, counts as no line.
        if self._lived_s() >= GREETING_S and self._session.is_answered:
            self._heard_s = time.monotonic()

    def _idle(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if self._stopping.wait(min(TICK_S, left_s)):
                return
            self._pass_time(None)

    def _pass_time(self, line: transport.Line | None) -> str | None:
        """Deliver REST answers, and let the session do what is due."""
        while not self._answers.empty():
            self._take(self._answers.get())
        self._fall_back_if_due(line is not None)
        return self._carry_out(line, self._session.tick(self._clock.now_ns()))

    def _take(self, answer: Answer) -> None:
        now_ns, conn = self._clock.now_ns(), self._conn
        if answer.body is not None:
            self._session.fetched(conn, answer.path, answer.body, now_ns, 0)
        else:
            self._session.fetch_failed(conn, answer.path, answer.kind, answer.why, now_ns)

    def _fall_back_if_due(self, is_open: bool = False) -> None:
        has_second = self._beside is not None and self._beside.line is not None
        if self._policy.connections > 1 and has_second and self._session.is_answered:
            # The second brings what the first does not; if it is silent it is closed itself.
            return
        unheard_s = time.monotonic() - self._heard_s
        if self._policy.mode == "auto" and unheard_s >= self._policy.fallback_after_s:
            why = MUTE if is_open and not self._session.is_answered else self._why
            self._session.fall_back(self._conn, self._clock.now_ns(), why)

    def _carry_out(
        self, line: transport.Line | None, actions: Sequence[tuple[str, Any]]
    ) -> str | None:
        for act, argument in actions:
            if act == "fetch":
                path, body = argument
                self._rest.ask(path, body, self._answers.put)
            elif act == "parts":
                self._on_parts(argument)
            elif act == "take_over":
                self._may_take_over = True
            elif act == "replace":
                self._replace()
            elif line is None:
                continue
            elif act == "send":
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


def _leave(line: transport.Line, closing: ExitStack) -> None:
    with closing:
        line.close(transport.NORMAL)
