"""Whether the time left of an allocation holds a run."""

from pathlib import Path

import pytest

from slbench import machine
from slbench.grid.estimate import setting_of
from slbench.grid.events import Finished
from slbench.grid.time_left import TimeLeft
from slbench.run_paths import RunPaths
from slbench.store import Store
from tests.grid.helpers import CPU, SHORT, make_probe, slots_on
from tests.support import runs

SLOTS = slots_on(CPU)
(RUN,) = runs(set={**SHORT, "recipe.epochs": 2})
STEPS = 2 * RUN.spec.steps_per_epoch


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def time_left(store: Store, seconds: float, clock: Clock) -> TimeLeft:
    return TimeLeft(seconds, store=store, slots=SLOTS, precisions={"fp32": "fp32"}, clock=clock)


def test_a_run_of_unknown_speed_may_start_at_any_time(tmp_path: Path, clock: Clock) -> None:
    left = time_left(Store(tmp_path), 1.0, clock)
    clock.now += 0.9
    assert left.holds(RUN)


def test_a_run_starts_while_the_time_left_holds_it_by_the_speed_of_a_finished_one(tmp_path: Path, clock: Clock) -> None:
    left = time_left(Store(tmp_path), 10.0 * STEPS, clock)
    left.see(Finished(RUN.at(7), SLOTS[0], 50.0, seconds=3.0 * STEPS))
    clock.now += 6.9 * STEPS
    assert left.holds(RUN)
    clock.now += 0.2 * STEPS
    assert not left.holds(RUN)


def test_epochs_that_are_done_need_no_time(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path)
    paths = RunPaths(store.begin(RUN.spec, RUN.labels))
    paths.checkpoint.write_bytes(b"")
    paths.history.write_text("epoch\n1\n")
    left = time_left(store, 10.0 * STEPS, clock)
    left.see(Finished(RUN, SLOTS[0], 50.0, seconds=4.0 * STEPS))
    clock.now += 7.0 * STEPS
    assert left.holds(RUN), "one of two epochs is left, which takes 2 of the 3 units"


def test_a_run_that_no_allocation_holds_may_start_at_any_time(tmp_path: Path, clock: Clock) -> None:
    left = time_left(Store(tmp_path), 2.0 * STEPS, clock)
    left.see(Finished(RUN, SLOTS[0], 50.0, seconds=3.0 * STEPS))
    clock.now += 1.9 * STEPS
    assert left.holds(RUN)


def test_the_speed_of_a_probe_counts(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path)
    probe = make_probe(
        RUN, setting_of(SLOTS[0], SLOTS, "fp32"), machine_id=machine.host().machine_id, step_seconds=3.0,
        evaluation_seconds=0.0, save_seconds=0.0, finish_seconds=0.0, load_seconds=1.0,
    )  # fmt: skip
    store.add_probe(probe)
    left = time_left(store, 10.0 * STEPS, clock)
    clock.now += 7.0 * STEPS - 1.5
    assert left.holds(RUN)
    clock.now += 1.0
    assert not left.holds(RUN)
