"""HTTP answers that must be whole within a time, however slowly a venue sends them.

The timeout of an HTTP client is that of each read: a venue that sends one byte a second never
exceeds it.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from requests.adapters import HTTPAdapter

from monitor.processes import is_usable

WITHOUT = "the time of a venue's answer by REST is not bounded"


class TimedAnswers(HTTPAdapter):
    """Sends requests whose answers raise TimeoutError if they are not whole after `within_s`."""

    def __init__(self, within_s: float) -> None:
        super().__init__()
        self._within_s = within_s

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        # Those of HTTP and SOCKS proxies are made by other classes.
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        made_by = getattr(pool, "ConnectionCls", object)
        is_known = issubclass(made_by, http.client.HTTPConnection)
        if not is_usable("urllib3's ConnectionPool.ConnectionCls", is_known, WITHOUT):
            return pool
        if not issubclass(made_by, _Connection):
            names = {"within_s": self._within_s}
            pool.ConnectionCls = type("TimedConnection", (_Connection, made_by), names)
        return pool


class _Connection:
    """Tells each answer how long it may take."""

    within_s: float
    sock: Any

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(sock, *args, **kwargs)
        is_known = isinstance(getattr(answer, "fp", None), io.BufferedReader)
        if is_usable("http.client's HTTPResponse.fp", is_known, WITHOUT):
            answer.fp = io.BufferedReader(_Timed(sock, answer.fp.detach(), self.within_s))
        return answer


class _Timed(io.RawIOBase):
    """What is read from a socket until a time is over."""

    def __init__(self, sock: Any, unbounded: Any, within_s: float) -> None:
        super().__init__()
        self._sock, self._unbounded, self._within_s = sock, unbounded, within_s
        self._timeout_s = sock.gettimeout()
        self._deadline_s = time.monotonic() + within_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the whole answer within {self._within_s:g} s")
        self._sock.settimeout(min(left_s, self._timeout_s or left_s))
        read: int | None = self._unbounded.readinto(buffer)
        return read

    def close(self) -> None:
        self._unbounded.close()
        super().close()
