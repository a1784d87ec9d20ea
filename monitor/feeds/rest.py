"""REST requests: one keep-alive session per venue on its own thread, within the venue's limits."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import requests
import urllib3

from monitor.feeds import transport
from monitor.feeds.api_key import Key
from monitor.feeds.reachability import place, proxy
from monitor.feeds.timed_answers import TimedAnswers

# How long a venue may send nothing, and how long its whole answer may take.
TIMEOUT_S, ANSWER_S = 10.0, 60.0
BODY_BYTES = 64 << 20
# Most waiting requests: the venue's limits allow fewer in a minute.
WAITING = 2000
# The pause if the venue sends no Retry-After.
PAUSES_S = {429: 10.0, 418: 120.0, 451: 600.0, 401: 60.0, 403: 60.0}
# Pauses up to this are waited for; in a longer one no request is sent.
PATIENCE_S = 2.0
# What is wrong with a body is not an error of requests, since its raw bytes are read.
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
KINDS = {
    401: "auth_failed",
    403: "auth_failed",
    418: "rate_limited",
    429: "rate_limited",
    451: "geo_blocked",
}


class Answer(NamedTuple):
    """The result of a request: the body, or the kind of failure and its reason.

    A failure without a kind was not sent: the venue has asked for a pause.
    """

    path: str
    body: str | None
    kind: str = ""
    why: str = ""


def _cause(error: BaseException) -> str:
    """Return an error's name and the system's reason: its own text has the address."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.errno is not None and at.strerror:
            return f"{type(error).__name__}: {at.strerror}"
        at = at.__cause__ or at.__context__
    return type(error).__name__


def _why(error: BaseException, after_s: float) -> str:
    """Say what was expected of an answer, and what was found after so long."""
    if after_s >= ANSWER_S:
        return f"expected the whole answer within {ANSWER_S:g} s, found a part of it"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "expected the whole answer, found a part of it"
    if isinstance(error, urllib3.exceptions.DecodeError):
        return "expected an answer, found one that cannot be unpacked"
    # The text of a connection error names the address: query and key must not be in it.
    return f"expected an answer, found {_cause(error)}"


class Rest:
    """Sends requests to a venue one after another; each answer goes to its caller."""

    def __init__(
        self, name: str, base_url: str, key: Key, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._base_url = base_url.rstrip("/")
        by = proxy(place(base_url)) if base_url else None
        self._proxies = {} if by is None else {"http": by.url, "https": by.url}
        self._headers = {**transport.HEADERS, **dict(headers), **key.headers}
        self._key = key
        self._waiting: queue.Queue[tuple[str, str | None, Callable[[Answer], None]] | None]
        self._waiting = queue.Queue(WAITING)
        self._closing = threading.Event()
        self._paused_until_s = 0.0
        self._name, self._starting = f"rest-{name}", threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    def ask(self, path: str, body: str | None, answer: Callable[[Answer], None]) -> None:
        """Request `path`, by POST if there is a body; `answer` is called on the session's thread.

        Without room in the queue it is called at once: the caller will try again.
        """
        try:
            self._keep_started()
            self._waiting.put_nowait((path, body, answer))
        except transport.OUT_OF_RESOURCES as error:
            why = f"expected a thread for the request, found: {error}"
            answer(Answer(path, None, "fetch_failed", why))
        except queue.Full:
            why = f"expected at most {WAITING} requests to wait, found more"
            answer(Answer(path, None, "fetch_failed", why))

    def stop(self) -> None:
        """Ask the thread to end; waiting requests are dropped. `join` waits for it."""
        self._closing.set()
        while not self._waiting.empty():
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put(None)

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _keep_started(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        with requests.Session() as session:
            session.headers.update(self._headers)
            # Ignore `.netrc` and the environment's proxies, which requests would read differently;
            # trust the environment's certificates.
            session.trust_env = False
            session.proxies.update(self._proxies)
            for scheme in ("http://", "https://"):
                session.mount(scheme, TimedAnswers(ANSWER_S))
            session.verify = next(filter(None, map(os.environ.get, CERTIFICATES)), True)
            while not self._closing.is_set():
                wanted = self._waiting.get()
                if wanted is None:
                    return
                path, body, answer = wanted
                left_s = self._paused_until_s - time.monotonic()
                if left_s > PATIENCE_S:
                    # Further requests would only extend the ban.
                    why = f"the venue wants to be left in peace for {left_s:.0f} s"
                    answer(Answer(path, None, "", why))
                elif left_s <= 0 or not self._closing.wait(left_s):
                    answer(self._ask(session, path, body))

    def _ask(self, session: requests.Session, path: str, body: str | None) -> Answer:
        method, sent = ("GET", None) if body is None else ("POST", body.encode())
        kind = {"Content-Type": "application/json"} if body is not None else {}
        began_s = time.monotonic()
        try:
            with session.request(
                method,
                self._base_url + path,
                data=sent,
                headers=kind,
                timeout=TIMEOUT_S,
                stream=True,
            ) as response:
                content = response.raw.read(BODY_BYTES + 1, decode_content=True)
                if len(content) > BODY_BYTES:
                    why = f"expected at most {BODY_BYTES} bytes, found more"
                    return Answer(path, None, "fetch_failed", why)
                text = str(content, "utf-8", "replace")
                if response.ok:
                    return Answer(path, text)
                return self._refused(path, response, text)
        except (*FAILURES, *transport.OUT_OF_RESOURCES) as error:
            return Answer(path, None, "fetch_failed", _why(error, time.monotonic() - began_s))

    def _refused(self, path: str, response: requests.Response, text: str) -> Answer:
        status = response.status_code
        kind = KINDS.get(status, "fetch_failed")
        why = f"expected HTTP 200, found {status} {' '.join(text.split())[:200]}".rstrip()
        why = self._key.explain(kind, why)
        told_s = transport.retry_after_s(response.headers.get("Retry-After", ""))
        pause_s = told_s or PAUSES_S.get(status, 0.0)
        if pause_s:
            self._paused_until_s = time.monotonic() + pause_s
            why = f"{why}; asked again in {pause_s:.0f} s"
        return Answer(path, None, kind, why)
