"""The receive clock when the wall clock is stepped, and what is said of ages then."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_recording import T0, Made, S

from monitor.collector.health import Health
from monitor.feeds.receive_clock import ReceiveClock
from monitor.hub.hub import Hub
from monitor.state.present import Present

TENTH = S // 10


class Machine:
    """A machine whose wall clock is set by hand; times in ns."""

    def __init__(self) -> None:
        self.passed_ns, self.stepped_ns = 0, 0

    def wall_ns(self) -> int:
        return T0 + self.passed_ns + self.stepped_ns

    def monotonic_ns(self) -> int:
        return 7 + self.passed_ns


def ticking(steps: dict[int, int], tenths: int) -> tuple[list[int], list[int], list[int], Machine]:
    """Run a clock for so long, with steps at some tenths of a second.

    Returns its times, the steps that it told, how far it was set forward, and the machine.
    """
    machine = Machine()
    clock = ReceiveClock(machine.wall_ns, machine.monotonic_ns)
    times, told, forward = list[int](), list[int](), list[int]()

    def see(now_ns: int, step_ns: int, forward_ns: int) -> None:
        # No time of after the step was given yet.
        assert not times or times[-1] <= now_ns <= times[-1] + TENTH
        told.append(step_ns)
        forward.append(forward_ns)

    for tenth in range(tenths):
        machine.passed_ns += TENTH
        machine.stepped_ns += steps.get(tenth, 0)
        clock.discipline(see)
        times.append(clock.now_ns())
    return times, told, forward, machine


def test_a_clock_set_forward_is_followed_at_once() -> None:
    times, told, forward, machine = ticking({50: 86_400 * S}, 100)
    assert told == forward == [86_400 * S]
    assert times[-1] == machine.wall_ns()


def test_a_clock_set_back_leaves_no_second_crowded() -> None:
    times, told, forward, machine = ticking({50: -3_600 * S}, 1_000)
    assert (told, forward) == ([-3_600 * S], [0])
    # Ten rows a second of its own time, and one more since it runs slower.
    assert {later - earlier for earlier, later in pairwise(times[60:])} == {TENTH * 9 // 10}
    # After ten times as long as it was set back it agrees again.
    times, _, _, machine = ticking({50: -5 * S}, 600)
    assert times[-1] == machine.wall_ns()


@given(st.dictionaries(st.integers(1, 90), st.integers(-100, 100).map(lambda n: n * S), max_size=6))
def test_it_never_runs_back_and_tells_each_step(steps: dict[int, int]) -> None:
    times, told, forward, machine = ticking(steps, 100)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert told == [step for _, step in sorted(steps.items()) if step]
    assert all(step >= 0 for step in forward)
    # It is never behind the wall clock.
    assert times[-1] >= machine.wall_ns() - 1


def test_slewing_is_followed_without_a_word() -> None:
    # 500 ppm, as adjtime slews.
    times, told, _, machine = ticking(dict.fromkeys(range(100), 50_000), 100)
    assert told == []
    assert times[-1] == pytest.approx(machine.wall_ns(), abs=10 * 1e6)


def test_ages_grow_also_where_rows_are_ahead_of_a_clock_that_was_set_back() -> None:
    machine = Machine()
    present = Present(machine.wall_ns, lambda: machine.passed_ns / S)
    hub, health, made = Hub(present), Health(present), Made()
    made.told(0.0, "connected", scope="symbol")
    made.say("quote", 0.5, bid=99.0, ask=101.0, bid_size=1.0, ask_size=1.0, origin="native")
    machine.passed_ns = S
    machine.stepped_ns = -3_600 * S
    made.clock(20.5)
    for sink in (hub, health):
        sink(made.batch())
    machine.passed_ns += S
    (source,) = hub.sources()
    assert source.age_ms == 21_000.0
    (told,) = health.report("recording", 0.0, 0)["sources"]
    assert told["age_ms"] == 21_000.0
