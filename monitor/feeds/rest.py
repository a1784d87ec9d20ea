"""REST: one keep-alive session per venue, on a thread of its own, as polite as the venue wants."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from monitor.feeds import transport
from monitor.feeds.key import Key
from monitor.feeds.reach import is_local

TIMEOUT_S = 10.0
BODY_BYTES = 64 << 20
# More requests than this cannot wait: the venue's limits let fewer through in a minute.
WAITING = 2000
# Without a Retry-After: how long to leave the venue in peace.
PAUSES_S = {429: 10.0, 418: 120.0, 451: 600.0, 401: 60.0, 403: 60.0}
# A pause no longer than this is waited for; in a longer one nothing is asked at all.
PATIENCE_S = 2.0
KINDS = {
    401: "auth_failed",
    403: "auth_failed",
    418: "rate_limited",
    429: "rate_limited",
    451: "geo_blocked",
}


class Answer(NamedTuple):
    """What came of a request: the body, or the kind of failure and why.

    Without a kind it was not made at all: the venue wants to be left in peace.
    """

    path: str
    body: str | None
    kind: str = ""
    why: str = ""


def _without_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class Rest:
    """Asks a venue for one thing after another; answers go to whoever asked."""

    def __init__(
        self, name: str, base_url: str, key: Key, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._base_url = base_url.rstrip("/")
        # What is on this machine is asked without the proxies that the environment names.
        host = urlsplit(base_url).hostname or ""
        self._proxies = {"no_proxy": host} if is_local(host) else {}
        self._headers = {**transport.HEADERS, **dict(headers), **key.headers}
        self._key = key
        self._waiting: queue.Queue[tuple[str, str | None, Callable[[Answer], None]] | None]
        self._waiting = queue.Queue(WAITING)
        self._closing = threading.Event()
        self._paused_until_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"rest-{name}", daemon=True)
        self._thread.start()

    def ask(self, path: str, body: str | None, answer: Callable[[Answer], None]) -> None:
        """Request `path`, by POST if there is a body; `answer` is called on this thread."""
        try:
            self._waiting.put_nowait((path, body, answer))
        except queue.Full:
            why = f"expected at most {WAITING} requests to wait, found more"
            answer(Answer(path, None, "fetch_failed", why))

    def close(self, timeout_s: float) -> None:
        """End the thread; what waits is not asked for any more."""
        self._closing.set()
        while not self._waiting.empty():
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with requests.Session() as session:
            session.headers.update(self._headers)
            # The environment tells proxies, but no login: `.netrc` is nobody's key of a venue.
            session.auth = _without_login
            while not self._closing.is_set():
                wanted = self._waiting.get()
                if wanted is None:
                    return
                path, body, answer = wanted
                left_s = self._paused_until_s - time.monotonic()
                if left_s > PATIENCE_S:
                    # Asking on would only make the ban longer.
                    why = f"the venue wants to be left in peace for {left_s:.0f} s"
                    answer(Answer(path, None, "", why))
                elif left_s <= 0 or not self._closing.wait(left_s):
                    answer(self._ask(session, path, body))

    def _ask(self, session: requests.Session, path: str, body: str | None) -> Answer:
        method, sent = ("GET", None) if body is None else ("POST", body.encode())
        kind = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with session.request(
                method,
                self._base_url + path,
                data=sent,
                headers=kind,
                timeout=TIMEOUT_S,
                stream=True,
                proxies=self._proxies,
            ) as response:
                content = response.raw.read(BODY_BYTES + 1, decode_content=True)
                if len(content) > BODY_BYTES:
                    why = f"expected at most {BODY_BYTES} bytes, found more"
                    return Answer(path, None, "fetch_failed", why)
                text = str(content, "utf-8", "replace")
                if response.ok:
                    return Answer(path, text)
                return self._refused(path, response, text)
        except (requests.RequestException, OSError) as error:
            # The text of a connection error names the address: query and key must not be in it.
            reason = type(error).__name__
            return Answer(path, None, "fetch_failed", f"expected an answer, found {reason}")

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
