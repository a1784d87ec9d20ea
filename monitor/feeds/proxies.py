"""HTTP and SOCKS proxies to venues from the environment, and the hosts it excepts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

# The schemes of proxies, and the port of an address that names none. With `socks5h` and `socks4a`
# the proxy looks the venue's name up.
PORTS = {"http": 80, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


class Proxy(NamedTuple):
    """A proxy; its text has no credentials."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "" if self.scheme == "http" else f"{self.scheme}://"
        return f"{scheme}{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address with the credentials: not to be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = "" if self.login is None else ":".join(quote(part, "") for part in self.login) + "@"
        return f"{self.scheme}://{login}{host}:{self.port}"


def proxy(
    host: str, port: int, is_secure: bool, environment: Mapping[str, str] = os.environ
) -> Proxy | None:
    """Return the proxy for a host, or None; ValueError for an invalid proxy.

    `https_proxy` (or `http_proxy` for plain text) counts before `all_proxy`, small letters before
    capitals.
    """
    variable = _named("https" if is_secure else "http", environment)
    if variable is None or _is_excepted(host.lower(), port, environment):
        return None
    return _read(variable, environment[variable].strip())


def _named(scheme: str, environment: Mapping[str, str]) -> str | None:
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if variable in environment:
                if environment[variable].strip():
                    return variable
                # An empty lower-case variable means no proxy, whatever the upper-case one says.
                break
    return None


def _read(variable: str, text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise _wrong(variable, "another text") from None
    if parts.scheme not in PORTS:
        raise _wrong(variable, f"the scheme {parts.scheme}://")
    if not parts.hostname or port == 0 or parts.path not in ("", "/"):
        raise _wrong(variable, "no host" if not parts.hostname else "another text")
    return Proxy(parts.scheme, parts.hostname, port or PORTS[parts.scheme], _login(parts))


def _login(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _wrong(variable: str, found: str) -> ValueError:
    schemes = ", ".join(f"{scheme}://" for scheme in PORTS)
    return ValueError(f"expected in {variable} the URL of a proxy ({schemes}), found {found}")


def _is_excepted(host: str, port: int, environment: Mapping[str, str]) -> bool:
    written = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    entries = written.replace(",", " ").lower().split()
    return any(_fits(entry, host.rstrip("."), port) for entry in entries)


def _fits(entry: str, host: str, port: int) -> bool:
    """Return whether an entry is `*` or matches the host by name, suffix, address or network."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    # An IPv6 address has colons of its own.
    if colon and number.isdecimal() and (name.endswith("]") or ":" not in name):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        suffix = entry.removeprefix("*").lstrip(".")
        is_below = bool(suffix) and host.endswith(f".{suffix}")
        return is_below or (host == suffix and not entry.startswith("*"))
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False
