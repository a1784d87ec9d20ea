"""What each fault of the simulated exchange comes to in a recording, as a table in Markdown.

Run: .venv/bin/python tests/bench/fault_table.py [--venues binance,kraken] [--faults gap,reset]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.fault_proof import Proof, prove_answers, prove_handshakes, prove_lines, prove_messages
from support.fault_rules import CHECKED_BOOKS, is_out_of_order, stream
from support.faulty import POLLED, SUBGRAPH, VENUES

# Losses this far apart find each book good again: a venue is asked for one at growing intervals.
MESSAGE_EVERY_S, LINE_EVERY_S, ANSWER_EVERY_S, CHAIN_EVERY_S = 5, 12, 1.5, 4
STRIKES = 3
# Best quotes carry no number by which a lost one could be seen.
NUMBERED = "+trade+book"
MESSAGE_FAULTS = ("gap", "duplicate", "reorder", "corrupt", "slice", "fragment")
HTTP_FAULTS = ("http-429", "http-418", "http-451", "http-403")
HEADINGS = (
    *("fault", "venue", "injected", "recorded as", "as it must be", "books equal"),
    *("worst time to data (s)", "others disturbed"),
)
# With this seed the first nine connections are cut at their first request, no later ones.
FLAP_SEED = 657547

Prove = Callable[[Path, Sequence[str]], list[Proof]]


def main() -> int:
    """Print the table, and on standard error what is not as it must be; 1 if anything is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venues", default=",".join((*VENUES, *POLLED)), help="with commas")
    parser.add_argument("--faults", default="", help="with commas; all, if none is named")
    chosen = parser.parse_args()
    venues = chosen.venues.split(",")
    failed = 0
    print(_row(HEADINGS), _row(["---"] * len(HEADINGS)), sep="\n", flush=True)
    for name, (prove, concerned) in PROOFS.items():
        mine = [venue for venue in venues if venue in concerned]
        if not mine or (chosen.faults and name not in chosen.faults.split(",")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for proof in prove(Path(folder) / "recordings", mine):
                print(_row(cells(proof)), flush=True)
                failed += bool(proof.failures)
                for failure in proof.failures:
                    print(f"{name}, {proof.venue}: {failure}", file=sys.stderr, flush=True)
    return int(failed > 0)


def cells(proof: Proof) -> list[str]:
    kinds: Counter[str] = Counter()
    for (kind, _), count in proof.recorded.items():
        kinds[kind] += count
    equal, unequal, _ = proof.books
    return [
        proof.fault,
        proof.venue,
        str(proof.injected) + _streams(proof),
        ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing",
        "no" if proof.problems else "yes",
        f"{equal} of {equal + unequal}" if equal + unequal else "–",
        "–" if proof.worst_s is None else f"{proof.worst_s:.2f}",
        "–" if proof.disturbed is None else str(len(proof.disturbed)),
    ]


def _streams(proof: Proof) -> str:
    """Tell what the messages were that a fault befell, as far as it matters."""
    streams: Counter[str] = Counter()
    for strike in proof.done.strikes[proof.venue]:
        out_of_order = strike["fault"] != "reorder" or is_out_of_order(proof.venue, strike)
        name = stream(proof.venue, strike["message"]).channel
        streams[name if out_of_order else "past another stream"] += 1
    told = ", ".join(f"{count} {name}" for name, count in sorted(streams.items()))
    return f" ({told})" if told else ""


def _messages(fault: str) -> Prove:
    return lambda folder, venues: prove_messages(
        folder, [f"{fault}@{MESSAGE_EVERY_S}"], STRIKES, venues, NUMBERED
    )


def _lines(fault: str, strikes: int) -> Prove:
    return lambda folder, venues: prove_lines(folder, f"{fault}@{LINE_EVERY_S}", strikes, venues)


def _answers(fault: str) -> Prove:
    return lambda folder, venues: prove_answers(folder, f"{fault}@{ANSWER_EVERY_S}", 1, venues)


def _chain(fault: str, path: str = "") -> Prove:
    return lambda folder, venues: prove_answers(
        folder, f"{fault}@{CHAIN_EVERY_S}", STRIKES, venues, path
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# The proof of each fault and the venues that it concerns, in the order of the table.
PROOFS: dict[str, tuple[Prove, Sequence[str]]] = {
    **{fault: (_messages(fault), VENUES) for fault in MESSAGE_FAULTS},
    "crc": (_messages("crc"), CHECKED_BOOKS),
    "reset": (_lines("reset", 2), VENUES),
    "life": (_lines("life", 2), VENUES),
    "half-open": (_lines("half-open", 1), VENUES),
    "flap": (lambda folder, venues: prove_lines(folder, "flap:0.5", 1, venues, FLAP_SEED), VENUES),
    **{fault: (_answers(fault), (*VENUES, *POLLED)) for fault in HTTP_FAULTS},
    "head-back": (_chain("head-back"), ["uniswap"]),
    "graphql-error": (_chain("graphql-error", SUBGRAPH), ["uniswap"]),
    "tls": (prove_handshakes, (*VENUES, *POLLED)),
}


if __name__ == "__main__":
    sys.exit(main())
