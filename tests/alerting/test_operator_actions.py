"""What is active, acknowledged and muted: the fold over rows, and how one changes it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from support.collectors import statuses
from support.made_rows import batch_of, row
from support.receiver import Receiver
from support.running import DEADLINE_S, collector_of, until

from monitor.alerting.operator_actions import Alerting
from monitor.hooks.builtin.alerts import Hook
from monitor.processes.locks import Held
from monitor.rows.batches import Batch
from monitor.settings.configuration import rules_of
from monitor.state.active_alerts import MOST_ACTIVE, Alerts, Mute

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
HOUR_NS = 3600 * SECOND
Run = Callable[..., subprocess.Popen[str]]


def signal(at_s: float, text: str, level: str = "warn", **columns: Any) -> Batch:
    made = row("signal", 7, START + round(at_s * SECOND))
    named = {"venue": "kraken", "symbol": "BTC-USD", "hook": "alerts", "origin": "recorded"}
    return batch_of([("signal", made | named | {"level": level, "text": text} | columns)])


def status(at_s: float, kind: str, detail: str) -> Batch:
    made = row("status", 8, START + round(at_s * SECOND))
    named = {"venue": "monitor", "symbol": None, "scope": "feed", "state": "connected"}
    return batch_of([("status", made | named | {"kind": kind, "detail": detail})])


def folded(*batches: Batch) -> Alerts:
    alerts = Alerts()
    for batch in batches:
        alerts(batch)
    return alerts


def test_an_alert_is_active_until_its_end_is_told() -> None:
    fired = signal(1, "stale: 10 s, at or above 10", "alert")
    others = [
        signal(2, "stale: over, now 0.1 s", "info", symbol="ETH-USD"),
        signal(2, "wide: over", "info"),
        signal(2, "stale: over, now 0.1 s", "info", origin="recomputed"),
        signal(2, "stale: over, it seems", "info", hook="mine"),
        signal(2, "stale: 3 s, at or above 3", "info"),
    ]
    alerts = folded(fired, *others)
    (alert,) = alerts.active()
    assert (alert.rule, alert.where, alert.level) == ("stale", "kraken:BTC-USD", "alert")
    assert (alert.since_ns, alerts.ended()) == (START + SECOND, [])
    alerts(signal(3, "stale: over, now 0.1 s", "info"))
    assert alerts.active() == []
    assert [one.ended_ns for one in alerts.ended()] == [START + 3 * SECOND]


def test_the_oldest_go_when_too_many_are_active() -> None:
    every = [signal(n, "stale: 10 s", symbol=f"S{n}-USD") for n in range(MOST_ACTIVE + 2)]
    symbols = [alert.symbol for alert in folded(*every).active()]
    assert (len(symbols), symbols[0], symbols[-1]) == (1000, "S1001-USD", "S2-USD")


def test_what_people_did_is_read_from_the_rows() -> None:
    since = "2023-11-14T22:13:21.000000+00:00"
    alerts = folded(
        signal(1, "of a, by b: 10 s"),
        status(2, "acknowledged", f"of a, by b of kraken:BTC-USD, since {since}, by olga"),
        status(2, "muted", "wide of *, until unmuted, by vera"),
        status(2, "muted", "stale of kraken:A-B, until 2023-11-14T23:13:20.000000+00:00, by olga"),
        status(2, "muted", "stale of kraken:A-B, until never, by olga"),
        status(2, "muted", "nonsense"),
    )
    assert [(alert.rule, alert.by) for alert in alerts.active()] == [("of a, by b", "olga")]
    until_ns = START + HOUR_NS
    mutes = [Mute("wide", "*", None, "vera"), Mute("stale", "kraken:A-B", until_ns, "olga")]
    assert alerts.mutes(START) == mutes
    # It ends by itself, by the time of the rows.
    assert alerts.mutes(until_ns) == mutes[:1]
    alerts(status(3, "unmuted", "wide of *, by olga"))
    assert alerts.mutes(START) == mutes[1:]
    # It fires anew: nobody has seen that.
    alerts(signal(4, "of a, by b: 10 s"))
    assert [alert.by for alert in alerts.active()] == [""]


EVENTS = st.lists(
    st.tuples(st.sampled_from(("stale", "wide")), st.sampled_from(("A-B", "C-D")), st.booleans()),
    max_size=30,
)


@given(EVENTS, st.integers(0, 30), st.integers(0, 30))
def test_one_that_begins_late_knows_as_much(
    events: list[tuple[str, str, bool]], known: int, kept: int
) -> None:
    batches, expected = [], dict[tuple[str, str], int]()
    for at_s, (rule, symbol, fires) in enumerate(events):
        text = f"{rule}: 10 s" if fires else f"{rule}: over"
        batches.append(signal(at_s, text, "warn" if fires else "info", symbol=symbol))
        left = expected.get((rule, symbol), 0)
        expected[rule, symbol] = left + 1 if fires else max(0, left - 1)
    whole = folded(*batches)
    found = {(alert.rule, alert.symbol): alert.firings for alert in whole.active()}
    assert found == {key: count for key, count in expected.items() if count}
    # Another knew the first of them; of the rows that are still to be had some it knew.
    late = Alerts()
    late.seed(json.loads(json.dumps(folded(*batches[:known]).document())))
    for batch in batches[min(known, kept) :]:
        late(batch)
    assert (late.active(), late.ended()) == (whole.active(), whole.ended())


@given(
    st.sampled_from(("stale", "wide")),
    st.sampled_from(("kraken:BTC-USD", "kraken:ETH-USD", "*")),
    st.one_of(st.none(), st.integers(1, 600)),
    st.integers(0, 600),
)
def test_a_mute_leaves_out_its_rule_there_for_its_time(
    rule: str, place: str, seconds: int | None, at_s: int
) -> None:
    alerts = Alerts()
    until_ns = None if seconds is None else START + seconds * SECOND
    alerts.mute(Mute(rule, place, until_ns, "olga"))
    told = alerts.unmuted(signal(at_s, "stale: 10 s")["signal"]).num_rows
    other = alerts.unmuted(signal(at_s, "stale: 10 s", hook="mine")["signal"]).num_rows
    holds = seconds is None or at_s < seconds
    is_of_it = rule == "stale" and place in ("kraken:BTC-USD", "*")
    assert (told, other) == (int(not (holds and is_of_it)), 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            {"action": "fly"},
            "expected one of acknowledge, mute, unmute, save_rule, remove_rule, found 'fly'",
        ),
        ({"action": "unmute", "rule": "a", "where": "*"}, "expected a mute, found none of a of *"),
        ({"action": "unmute", "rule": "a:b", "where": "*"}, "expected the name of a rule, found"),
        ({"action": "unmute", "rule": "a", "where": "b c"}, "expected a place such as"),
        ({"action": "mute", "rule": "a", "where": "*", "seconds": 0}, "expected 1 to 604800"),
        (
            {"action": "mute", "rule": "a", "where": "*", "seconds": 9, "by": "a, by b"},
            "expected a name, found 'a, by b'",
        ),
        (
            {"action": "acknowledge", "rule": "a", "where": "*", "since": "x"},
            "expected an active alert, found that a of * is over",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, wanted: dict[str, Any], expected: str
) -> None:
    told: list[tuple[str, str]] = []
    alerting = Alerting(tmp_path, lambda *what: told.append(what))
    with pytest.raises(ValueError, match="expected") as raised:
        alerting.act(wanted, START)
    assert str(raised.value).startswith(expected)
    assert told == list(tmp_path.iterdir()) == []


def test_mutes_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    for text in ("{", '["a"]', '[{"rule": "a b", "where": "*", "until_ns": "soon", "by": ""}]'):
        (tmp_path / "mutes.json").write_text(text)
        Alerting(tmp_path, lambda *what: told.append(what)).restore(START)
    assert [kind for kind, _ in told] == ["mutes_unread"] * 3


def test_what_people_do_goes_through_the_collector_and_outlives_it(
    tmp_path: Path,
    background: Run,
    receiver: Receiver,
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f"""[[alerts]]
kind = "spread"
max_bps = 0.001
[[alerts]]
kind = "spread"
name = "wide"
max_bps = 0.001
[delivery]
webhooks = [{{ url = "{receiver.url}" }}]
"""
    )
    folder = tmp_path / "recordings"

    def ask(held: Held, **wanted: Any) -> requests.Response:
        token = {"Authorization": f"Bearer {held.token}"}
        url = f"http://{held.address}/alerts"
        if not wanted:
            return requests.get(url, headers=token, timeout=60)
        return requests.post(url, json=wanted, headers=token, timeout=60)

    first = background("record", "mock:BTC-USD", "--config", file)
    held = collector_of(folder)
    assert requests.get(f"http://{held.address}/alerts", timeout=60).status_code == 401
    until(lambda: len(ask(held).json()["active"]) == 2, "two alerts")
    until(lambda: len(receiver.taken) == 2, "both delivered")
    since = "1970-01-01T00:00:00.000000+00:00"
    late = ask(held, action="acknowledge", rule="wide", where="mock:BTC-USD", since=since)
    assert (late.status_code, "is over" in late.json()["error"]) == (400, True)
    muted = ask(held, action="mute", rule="wide", where="*", seconds=3600, by="olga").json()
    assert [(mute["rule"], mute["by"]) for mute in muted["mutes"]] == [("wide", "olga")]
    first.terminate()
    assert first.wait(DEADLINE_S) == 0
    before, receiver.taken = held.recording, []

    # The next collector's rule fires too, is recorded, and is not delivered.
    second = background("record", "mock:BTC-USD", "--config", file)
    held = until(lambda: _other(folder, held), "another collector")
    until(lambda: len(ask(held).json()["active"]) == 2, "two alerts")
    until(lambda: receiver.taken, "one that is delivered")
    second.terminate()
    assert second.wait(DEADLINE_S) == 0
    assert {text.partition(":")[0] for text in receiver.texts} == {"spread"}
    for name in (before, held.recording):
        (told,) = [r["detail"] for r in statuses(folder, name) if r["kind"] == "muted"]
        assert told.startswith("wide of *, until 2")
        assert told.endswith(", by olga")


def _other(folder: Path, before: Held) -> Held | None:
    held = collector_of(folder)
    return held if held.pid != before.pid else None


def quotes(*spreads_bps: float) -> list[Batch]:
    """A quote a second with these spreads, and one second more of clocks."""
    found, number = [], 0
    for at_s, bps in enumerate(spreads_bps):
        made = row("quote", number, START + at_s * SECOND)
        prices = {"bid": 100 - bps / 200, "ask": 100 + bps / 200, "origin": "native"}
        made |= prices | {"venue": "kraken", "symbol": "BTC-USD"}
        rows = [("quote", made)]
        for tenth in range(1, 10):
            number += 1
            rows.append(
                ("clock", row("clock", number, START + at_s * SECOND + tenth * SECOND // 10))
            )
        number += 1
        found.append(batch_of(rows))
    return found


def test_other_rules_hold_at_once_and_those_that_stay_know_what_they_knew() -> None:
    stays, goes = ({"kind": "spread", "max_bps": bps, "hold_s": 2.5} for bps in (10.0, 20.0))
    comes = {"kind": "spread", "name": "new", "max_bps": 30.0}
    hook = Hook(rules_of([stays, {**goes, "name": "old", "hold_s": 0}]), "recorded")
    state, told = hook.start(), []
    for at_s, batch in enumerate(quotes(50, 50, 50, 50)):
        if at_s == 2:
            hook.change(rules_of([comes, stays]))
        state, found = hook.step(state, batch)
        told += [row["text"] for row in found.to_pylist()] if found is not None else []
    assert told == [
        "old: 50 bps, at or above 20",
        "old: over, the rule was removed",
        "new: 50 bps, at or above 30",
        # It was so since before the other rules.
        "spread: 50 bps, at or above 10 for 2.5 s",
    ]


def test_rules_are_added_changed_and_removed_and_kept(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    heard: list[list[str]] = []
    fixed = rules_of([{"kind": "stale"}])
    alerting = Alerting(tmp_path, lambda *what: told.append(what), fixed)
    alerting.on_rules = lambda rules: heard.append([rule.title for rule in rules])

    def save(replaces: str = "", **rule: Any) -> None:
        wanted = {"action": "save_rule", "rule": rule, "replaces": replaces, "by": "olga"}
        alerting.act(wanted, START)

    save(kind="spread", max_bps=20)
    save(kind="crossed", name="x")
    save("spread", kind="spread", max_bps=30, name="wide")
    refused = [
        ({"kind": "stale", "age_s": 3}, "expected a name of its own, found another rule 'stale'"),
        ({"kind": "spread"}, "spread: Value error, expected max_bps or min_bps, found neither"),
        (
            {"kind": "stale", "name": "a:b"},
            "stale.name: Value error, expected a name without a colon",
        ),
        ({"kind": "stale", "age_s": -1}, "stale.age_s: Input should be greater than 0, found -1"),
    ]
    for rule, expected in refused:
        with pytest.raises(ValueError, match=r"expected|should") as raised:
            save(**rule)
        assert str(raised.value).startswith(expected)
    with pytest.raises(ValueError, match="expected a rule that was added here, found 'stale'"):
        alerting.act({"action": "remove_rule", "title": "stale"}, START)
    assert Alerting(tmp_path, lambda *what: None, fixed).rules == alerting.rules
    alerting.act({"action": "remove_rule", "title": "x"}, START)
    assert [" ".join(titles) for titles in heard] == [
        "stale spread",
        "stale spread x",
        "stale wide x",
        "stale wide",
    ]
    assert [detail for _, detail in told] == [
        "spread added, by olga",
        "x added, by olga",
        "spread became wide, by olga",
        "x removed, by operator",
    ]
    assert [one["is_fixed"] for one in alerting.described()] == [True, False]
    (tmp_path / "rules.json").write_text('[{"kind": "slow"}]')
    assert Alerting(tmp_path, lambda *what: told.append(what), fixed).rules == fixed
    assert told[-1][0] == "rules_unread"
