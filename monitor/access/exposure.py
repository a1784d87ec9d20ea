"""Who can reach the page at an address: refuse unsafe settings and describe the rest."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from monitor.access.users import User
from monitor.settings import PageSettings, is_loopback

SECRET_VARIABLE = "MONITOR_COOKIE_SECRET"
MIN_SECRET_CHARS = 32
HOW = f"[page] cookie_secret or {SECRET_VARIABLE}"


class Exposure(NamedTuple):
    """Who can reach the page's server; `hosts` are names besides numeric addresses."""

    address: str
    port: int
    hosts: frozenset[str]
    users: Mapping[str, User]
    cookie_secret: str | None
    certificate: tuple[Path, Path] | None
    is_behind_proxy: bool

    @property
    def is_local(self) -> bool:
        return is_loopback(self.address) and not self.is_behind_proxy

    @property
    def host(self) -> str:
        """The address as it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def url(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://{self.host}:{self.port}"

    def is_host(self, name: str) -> bool:
        """Return whether a request for this host is meant for this server.

        DNS rebinding: a foreign page can let its own name resolve to this address, but then
        requests that name; a numeric address is safe.
        """
        bare = name.strip("[]").lower()
        if bare in self.hosts or is_loopback(bare):
            return True
        try:
            ip_address(bare)
        except ValueError:
            return False
        return not self.is_local


class Finding(NamedTuple):
    """One finding of the self-check: whether it is good, and why."""

    name: str
    is_well: bool
    text: str


def expose(
    page: PageSettings,
    secret: str | None,
    address: str,
    port: int,
    certificate: tuple[Path, Path] | None,
) -> Exposure:
    """Check the requested exposure; ValueError says in one line what is missing.

    `secret` is the environment's, which has priority over the file's.
    """
    if secret is None and page.cookie_secret is not None:
        secret = page.cookie_secret.get_secret_value()
    users = {
        name: User(user.password_hash.get_secret_value(), user.role)
        for name, user in page.users.items()
    }
    is_local = is_loopback(address) and not page.behind_proxy
    if not users and not is_local:
        place = f"{address!r} behind a proxy" if page.behind_proxy else repr(address)
        raise ValueError(
            "expected a loopback address, or users to log in ([page.users.NAME]) and a cookie "
            f"secret ({HOW}), found {place} without users"
        )
    found = f"{len(secret)} characters" if secret else "none"
    if users and (secret is None or len(secret) < MIN_SECRET_CHARS):
        raise ValueError(
            f"expected a cookie secret of at least {MIN_SECRET_CHARS} characters ({HOW}) for the "
            f"users to log in, found {found}"
        )
    for file in certificate or ():
        if not file.is_file():
            raise ValueError(f"expected a file in PEM, found no file {file}")
    names = set() if is_local else {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Exposure(
        address,
        port,
        frozenset(names | {host.lower() for host in page.hosts}),
        users,
        secret if users else None,
        certificate,
        page.behind_proxy,
    )


def check(exposure: Exposure, headers: Mapping[str, Any]) -> list[Finding]:
    """Check who can reach the server; `headers` are those of every page."""
    named = ", ".join(sorted(exposure.hosts)) or "no further names"
    roles = [user.role for user in exposure.users.values()]
    is_secure = exposure.certificate is not None or exposure.is_behind_proxy
    needed = ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options")
    missing = [name for name in needed if name not in headers]
    if exposure.is_local:
        reach = "only programs on this machine reach it"
        users = "nobody logs in: everybody on this machine may act"
        plain = "not needed on a loopback address"
    else:
        reach = "other machines reach it"
        users = "nobody logs in"
        plain = "passwords and pages cross the network in plain text: give --tls-cert and --tls-key"
    told = f"{roles.count('operator')} may act, {roles.count('viewer')} may only look"
    secret = "none needed: nobody logs in"
    if exposure.cookie_secret:
        secret = f"{len(exposure.cookie_secret)} characters sign the login cookies"
    by = "a proxy's" if exposure.is_behind_proxy else "its own"
    return [
        Finding("Address", True, f"{exposure.url}: {reach}"),
        Finding("Users", bool(roles) or exposure.is_local, told if roles else users),
        Finding("TLS", is_secure or exposure.is_local, f"{by} certificate" if is_secure else plain),
        Finding("Cookie secret", True, secret),
        Finding("Hosts and origins", True, f"its address and {named}; all others are refused"),
        Finding(
            "Headers",
            not missing,
            f"missing: {', '.join(missing)}" if missing else f"{', '.join(headers)} on every page",
        ),
    ]
