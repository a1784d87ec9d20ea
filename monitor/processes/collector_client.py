"""The client of the collector's HTTP port, for other processes on this machine.

It ignores proxies and `.netrc`: the token must not leave the machine.
"""

from __future__ import annotations

import http.client
from typing import Any

import requests

from monitor.processes.locks import Held

TIMEOUT_S = 10.0
# Errors of a request.
ERRORS = (requests.RequestException,)


def request(
    held: Held,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> requests.Response:
    """Send a request with the token; raise one of `ERRORS` without an answer."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            f"http://{held.address}{path}",
            json=body,
            headers=_headers(held),
            timeout=timeout_s,
            allow_redirects=False,
        )


def tail(held: Held, leads_to_now: bool = False) -> http.client.HTTPConnection:
    """Connect and request the stream of rows; see `collector.publisher.Stream`. Raise OSError."""
    connection = http.client.HTTPConnection(held.address, timeout=TIMEOUT_S)
    path = "/tail?now=1" if leads_to_now else "/tail"
    connection.request("GET", path, headers=_headers(held))
    return connection


def _headers(held: Held) -> dict[str, str]:
    return {"Authorization": f"Bearer {held.token}"}
