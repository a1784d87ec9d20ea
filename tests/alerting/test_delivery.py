"""Delivery to real receivers: one that answers, one that stalls, fails, hangs up and comes back."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.made_rows import MS, batch_of, row
from support.receiver import Receiver
from support.running import DEADLINE_S, until

from monitor.alerting.delivery import QUEUE, Delivery
from monitor.settings import configuration
from monitor.settings.configuration import DeliverySettings

START = 1_700_000_000_000_000_000
SECRET = "Bearer not-to-be-shown"


class Told:
    """The status rows that a delivery asks for."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int | None]] = []

    def __call__(self, kind: str, detail: str, count: int | None) -> None:
        self.rows.append((kind, detail, count))

    def has(self, kind: str, what: str = "") -> Callable[[], bool]:
        return lambda: any(row[0] == kind and what in row[1] for row in self.rows)


@pytest.fixture
def start(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., tuple[Delivery, Told]]]:
    """Start deliveries as the collector does; they are closed with the test."""
    running: list[Delivery] = []

    def make(is_well: Callable[[], bool] = lambda: True, **settings: Any) -> tuple[Delivery, Told]:
        told = Told()
        quick = {"log": False, "timeout_s": 0.3, "backoff_s": 0.01, "backoff_max_s": 0.05}
        written = DeliverySettings.model_validate({**quick, "retries": 2, **settings})
        running.append(Delivery(written, {"HOOK": SECRET, "PLAIN": "x"}, told, is_well))
        running[-1].start()
        return running[-1], told

    caplog.set_level(logging.INFO)
    yield make
    for delivery in running:
        delivery.close()
    assert not [t for t in threading.enumerate() if t.name == "delivery" and t.is_alive()]
    assert SECRET not in caplog.text


def signal(text: str, hook: str = "alerts") -> Any:
    made = row("signal", 7, START + 1500 * MS, 2.5)
    named = {"venue": "kraken", "symbol": "BTC-USD", "level": "warn", "text": text, "hook": hook}
    return batch_of([("signal", made | named)])


def test_a_signal_goes_out_as_json_with_the_secret_in_its_header(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    hook = {"url": receiver.url, "secret_env": "HOOK", "secret_header": "X-Key"}
    delivery, told = start(webhooks=[hook])
    delivery(signal("not asked for", hook="cross_venue"))
    delivery(signal("spread: 12 bps"))
    until(lambda: receiver.taken, "a signal")
    ((path, headers, body),) = receiver.taken
    assert (path, headers["X-Key"]) == ("/in/token-in-the-path", SECRET)
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "time": "2023-11-14T22:13:21.500000+00:00",
        "venue": "kraken",
        "symbol": "BTC-USD",
        "hook": "alerts",
        "level": "warn",
        "value": 2.5,
        "text": "spread: 12 bps",
        "cause_ord": 7,
    }
    assert told.rows == []


def test_a_running_collector_delivers_what_a_replay_finds_again(
    tmp_path: Path, receiver: Receiver, background: Callable[..., subprocess.Popen[str]]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f"""[[alerts]]
kind = "spread"
max_bps = 0.001
match = "mock:*"
severity = "alert"
[delivery]
webhooks = [{{ url = "{receiver.url}", secret_env = "HOOK" }}]
"""
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        running = background("record", "mock:BTC-USD", "--config", file)
    until(lambda: receiver.taken, "an alert")
    _, headers, body = receiver.taken[0]
    assert headers["Authorization"] == SECRET
    assert (body["venue"], body["symbol"], body["level"]) == ("mock", "BTC-USD", "alert")
    assert body["text"].startswith("spread: ")
    running.terminate()
    running.wait(DEADLINE_S)
    recordings = tmp_path / "recordings"
    (name,) = [item.name for item in recordings.iterdir() if item.is_dir()]
    command = [sys.executable, "-m", "monitor.cli", "replay", name, "--speed", "max"]
    command += ["--rules", str(file), "--recordings", str(recordings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f"{body['time']} alert mock:BTC-USD {body['text']}" in done.stdout.splitlines()
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("signals: ")]
    recorded, recomputed, equal = (int(part.split()[0]) for part in told[9:].split(", "))
    assert recorded == recomputed == equal > 0
    assert SECRET.encode() not in b"".join(
        part.read_bytes() for part in recordings.rglob("*.duckdb")
    )


@pytest.mark.parametrize(
    ("mood", "found"),
    [
        ("fails", "expected HTTP 2xx, found 500"),
        ("hangs up", "expected an answer, found ConnectionError"),
        ("stalls", "expected an answer, found ReadTimeout"),
    ],
)
def test_a_receiver_that_is_out_of_order_is_told_of_until_it_returns(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]], mood: str, found: str
) -> None:
    receiver.mood = mood
    delivery, told = start(webhooks=[{"url": receiver.url}])
    delivery(signal("first"))
    until(told.has("delivery_failed"), "a row of it")
    # It was asked once and twice again; the address, which may be a secret, is not told.
    assert receiver.asked >= 3
    name = f"webhook 127.0.0.1:{receiver.server_port}"
    assert told.rows == [("delivery_failed", f"{name}: {found}", 0)]
    receiver.mood = "well"
    receiver.released.set()
    delivery(signal("second"))
    delivery(signal("third"))
    until(told.has("delivery_recovered"), "its return")
    until(lambda: len(receiver.taken) == 3, "the signals")
    assert receiver.texts == ["first", "second", "third"]


def test_what_a_receiver_refuses_is_lost_and_told(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    receiver.mood = "refuses"
    delivery, told = start(webhooks=[{"url": receiver.url}])
    delivery(signal("first"))
    until(told.has("delivery_failed", "expected HTTP 2xx, found 404"), "a row of it")
    receiver.mood = "well"
    delivery(signal("second"))
    until(told.has("delivery_recovered"), "its return")
    assert (receiver.texts, [count for *_, count in told.rows]) == (["second"], [1, 0])


def test_a_failure_that_passes_loses_nothing(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    receiver.mood = "fails"
    delivery, told = start(webhooks=[{"url": receiver.url}], retries=20)
    for number in range(3):
        delivery(signal(f"no. {number}"))
    until(lambda: receiver.asked >= 3, "attempts")
    receiver.mood = "well"
    until(lambda: len(receiver.taken) == 3, "the signals")
    assert receiver.texts == ["no. 0", "no. 1", "no. 2"]
    assert told.rows == []


def test_a_stalled_receiver_delays_neither_the_flow_nor_others(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    receiver.mood = "stalls"
    with Receiver() as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            both = [{"url": receiver.url}, {"url": other.url}]
            delivery, told = start(webhooks=both, retries=0, backoff_max_s=0.5)
            delivery(signal("no. 0"))
            until(lambda: receiver.asked, "the first attempt")
            # While that attempt hangs, more come than may wait; no call waits for it.
            for number in range(1, QUEUE + 11):
                delivery(signal(f"no. {number}"))
            until(told.has("delivery_failed"), "a row of it")
            until(lambda: other.texts[-1:] == [f"no. {QUEUE + 10}"], "the newest, elsewhere")
            receiver.mood = "well"
            receiver.released.set()
            until(lambda: receiver.texts[-1:] == [f"no. {QUEUE + 10}"], "the newest")
        finally:
            other.shutdown()
            thread.join()
    # It lost the oldest eleven, which had no room, and nothing else.
    # A busy receiver may have taken one whose answer came too late: that one comes again.
    assert list(dict.fromkeys(receiver.texts)) == [f"no. {n}" for n in range(11, QUEUE + 11)]
    name = f"webhook 127.0.0.1:{receiver.server_port}"
    assert sum(count or 0 for _, detail, count in told.rows if detail.startswith(name)) == 11


def test_a_command_has_the_signal_on_its_input_and_no_secret_around_it(
    tmp_path: Path, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    out = tmp_path / "out"
    code = "import os, sys; print(sys.stdin.read(), *os.environ, file=open(sys.argv[1], 'w'))"
    hook = {"url": "http://127.0.0.1:1/", "secret_env": "HOOK"}
    command = [sys.executable, "-c", code, str(out)]
    delivery, told = start(command=command, command_limit_s=60, webhooks=[hook])
    delivery(signal("one; touch two"))
    until(lambda: out.exists() and out.read_text().endswith("\n"), "the command")
    told_of, environment = out.read_text().splitlines()
    assert json.loads(told_of)["text"] == "one; touch two"
    assert "PLAIN" in environment
    assert "HOOK" not in environment
    assert not told.has("delivery_failed", "command")()


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ([sys.executable, "-c", "raise SystemExit(3)"], "within 60 s, found 3"),
        (["/no/such/command"], "expected a command that runs, found No such file or directory"),
    ],
)
def test_a_command_that_fails_is_told_of(
    start: Callable[..., tuple[Delivery, Told]], command: list[str], found: str
) -> None:
    delivery, told = start(command=command, command_limit_s=60)
    delivery(signal("one"))
    until(told.has("delivery_failed", found), "a row of it")


def test_a_command_that_does_not_end_is_ended(
    start: Callable[..., tuple[Delivery, Told]],
) -> None:
    delivery, told = start(command=["sleep", "600"], command_limit_s=0.2)
    delivery(signal("one"))
    until(told.has("delivery_failed", "within 0.2 s, found -9"), "a row of it")


def test_a_ping_is_sent_only_while_all_is_well(
    receiver: Receiver, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    wells = iter((False, False, True, True))
    asked: list[bool] = []

    def is_well() -> bool:
        asked.append(next(wells, True))
        return asked[-1]

    _, told = start(is_well, ping_url=receiver.url, ping_every_s=0.05)
    until(lambda: len(receiver.taken) >= 2, "pings")
    assert asked[:3] == [False, False, True]
    assert receiver.asked <= len(asked) - 2
    receiver.mood = "fails"
    until(told.has("delivery_failed", "ping: expected HTTP 2xx, found 500"), "a row of it")
    receiver.mood = "well"
    until(told.has("delivery_recovered", "ping"), "its return")


def test_a_signal_is_one_line_of_the_log(
    start: Callable[..., tuple[Delivery, Told]], capsys: pytest.CaptureFixture[str]
) -> None:
    delivery, _ = start(log=True)
    delivery(signal("a\nforged\x1b[2J line"))
    delivery.close()
    assert capsys.readouterr().err == (
        "monitor: 2023-11-14T22:13:21.500000+00:00 warn kraken:BTC-USD a�forged�[2J line\n"
    )


def test_what_is_wrong_in_the_settings_is_told_without_its_secrets(
    tmp_path: Path, start: Callable[..., tuple[Delivery, Told]]
) -> None:
    file = tmp_path / "config.toml"
    for wrong in ('webhooks = [{ url = "ftp://a/token" }]', 'ping_url = "a/token"'):
        file.write_text(f"[delivery]\n{wrong}\n")
        with pytest.raises(ValueError, match="expected an http:// or https:// URL") as raised:
            configuration.load(file)
        assert "token" not in str(raised.value)
    with pytest.raises(ValueError, match="in the environment as ABSENT, found none"):
        start(webhooks=[{"url": "http://127.0.0.1:1/", "secret_env": "ABSENT"}])
