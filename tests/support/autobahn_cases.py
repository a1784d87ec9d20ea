"""The Autobahn suite's client cases by number and name, their bytes made from RFC 6455."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from support.autobahn import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closing, frame

NORMAL, PROTOCOL, NOT_UTF8, TOO_BIG = 1000, 1002, 1007, 1009
HELLO = b"Hello, world!"
GREEK = "κ\u1f79σμε".encode()
MIXED = "Hello-µ@ßöäüàá-UTF-8!!".encode()
BYE = closing(NORMAL)

# What the suite has besides, and why it is not here.
LEFT_OUT = {
    "12": "permessage-deflate, all cases: the client does not offer the extension (RFC 7692, 5)",
    "13": "permessage-deflate with parameters, all cases: as above",
}


class Case(NamedTuple):
    """What the server sends, in pieces, and what a client is to make of it."""

    number: str
    name: str
    pieces: tuple[bytes, ...]
    messages: tuple[bytes, ...] = ()
    pongs: tuple[bytes, ...] = ()
    # The code of the closing frame that is due from the client; None: one without a code.
    code: int | None = NORMAL


def octets(*frames: bytes) -> tuple[bytes, ...]:
    return chopped(1, *frames)


def chopped(size: int, *frames: bytes) -> tuple[bytes, ...]:
    wire = b"".join(frames)
    return tuple(wire[at : at + size] for at in range(0, len(wire), size))


def at_once(*frames: bytes) -> tuple[bytes, ...]:
    return (b"".join(frames),)


def fragments(*payloads: bytes, opcode: int = TEXT) -> list[bytes]:
    """Frame the parts of one message."""
    last = len(payloads) - 1
    return [
        frame(payload, CONTINUATION if at else opcode, fin=at == last)
        for at, payload in enumerate(payloads)
    ]


def by_octet(text: bytes) -> list[bytes]:
    return fragments(*(bytes([byte]) for byte in text))


def framing() -> Iterator[Case]:
    for group, opcode, byte, kind in (1, TEXT, b"*", "text"), (2, BINARY, b"\xfe", "binary"):
        sizes = 0, 125, 126, 127, 128, 65535, 65536
        for at, size in enumerate(sizes, 1):
            pieces = frame(byte * size, opcode), BYE
            yield Case(f"1.{group}.{at}", f"{kind} of {size} bytes", pieces, (byte * size,))
        pieces = chopped(997, frame(byte * 65536, opcode), BYE)
        yield Case(f"1.{group}.8", f"{kind} of 65536 in 997s", pieces, (byte * 65536,))


def pings() -> Iterator[Case]:
    def answered(number: str, name: str, *payloads: bytes, by: int = 0) -> Case:
        sent = [*(frame(payload, PING) for payload in payloads), BYE]
        return Case(number, name, chopped(by, *sent) if by else tuple(sent), (), payloads)

    yield answered("2.1", "ping without payload", b"")
    yield answered("2.2", "ping with text", HELLO)
    yield answered("2.3", "ping with bytes", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")
    yield answered("2.4", "ping of 125 bytes", b"\xfe" * 125)
    pieces = frame(b"\xfe" * 126, PING), frame(HELLO)
    yield Case("2.5", "ping of 126 bytes", pieces, code=PROTOCOL)
    yield answered("2.6", "ping of 125 bytes by octet", b"\xfe" * 125, by=1)
    yield Case("2.7", "unsolicited pong", (frame(b"", PONG), BYE))
    yield Case("2.8", "unsolicited pong with payload", (frame(b"unsolicited", PONG), BYE))
    pieces = frame(b"unsolicited", PONG), frame(b"ping", PING), BYE
    yield Case("2.9", "unsolicited pong, then ping", pieces, (), (b"ping",))
    ten = [b"payload-%d" % at for at in range(10)]
    yield answered("2.10", "ten pings", *ten)
    yield answered("2.11", "ten pings by octet", *ten, by=1)


def reserved_bits() -> Iterator[Case]:
    bad, ping, hello = frame(HELLO, rsv=1), frame(b"", PING), frame(HELLO)
    yield Case("3.1", "bits 1 on text", (bad, ping), code=PROTOCOL)
    for number, rsv, cut in ("3.2", 2, at_once), ("3.3", 3, None), ("3.4", 4, octets):
        sent = hello, frame(HELLO, rsv=rsv), ping
        pieces = cut(*sent) if cut else sent
        yield Case(number, f"text, bits {rsv}, ping", pieces, (HELLO,), code=PROTOCOL)
    bad = frame(b"\x00\xff\xfe\xfd", BINARY, rsv=5)
    yield Case("3.5", "bits 5 on binary", (bad, ping), code=PROTOCOL)
    yield Case("3.6", "bits 6 on ping", (frame(HELLO, PING, rsv=6), ping), code=PROTOCOL)
    yield Case("3.7", "bits 7 on close", (frame(b"", CLOSE, rsv=7), ping), code=PROTOCOL)


def opcodes() -> Iterator[Case]:
    for group, first in (1, 3), (2, 11):
        for at in range(5):
            opcode, hello = first + at, (HELLO,) if at >= 2 else ()
            bad = frame(HELLO if at % 2 else b"", opcode)
            sent = (*map(frame, hello), bad, frame(b"", PING))
            pieces = octets(*sent) if at == 4 else sent
            name = f"reserved opcode {opcode}"
            yield Case(f"4.{group}.{at + 1}", name, pieces, hello, code=PROTOCOL)


def fragmentation() -> Iterator[Case]:
    for number, opcode, kind in ("5.1", PING, "ping"), ("5.2", PONG, "pong"):
        pieces = tuple(fragments(b"fragment1", b"fragment2", opcode=opcode))
        yield Case(number, f"{kind} in two fragments", pieces, code=PROTOCOL)
    first, second = fragments(b"fragment1", b"fragment2")
    whole, ping = b"fragment1fragment2", frame(b"ping", PING)
    cuts = (at_once, "at once"), (lambda *frames: frames, "by frame"), (octets, "by octet")
    for at, (cut, how) in enumerate(cuts):
        yield Case(f"5.{3 + at}", f"text in two {how}", cut(first, second, BYE), (whole,))
        pieces = cut(first, ping, second, BYE)
        yield Case(f"5.{6 + at}", f"ping between two {how}", pieces, (whole,), (b"ping",))
        for number, fin in (9 + at, True), (12 + at, False):
            stray = frame(b"non-continuation payload", CONTINUATION, fin=fin)
            name = f"stray continuation, fin {fin}, {how}"
            yield Case(f"5.{number}", name, cut(stray, frame(HELLO)), code=PROTOCOL)
    stray = frame(b"fragment3", CONTINUATION, fin=False)
    pieces = at_once(first, second, stray, frame(HELLO))
    yield Case("5.15", "stray continuation after a message", pieces, (whole,), code=PROTOCOL)
    for number, fin in ("5.16", False), ("5.17", True):
        stray = frame(b"fragment1", CONTINUATION, fin=fin)
        pieces = at_once(*[stray, *fragments(b"fragment2", b"fragment3")] * 2)
        yield Case(number, f"stray before a message, fin {fin}, twice", pieces, code=PROTOCOL)
    pieces = at_once(first, frame(b"fragment2"))
    yield Case("5.18", "text in two, both called text", pieces, code=PROTOCOL)
    one, two, *last = fragments(*(b"fragment%d" % at for at in range(1, 6)))
    whole = b"fragment1fragment2fragment3fragment4fragment5"
    pings = b"pongme 1!", b"pongme 2!"
    sent = one, two, frame(pings[0], PING), *last[:2], frame(pings[1], PING), last[2], BYE
    yield Case("5.19", "text in five, pings between", sent, (whole,), pings)
    yield Case("5.20", "the same at once", at_once(*sent), (whole,), pings)


def utf8() -> Iterator[Case]:
    def good(number: str, name: str, frames: list[bytes], text: bytes) -> Case:
        return Case(number, name, (*frames, BYE), (text,))

    def bad(number: str, name: str, frames: list[bytes]) -> Case:
        return Case(number, name, (*frames, frame(HELLO), BYE), code=NOT_UTF8)

    yield good("6.1.1", "empty text", [frame()], b"")
    yield good("6.1.2", "three empty fragments", fragments(b"", b"", b""), b"")
    yield good("6.1.3", "middle of three not empty", fragments(b"", b"middle", b""), b"middle")
    yield good("6.2.1", "text in one", [frame(MIXED)], MIXED)
    yield good("6.2.2", "text in two, cut at a character", fragments(MIXED[:12], MIXED[12:]), MIXED)
    yield good("6.2.3", "fragments of an octet", by_octet(MIXED), MIXED)
    yield good("6.2.4", "Greek in fragments of an octet", by_octet(GREEK), GREEK)
    broken = GREEK + b"\xed\xa0\x80edited"
    yield bad("6.3.1", "invalid text in one", [frame(broken)])
    yield bad("6.3.2", "invalid in fragments of an octet", by_octet(broken))
    # The RFC lets a client wait for the end of the message, as ours does.
    yield bad("6.4.1", "invalid in three", fragments(GREEK, b"\xf4\x90\x80\x80", b"edited"))
    cut_inside = fragments(GREEK + b"\xf4", b"\x90", b"\x80\x80edited")
    yield bad("6.4.2", "invalid, cut inside the character", cut_inside)
    for number, cut in ("6.4.3", len(GREEK) + 2), ("6.4.4", len(GREEK) + 3):
        wire = frame(GREEK + b"\xf4\x90\x80\x80edited")
        pieces = wire[:cut], wire[cut : cut + 2], wire[cut + 2 :]
        yield bad(number, f"invalid in pieces, the first of {cut}", list(pieces))
    for number, name, text in utf8_texts():
        try:
            text.decode()
        except UnicodeDecodeError:
            yield bad(number, name, [frame(text)])
        else:
            yield good(number, name, [frame(text)], text)


def utf8_texts() -> Iterator[tuple[str, str, bytes]]:
    """The suite's sections 6.5 to 6.23, which follow Markus Kuhn's UTF-8 stress test."""
    lonely = [(0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE)]
    cut_short = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
    surrogates = "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf"
    pairs = [high + low for high in surrogates.split()[:4] for low in ("edb080", "edbfbf")]
    planes = [chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)]
    sections: dict[int, tuple[str, list[bytes]]] = {
        5: ("valid", [MIXED, "hello$world¢€𤭢".encode(), GREEK, HELLO, b"\x7f"]),
        6: ("prefix of valid text", [GREEK[:end] for end in range(1, len(GREEK) + 1)]),
        7: ("first of a length", _hex("00 c280 e0a080 f0908080")),
        8: ("first of length 5 or 6", _hex("f888808080 fc8480808080")),
        9: ("last of a length", _hex("7f dfbf efbfbf f48fbfbf")),
        10: ("last of a length beyond Unicode", _hex("f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf")),
        11: ("boundary", _hex("ed9fbf ee8080 efbfbd f48fbfbf f4908080")),
        12: (
            "unexpected continuation",
            [*_hex("80 bf"), *((b"\x80\xbf" * 3)[:n] for n in range(2, 7)), bytes(range(128, 192))],
        ),
        13: ("lonely start", [b" ".join(bytes([b]) for b in range(*ends)) for ends in lonely]),
        14: ("last continuation missing", _hex(cut_short)),
        15: ("incomplete sequences", [bytes.fromhex(cut_short)]),
        16: ("impossible bytes", _hex("fe ff fefeffff")),
        17: ("overlong slash", _hex("c0af e080af f08080af f8808080af fc80808080af")),
        18: ("largest overlong", _hex("c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf")),
        19: ("overlong NUL", _hex("c080 e08080 f0808080 f880808080 fc8080808080")),
        20: ("single surrogate", _hex(surrogates)),
        21: ("surrogate pair", [bytes.fromhex(pair) for pair in pairs]),
        22: ("non-character", [text.encode() for text in planes]),
        23: ("special", [chr(0xFFF9 + at).encode() for at in range(7)]),
    }
    for section, (name, texts) in sections.items():
        for at, text in enumerate(texts, 1):
            yield f"6.{section}.{at}", f"{name}: {text[:8].hex()}", text


def _hex(words: str) -> list[bytes]:
    return [bytes.fromhex(word) for word in words.split()]


def closings() -> Iterator[Case]:
    hello, ping = frame(HELLO), frame(b"", PING)
    yield Case("7.1.1", "text, then close", (hello, BYE), (HELLO,))
    yield Case("7.1.2", "two closes", (BYE, BYE))
    yield Case("7.1.3", "ping after close", (BYE, ping))
    yield Case("7.1.4", "text after close", (BYE, hello))
    first, second = fragments(b"fragment1", b"fragment2")
    yield Case("7.1.5", "close inside a message", (first, BYE, second))
    big = b"*" * (256 << 10)
    yield Case("7.1.6", "256 KiB, close, ping", (frame(big), hello, BYE, ping), (big, HELLO))
    yield Case("7.3.1", "close without payload", (frame(b"", CLOSE),), code=None)
    yield Case("7.3.2", "close of one byte", (frame(b"a", CLOSE),), code=PROTOCOL)
    yield Case("7.3.3", "close with a code", (BYE,))
    yield Case("7.3.4", "close with a reason", (closing(NORMAL, HELLO),))
    yield Case("7.3.5", "close with the longest reason", (closing(NORMAL, b"*" * 123),))
    yield Case("7.3.6", "close with too long a reason", (closing(1000, b"*" * 124),), code=PROTOCOL)
    pieces = (closing(NORMAL, GREEK + b"\xed\xa0\x80edited"),)
    yield Case("7.5.1", "close with an invalid reason", pieces, code=NOT_UTF8)
    valid = 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999
    for at, code in enumerate(valid, 1):
        yield Case(f"7.7.{at}", f"close {code}", (closing(code),), code=code)
    invalid = 0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999
    for at, code in enumerate(invalid, 1):
        yield Case(f"7.9.{at}", f"close {code}", (closing(code),), code=PROTOCOL)
    for at, code in enumerate((5000, 65535), 1):
        yield Case(f"7.13.{at}", f"close {code}", (closing(code),), code=PROTOCOL)


def limits() -> Iterator[tuple[str, str, int, int, int, int, int]]:
    """Number, name, opcode, bytes of a message and of its fragments and pieces, messages."""
    kib, mib = 1 << 10, 1 << 20
    for even, opcode, kind in (0, TEXT, "text"), (1, BINARY, "binary"):
        sizes = 64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib
        for at, size in enumerate(sizes, 1):
            name = f"{kind} of {size >> 10} KiB"
            yield f"9.{1 + even}.{at}", name, opcode, size, size, size, 1
        parts = 64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib
        for at, part in enumerate(parts, 1):
            name = f"{kind} of 4 MiB in fragments of {part}"
            yield f"9.{3 + even}.{at}", name, opcode, 4 * mib, part, mib, 1
        for at, piece in enumerate((64, 128, 256, 512, kib, 2 * kib), 1):
            name = f"{kind} of 1 MiB in pieces of {piece}"
            yield f"9.{5 + even}.{at}", name, opcode, mib, mib, piece, 1
        for at, size in enumerate((0, 16, 64, 256, kib, 4 * kib), 1):
            name = f"1000 {kind}s of {size}"
            yield f"9.{7 + even}.{at}", name, opcode, size, max(size, 1), mib, 1000


def misc() -> Iterator[Case]:
    text = b"*" * 65536
    pieces = (*fragments(*chopped(1300, text)), BYE)
    yield Case("10.1.1", "65536 bytes in fragments of 1300", pieces, (text,))


def beyond_the_suite() -> Iterator[Case]:
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    yield Case("masked", "a masked frame (RFC 6455, 5.1)", (masked,), code=PROTOCOL)
    announced = bytes.fromhex("827f") + (1 << 63).to_bytes(8, "big")
    yield Case("2^63", "a frame of 2^63 bytes announced", (announced,), code=TOO_BIG)
    first = frame(HELLO, fin=False)
    rest = bytes.fromhex("807f") + (64 << 20).to_bytes(8, "big")
    yield Case("64 MiB", "fragments above 64 MiB announced", (first, rest), code=TOO_BIG)
    for code in 1012, 1013, 1014:
        yield Case(f"registered {code}", "a code of the registry", (closing(code),), code=code)
    # Bytes left unread when the client closes its socket would cost it the closing frame.
    pieces = frame(HELLO, opcode=3), *[frame(b"*" * (1 << 20))] * 4
    yield Case("unread", "much behind a failure", pieces, code=PROTOCOL)
    yield Case("1015", "a code that may not be sent", (closing(1015),), code=PROTOCOL)


TABLE = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *opcodes(),
    *fragmentation(),
    *utf8(),
    *closings(),
    *misc(),
    *beyond_the_suite(),
]
