"""What all venues write alike: decimals, times and WebSocket frames."""

from __future__ import annotations

import struct
import time

SECOND_NS = 1_000_000_000

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def decimal(number: int, places: int) -> str:
    """Write `number` units of 10^-places with all its places."""
    if not places:
        return str(number)
    digits = str(number)
    if len(digits) <= places:
        digits = digits.rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


def trimmed(number: int, places: int) -> str:
    """Write `number` units of 10^-places without trailing zeros."""
    text = decimal(number, places)
    return text.rstrip("0").rstrip(".") if places else text


def stamp(now_ns: int, digits: int = 6) -> str:
    """Write a time as RFC 3339, UTC, with so many digits of the second."""
    second, rest_ns = divmod(now_ns, SECOND_NS)
    fraction = f"{rest_ns:09d}"[:digits]
    return f"{_second(second)}.{fraction}Z"


def go_stamp(now_ns: int) -> str:
    """Write a time as Go does: nanoseconds, trailing zeros left out."""
    second, rest_ns = divmod(now_ns, SECOND_NS)
    fraction = f".{rest_ns:09d}".rstrip("0") if rest_ns else ""
    return f"{_second(second)}{fraction}Z"


_last_second = (-1, "")


def _second(second: int) -> str:
    # Thousands of stamps fall into one second: its text is kept.
    global _last_second  # noqa: PLW0603
    if _last_second[0] != second:
        _last_second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return _last_second[1]


def frame(payload: bytes, opcode: int = TEXT, fin: bool = True) -> bytes:
    """Frame a payload as a server does (RFC 6455, 5.2): unmasked."""
    first, size = (0x80 if fin else 0) | opcode, len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
