"""A user's own hooks: loaded by name, left out when they fail, and run again over a recording."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.made_rows import MS, batch_of, ignore, record, row
from support.running import ROOT, collector_of, until

from monitor.graph.pipeline import Graph
from monitor.hooks import builtin, user_hooks
from monitor.recordings.recorder import Recorder
from monitor.rows.batches import Batch
from monitor.settings.configuration import Settings

START = 1_700_000_000_000_000_000
ALERTS = (ROOT / "monitor" / "docs" / "alerts.md").read_text(encoding="utf-8")
(LARGE,) = re.findall(r"```python\n(.*?)```", ALERTS, re.DOTALL)
BROKEN = """class Hook:
    def start(self):
        return 0

    def step(self, state, batch):
        raise KeyError("no such thing")
"""


def trade(number: int, price: float, size: float) -> tuple[str, dict[str, Any]]:
    made = row("trade", number, START + number * 1000 * MS)
    made |= {"venue": "kraken", "symbol": "BTC-USD", "price": price, "size": size}
    return "trade", made | {"conditions": None}


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_folder_gives_hooks_and_a_line_for_each_that_fails(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "own",
        large=LARGE,
        wrong="import nothing_of_this_name\n",
        empty="",
        garbled="def",
        alerts=LARGE,
    )
    own = user_hooks.load(folder, "recorded")
    assert [hook.name for hook in own.hooks] == ["large"]
    assert [line.split(": ")[:2] for line in own.troubles] == [
        ["alerts.py", "expected a name of its own, found a built-in hook's"],
        ["empty.py", "TypeError"],
        ["garbled.py", "SyntaxError"],
        ["wrong.py", "ModuleNotFoundError"],
    ]
    seen: list[Batch] = []
    graph = Graph({"sink": seen.append}, own.hooks)
    graph.emit(batch_of([trade(0, 100.0, 2000.0), trade(1, 100.0, 1.0), trade(2, 50.0, 4000.0)]))
    graph.emit(batch_of([trade(3, 1.0, 1.0), trade(4, 400_000.0, 1.0)]))
    told = [signal for batch in seen for signal in batch["signal"].to_pylist()]
    names = ("cause_ord", "venue", "hook", "value", "text", "origin")
    assert [tuple(signal[name] for name in names) for signal in told] == [
        (0, "kraken", "large", 100.0, "large trade no. 1", "recorded"),
        (2, "kraken", "large", 50.0, "large trade no. 2", "recorded"),
        (4, "kraken", "large", 400_000.0, "large trade no. 3", "recorded"),
    ]


def test_a_file_that_does_not_end_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_hooks, "LOAD_S", 0.3)
    endless = "import threading\n\nthreading.Event().wait()\n"
    own = user_hooks.load(write(tmp_path / "own", endless=endless, large=LARGE), "recorded")
    assert [hook.name for hook in own.hooks] == ["large"]
    assert own.troubles == [
        "endless.py: TimeoutError: expected to be loaded within 0.3 s, found it was not"
    ]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    own = user_hooks.load(tmp_path / "none", "recorded")
    assert own.troubles == [f"expected a folder of hooks, found no folder {tmp_path / 'none'}"]


@pytest.mark.parametrize(("step_s", "taken"), [(1, 1), (20, 0)])
def test_five_failures_within_a_minute_of_rows_end_a_hook(
    tmp_path: Path, step_s: int, taken: int
) -> None:
    folder = write(tmp_path / "own", broken=BROKEN, large=LARGE)
    seen: list[Batch] = []
    told: list[tuple[str, str]] = []
    own = user_hooks.load(folder, "recorded")
    graph = Graph({"sink": seen.append}, own.hooks, lambda *words: told.append(words))
    for number in range(8):
        graph.emit(batch_of([trade(number * step_s, 100.0, 2000.0)]))
    why = "failed 5 times in a minute: KeyError: 'no such thing'"
    assert told == [("broken", why)] * taken
    assert graph.counters()["broken"].errors == (5 if taken else 8)
    # Its neighbour and the sinks saw every batch.
    assert sum(batch["trade"].num_rows for batch in seen) == 8
    assert sum(batch["signal"].num_rows for batch in seen) == 8


def test_a_live_step_that_takes_too_long_or_gives_other_rows_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LARGE.replace("signals(large", "(lambda *_: large)(large")
    folder = write(tmp_path / "own", large=LARGE, other=other)
    batch = batch_of([trade(0, 100.0, 2000.0)])

    def errors(origin: str) -> dict[str, int]:
        graph = Graph({}, user_hooks.load(folder, origin).hooks)
        graph.emit(batch)
        return {name: count.errors for name, count in graph.counters().items()}

    assert errors("recorded") == {"large": 0, "other": 1}
    # However quick a step is, it takes longer than that.
    monkeypatch.setattr(user_hooks, "STEP_S", -1.0)
    assert errors("recorded") == {"large": 1, "other": 1}
    # A replay waits: what it gives must not depend on the machine.
    assert errors("recomputed") == {"large": 0, "other": 1}


def test_hooks_come_and_go(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", large=LARGE)
    seen: list[Batch] = []
    graph = Graph({"sink": seen.append}, user_hooks.load(folder, "recorded").hooks)
    graph.emit(batch_of([trade(0, 100.0, 2000.0)]))
    graph.remove("large")
    graph.emit(batch_of([trade(1, 100.0, 2000.0)]))
    (again,) = user_hooks.load(write(folder, large=LARGE.replace("large trade", "big")), "x").hooks
    graph.add(again)
    with pytest.raises(ValueError, match="found the hook 'large' twice"):
        graph.add(again)
    graph.emit(batch_of([trade(2, 100.0, 2000.0)]))
    texts = [text for batch in seen for text in batch["signal"]["text"].to_pylist()]
    assert texts == ["large trade no. 1", "big no. 1"]


def test_a_replay_prints_what_rules_would_have_told_at_every_speed(tmp_path: Path) -> None:
    rows = []
    for number in range(40):
        made = row("quote", number, START + number * 100 * MS) | {"origin": "native", "flags": 0}
        bid = 100.0 if number in range(10, 20) else 99.0
        rows.append(
            ("quote", made | {"venue": "kraken", "symbol": "BTC-USD", "bid": bid, "ask": 100.0})
        )
    record(tmp_path / "a", [batch_of(rows)])
    rules = tmp_path / "rules.toml"
    rules.write_text('[[alerts]]\nkind = "crossed"\nname = "locked"\nhold_s = 0.5\n')
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--recordings", str(tmp_path)]
    for speed in ("max", "100"):
        done = subprocess.run(
            [*command, "--rules", str(rules), "--speed", speed],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        # The first quote of the locked second is seen at the next tenth of a second.
        assert done.stdout.splitlines() == [
            "2023-11-14T22:13:21.600000+00:00 warn kraken:BTC-USD"
            " locked: 0 bps, at or above 0 for 0.5 s",
            "2023-11-14T22:13:22.200000+00:00 info kraken:BTC-USD locked: over, now -100.503 bps",
            "2 signals of alert rules",
        ]
    rules.write_text("")
    done = subprocess.run(
        [*command, "--rules", str(rules)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"monitor: expected at least one [[alerts]] in {rules}, found none\n"


def test_a_replay_gives_the_signals_of_the_live_run(tmp_path: Path) -> None:
    rules = Settings(alerts=[{"kind": "crossed", "cooldown_s": 0}]).alerts
    folder = write(tmp_path / "own", large=LARGE)
    recorder = Recorder(tmp_path / "a", ["test:X"], ignore)
    recorder.start()
    every = [
        *builtin.load(Settings().hooks, "recorded", rules),
        *user_hooks.load(folder, "recorded").hooks,
    ]
    graph = Graph({"recorder": recorder}, every)
    for number in range(0, 60, 3):
        made = row("quote", number + 1, START + number * 1000 * MS) | {
            "origin": "native",
            "flags": 0,
        }
        quote = made | {"bid": 101.0 if number % 12 == 3 else 99.0, "ask": 100.0}
        graph.emit(batch_of([trade(number, 100.0, 2000.0), ("quote", quote)]))
    recorder.close()
    config = tmp_path / "config.toml"
    config.write_text(
        f'[hooks]\nfolder = "{folder}"\n[[alerts]]\nkind = "crossed"\ncooldown_s = 0\n'
    )
    command = [sys.executable, "-m", "monitor.cli", "replay", "a", "--speed", "max"]
    command += ["--config", str(config), "--recordings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    # Twenty trades, and a crossing that begins five times; the fifth does not end before the rows.
    assert "signals: 29 recorded, 29 recomputed, 29 equal" in done.stderr.splitlines()


def test_a_running_collector_loads_hooks_anew(
    tmp_path: Path, background: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = write(tmp_path / "own", broken=BROKEN)
    config = tmp_path / "config.toml"
    config.write_text(f'[hooks]\nfolder = "{folder}"\n')
    with (tmp_path / "stderr").open("w") as stderr:
        background("record", "mock:BTC-USD", "--config", config, stderr=stderr)
        held = collector_of(tmp_path / "recordings")
        lines = (tmp_path / "stderr").read_text
        until(lambda: "monitor: hook_disabled: broken: failed 5 times" in lines(), "the hook's end")
        write(folder, broken=LARGE, other="import nothing_of_this_name\n")

        def ask(body: dict[str, str], token: str) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            request = Request(f"http://{held.address}/hooks", json.dumps(body).encode(), headers)
            with urlopen(request, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
            return found

        found = ask({"action": "reload"}, held.token)
        assert found["hooks"] == ["broken"]
        assert found["troubles"] == [
            "other.py: ModuleNotFoundError: No module named 'nothing_of_this_name'"
        ]
        until(lambda: "monitor: hooks_loaded: broken" in lines(), "a line of it")
        for body, token, code in (
            ({"action": "x"}, held.token, 400),
            ({"action": "reload"}, "", 401),
        ):
            with pytest.raises(HTTPError) as refused:
                ask(body, token)
            assert refused.value.code == code
            refused.value.close()
