"""Every fault of the simulated exchange against a real collector: told once, then made good.

`tests/bench/fault_table.py` runs the same proofs for longer, as a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from support.fault_proof import Proof, prove_answers, prove_lines, prove_messages
from support.fault_rules import BINANCE
from support.faulty import DATA, SUBGRAPH
from support.side_by_side import done, judging, side_by_side

__all__ = ["done"]

# The streams of most venues in which a lost message can be seen.
NUMBERED = "+trade+book"
# Venues of which every lost message of these streams shows.
PROVABLE = (*BINANCE, "coinbase")
# With this seed the first nine connections are cut at their first request, no later ones.
FLAP_SEED = 657547
# After so long without a frame a line is half open, and left.
HALF_OPEN_S = 25.0

RUNS: dict[str, Callable[[Path], list[Proof]]] = {
    # The longest first.
    "half-open": lambda folder: prove_lines(
        folder, "half-open@8", 1, ["kraken", "kraken-v1", "coinbase-exchange"]
    ),
    "reset": lambda folder: prove_lines(folder, "reset@8", 1),
    "gap": lambda folder: prove_messages(folder, ["gap@4"], 2, channels=NUMBERED),
    "corrupt": lambda folder: prove_messages(folder, ["corrupt@4"], 2, channels=NUMBERED),
    "numbers": lambda folder: prove_messages(
        folder, ["reorder@3", "duplicate@4"], 2, ["coinbase"], "+quote+book"
    ),
    "overtaken": lambda folder: prove_messages(
        folder,
        ["reorder@2"],
        3,
        [*BINANCE, "kraken", "coinbase-exchange"],
        "+trade",
        instruments=1,
    ),
    "duplicate": lambda folder: prove_messages(
        folder,
        ["duplicate@3", "slice@1", "fragment@1.3"],
        2,
        ["binance", "kraken", "kraken-v1", "coinbase-exchange", "finnhub"],
        NUMBERED,
    ),
    "crc": lambda folder: prove_messages(folder, ["crc@3"], 2, ["kraken", "kraken-v1"]),
    "life": lambda folder: prove_lines(folder, "life@12", 1),
    "flap": lambda folder: prove_lines(folder, "flap:0.5", 1, seed=FLAP_SEED),
    "http-429": lambda folder: prove_answers(
        folder, "http-429@4", 1, ["binance", "coinbase", "coinbase-exchange", "finnhub"]
    ),
    "http-418": lambda folder: prove_answers(
        folder, "http-418@4", 2, ["binance", "uniswap", "mock"]
    ),
    "head-back": lambda folder: prove_answers(folder, "head-back@3", 2, ["uniswap"]),
    "graphql-error": lambda folder: prove_answers(
        folder, "graphql-error@3", 2, ["uniswap"], SUBGRAPH
    ),
}
started = side_by_side(RUNS)


def failures(proofs: list[Proof]) -> dict[str, list[str]]:
    return {proof.venue: proof.failures for proof in proofs if proof.failures}


@judging("gap")
def test_a_lost_message_is_one_gap_and_hurts_no_other_instrument(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        # Elsewhere what was lost may be made good by the next message, or show by nothing.
        seen = sum(proof.count(kind) for kind in ("gap", "checksum", "crossed"))
        assert seen <= proof.injected
        assert seen >= 1 or proof.venue not in PROVABLE


@judging("corrupt")
def test_an_unreadable_message_is_told_verbatim_and_is_a_lost_one(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        told = proof.done.statuses(proof.venue, "undecodable")
        assert len(told) == proof.injected
        sent = [strike["message"] for strike in proof.done.strikes[proof.venue]]
        # What was left of each message stands at the end of its row, up to where it was cut.
        for row, message in zip(told, sent, strict=True):
            assert message.startswith(row["detail"].rpartition("): ")[2])


@judging("overtaken")
def test_a_message_that_the_next_one_overtook_is_a_gap_and_then_late(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        # The last of three may still have waited to be overtaken when the faults ended.
        assert proof.count("gap") == len(proof.done.strikes[proof.venue]) >= 2


@judging("numbers")
def test_where_all_messages_are_numbered_each_is_told_once_for_the_connection(
    done: list[Proof],
) -> None:
    assert failures(done) == {}
    (proof,) = done
    faults = Counter(strike["fault"] for strike in proof.done.strikes["coinbase"])
    assert proof.recorded["gap", None] == proof.recorded["late", None] == faults["reorder"]
    assert proof.recorded["duplicate", None] == faults["duplicate"]


@judging("duplicate")
def test_a_repeated_message_is_told_and_one_in_pieces_is_not(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        injected = proof.done.injected[proof.venue]
        assert min(injected["slice"], injected["fragment"]) >= 2
        assert {kind for kind, _ in proof.recorded} <= {"duplicate"}
        # Of others only trades are numbered, or nothing is.
        if proof.venue in PROVABLE:
            assert proof.count("duplicate") == injected["duplicate"]


@judging("crc")
def test_a_wrong_checksum_resynchronises_that_book_alone(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        assert proof.disturbed == []


@judging("reset")
def test_data_is_there_again_after_a_reset(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        assert proof.injected == proof.count("disconnected") >= 1
        # How soon is for the fault table to say: a machine may be busy with other things.
        assert proof.worst_s is not None


@judging("half-open")
def test_a_connection_without_a_sign_of_life_is_left_and_replaced(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        (row,) = proof.done.statuses(proof.venue, "half_open")
        before = [
            data["ts_recv"]
            for kind in DATA
            for data in proof.done.rows[kind]
            if data["venue"] == proof.venue and data["ts_recv"] < row["ts_recv"]
        ]
        silent_s = (row["ts_recv"] - max(before)) / 1e9
        assert silent_s > HALF_OPEN_S / 2


@judging("life", "flap")
def test_each_connection_that_is_ended_is_told_once(done: list[Proof]) -> None:
    assert failures(done) == {}
    for proof in done:
        if proof.fault == "life" and proof.venue in BINANCE:
            # It announces the end.
            assert (proof.count("disconnected"), proof.count("gap")) == (0, 0)
            assert proof.count("replaced") >= 1
        else:
            assert proof.count("disconnected") == proof.injected >= 1


@judging("http-429", "http-418")
def test_each_refused_request_is_told_once_as_what_it_is(done: list[Proof]) -> None:
    assert failures(done) == {}
    assert sum(proof.injected for proof in done) >= 1


@judging("head-back", "graphql-error")
def test_a_chain_that_goes_back_and_an_index_that_fails_are_told_each_time(
    done: list[Proof],
) -> None:
    assert failures(done) == {}
    (proof,) = done
    assert proof.recorded.total() == proof.injected >= 2
