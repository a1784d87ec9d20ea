"""The WebSocket client against RFC 6455: the Autobahn client cases over real sockets."""

from __future__ import annotations

import re
import struct
from collections import Counter

import pytest
from support.autobahn import CLOSE, Heard, Told, converse
from support.autobahn_cases import BYE, LEFT_OUT, NORMAL, TABLE, Case, chopped, fragments, limits

# The suite's cases without compression, per category: 301 of its 517.
SUITE = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}


def check(heard: Heard, told: Told, case: Case) -> None:
    assert told.messages == [message.decode("utf-8", "replace") for message in case.messages]
    assert heard.pongs == list(case.pongs)
    # One closing frame, and nothing after it.
    assert heard.closes == [b"" if case.code is None else struct.pack("!H", case.code)]
    assert heard.last == CLOSE


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.number} {case.name}")
def test_a_case_is_met(case: Case) -> None:
    heard, told = converse(case.pieces)
    check(heard, told, case)
    why = told.detail("disconnected", "stopped")
    assert why.startswith(("expected ", "the venue closed the connection: "))


@pytest.mark.parametrize("limit", list(limits()), ids=lambda limit: f"{limit[0]} {limit[1]}")
def test_a_large_message_comes_whole(limit: tuple[str, str, int, int, int, int, int]) -> None:
    number, name, opcode, size, part, piece, count = limit
    payload = b"*" * size
    wire = fragments(*(chopped(part, payload) or (b"",)), opcode=opcode) * count
    case = Case(number, name, chopped(piece, *wire, BYE), (payload,) * count, code=NORMAL)
    check(*converse(case.pieces), case)


def test_no_case_of_the_suite_is_left_out_but_those_named() -> None:
    numbers = [case.number for case in TABLE] + [limit[0] for limit in limits()]
    numbers = [number for number in numbers if re.fullmatch(r"\d+(\.\d+)+", number)]
    assert len(set(numbers)) == len(numbers)
    assert Counter(number.split(".")[0] for number in numbers) == SUITE
    assert not SUITE.keys() & LEFT_OUT.keys()


def test_text_that_is_not_utf8_is_told() -> None:
    (case,) = (case for case in TABLE if case.number == "6.3.1")
    _, told = converse(case.pieces)
    detail = told.detail("undecodable")
    assert detail.startswith("expected UTF-8 text, found other bytes from byte 11 on: κ\u1f79σμε")
