"""Check an address step by step: name, port, certificate."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from monitor.feeds import proxies
from monitor.feeds.proxies import Proxy

# Each step has at least this long, and says so if it was too short.
LEAST_S = 0.05
PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


class Place(NamedTuple):
    """The printable part of a URL: without path, query and credentials."""

    host: str
    port: int
    is_secure: bool


class Address(NamedTuple):
    """An address of a host, for the system's sockets."""

    family: socket.AddressFamily
    to: tuple[Any, ...]

    def __str__(self) -> str:
        return str(self.to[0])


def place(url: str) -> Place:
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    return Place(parts.hostname or "", parts.port or PORTS[parts.scheme], secure)


def is_local(host: str) -> bool:
    """Return whether a host is this machine, however it is written: no proxy leads to it."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if address is None:
        return False
    return address.is_loopback or address.is_unspecified or _is_own(address)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also in the resolver's short forms, such as `127.1`."""
    try:
        address = ip_address(name)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(name))
        except (OSError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an interface of this machine has an address: only such can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def proxy(at: Place) -> Proxy | None:
    """Return the environment's proxy for a host, or None.

    ValueError says in one line what is wrong with it.
    """
    return None if is_local(at.host) else proxies.proxy(*at)


def resolve(at: Place, limit_s: float) -> list[Address]:
    """Resolve a host; OSError says what was found instead of an address."""
    found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
            found.put([Address(family, to) for family, _, _, _, to in infos])
        except (OSError, UnicodeError) as error:
            # A name with an empty or overlong label is not looked up.
            found.put(error if isinstance(error, OSError) else OSError(str(error)))

    # The system's resolver cannot be interrupted: the waiting thread gives up instead.
    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        answer = found.get(timeout=limit_s)
    except RuntimeError as error:
        raise OSError(f"expected a thread to look {at.host} up, found: {error}") from None
    except queue.Empty:
        raise OSError(
            f"expected an address of {at.host} within {limit_s:.1f} s, found none"
        ) from None
    if isinstance(answer, OSError):
        raise OSError(f"expected an address of {at.host}, found: {_reason(answer)}") from None
    return answer


def connect(at: Place, addresses: list[Address], limit_s: float) -> socket.socket:
    """Connect to the first address that answers; OSError gives the last one's error."""
    deadline_s = time.monotonic() + limit_s
    reason = f"no answer within {limit_s:.1f} s"
    for address in addresses:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left_s)
            sock.connect(address.to)
            return sock
        except TimeoutError:
            sock.close()
        except OSError as error:
            sock.close()
            reason = _reason(error)
    raise OSError(f"expected an open port {at.port} on {at.host}, found: {reason}")


def secure(at: Place, sock: socket.socket, limit_s: float) -> str:
    """Make a TLS handshake and describe protocol and certificate; OSError says what is wrong."""
    sock.settimeout(limit_s)
    # As strict as the transport: a stricter check would refuse working connections.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    try:
        with context.wrap_socket(sock, server_hostname=at.host) as line:
            return f"{line.version()}, {_described(line.getpeercert() or {})}"
    except ssl.SSLCertVerificationError as error:
        found = error.verify_message.rstrip(".")
        raise OSError(f"expected a certificate for {at.host}, found: {found}") from None
    except TimeoutError:
        found = f"no answer within {limit_s:.1f} s"
        raise OSError(f"expected TLS from {at.host}:{at.port}, found: {found}") from None
    except OSError as error:
        raise OSError(f"expected TLS from {at.host}:{at.port}, found: {_reason(error)}") from None


def trouble(url: str, limit_s: float) -> str | None:
    """Return what prevents a connection to a URL, None if nothing below HTTP does."""
    at, until_s = place(url), time.monotonic() + limit_s

    def left_s() -> float:
        return max(LEAST_S, until_s - time.monotonic())

    if proxy(at):
        return None
    try:
        with connect(at, resolve(at, left_s()), left_s()) as sock:
            if at.is_secure:
                secure(at, sock, left_s())
    except OSError as error:
        return str(error)
    return None


def _described(certificate: dict[str, Any]) -> str:
    subject, issuer = (
        {name: value for part in certificate.get(role, ()) for name, value in part}
        for role in ("subject", "issuer")
    )
    names = [value for _, value in certificate.get("subjectAltName", ())]
    holder = subject.get("commonName") or next(iter(names), "nobody")
    signer = issuer.get("organizationName") or issuer.get("commonName", "nobody")
    ends_s = ssl.cert_time_to_seconds(certificate["notAfter"])
    ends = datetime.fromtimestamp(ends_s, UTC).date().isoformat()
    return f"certificate of {holder} by {signer}, valid until {ends}"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or str(error) or type(error).__name__
