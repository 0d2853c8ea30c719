"""Which further seeds a study's rule wants, from records that were never made."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from slbench.grid.adaptive_seeds import (
    AdaptiveSeeds,
    SeedRuleState,
    decisions,
    requested_runs,
    summary,
    with_adaptive_seeds,
)
from slbench.grid.events import Event, Failed, Finished, SeedAdded, Started
from slbench.grid.launch import Outcome, launch_jobs, prepare
from slbench.grid.queue import Policy
from slbench.grid.slots import Device, Slot
from slbench.store import Store
from slbench.study import Study, StudyRun
from tests.support import TINY, make_record, missing, study

RULE = {"min": 2, "max": 4, "until": "decided"}
SLOT = Slot(0, Device("cpu", "Processor", False), 1)
NONE = (80.0, 80.5, 80.25, 80.75)
CLOSE = (80.5, 80.25, 80.5, 80.5)  # undecided after 2, 3 and 4 seeds
ABOVE = (90.0, 90.51, 70.0, 70.0)  # decided after 2: differences 10 and 10.01
LATER = (80.5, 81.25, 81.0, 81.5)  # differences 0.5, 0.75, 0.75, 0.75


def made(**content: object) -> Study:
    return study({"seeds": RULE, "grid": {"backbone": [TINY], "method": ["none", "lsa", "spt"]}, **content})


def accuracies(of: Study, values: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
    """By run id, of as many seeds of each row as there are values."""
    first = {run.labels.method: run for run in of.runs if run.spec.seed == 0}
    return {
        first[method].at(seed).spec.run_id: value
        for method, values_by_seed in values.items()
        for seed, value in enumerate(values_by_seed)
    }


def named(runs: tuple[StudyRun, ...]) -> list[tuple[str, int]]:
    return [(run.labels.method, run.spec.seed) for run in runs]


def fill(store: Store, run: StudyRun, accuracy: float) -> None:
    store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))


FIRST = [(method, seed) for method in ("none", "lsa", "spt") for seed in (0, 1)]


def test_before_anything_has_run_the_first_seeds_are_wanted() -> None:
    assert named(SeedRuleState(made()).requested({})) == FIRST


def test_one_more_seed_is_wanted_of_the_undecided_row_and_of_its_plain_backbone_alone() -> None:
    results = accuracies(made(), {"none": NONE[:2], "lsa": CLOSE[:2], "spt": ABOVE[:2]})
    assert named(SeedRuleState(made()).requested(results)) == [*FIRST, ("none", 2), ("lsa", 2)]


def test_rows_wait_for_nobody_but_their_own_pair() -> None:
    results = accuracies(made(), {"none": NONE[:2], "lsa": CLOSE[:2], "spt": ABOVE[:1]})
    assert named(SeedRuleState(made()).requested(results)) == [*FIRST, ("none", 2), ("lsa", 2)]


def test_seeds_are_added_up_to_the_last_and_no_further() -> None:
    results = accuracies(made(), {"none": NONE, "lsa": CLOSE, "spt": ABOVE})
    assert named(SeedRuleState(made()).requested(results)) == [*FIRST, ("none", 2), ("lsa", 2), ("none", 3), ("lsa", 3)]
    states = [
        (decision.analysis.state, decision.analysis.seeds, decision.analysis.verdict)
        for decision in decisions(made(), results)
    ]
    assert states == [("undecided", 4, "undecided"), ("decided", 2, "better")]
    assert not missing(
        summary(decisions(made(), results)),
        "2 seeds",
        "S-Tiny on fashion-mnist-12k",
        "better",
        "undecided",
        "4 seeds",
        "L-Tiny on fashion-mnist-12k",
    )


def test_a_run_without_a_record_holds_up_its_comparison_and_no_other() -> None:
    results = accuracies(made(), {"none": NONE[:3], "lsa": CLOSE[:3], "spt": CLOSE[:2]})
    without = {run: value for run, value in results.items() if run != made().runs[3].spec.run_id}  # lsa, seed 1
    assert named(SeedRuleState(made()).requested(without)) == [*FIRST, ("none", 2), ("spt", 2)]
    assert not missing(
        summary(decisions(made(), without)),
        "waiting",
        "L-Tiny on fashion-mnist-12k (for 2 seeds",
        "S-Tiny on fashion-mnist-12k (for 3 seeds",
    )


def test_seeds_that_another_study_made_change_nothing() -> None:
    asked = accuracies(made(), {"none": NONE[:2], "lsa": CLOSE[:2], "spt": ABOVE[:2]})
    more = accuracies(made(), {"none": NONE[:2], "lsa": CLOSE[:2], "spt": ABOVE})
    assert SeedRuleState(made()).requested(more) == SeedRuleState(made()).requested(asked)


def test_whatever_the_order_in_which_runs_end_the_same_runs_come_to_be_made() -> None:
    truth = accuracies(made(), {"none": NONE, "lsa": LATER, "spt": ABOVE})
    rule, ends = SeedRuleState(made()), set[frozenset[str]]()
    for order in itertools.permutations(range(3)):
        done = dict[str, float]()
        while open_runs := [run.spec.run_id for run in rule.requested(done) if run.spec.run_id not in done]:
            chosen = open_runs[order[len(done) % 3] % len(open_runs)]
            done[chosen] = truth[chosen]
        ends.add(frozenset(done))
    assert len(ends) == 1


def test_the_store_alone_says_what_is_wanted(tmp_path: Path) -> None:
    adaptive, store = made(), Store(tmp_path)
    assert requested_runs(adaptive, store) == adaptive.runs
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    for run in adaptive.runs:
        fill(store, run, values[run.labels.method][run.spec.seed])
    grown = with_adaptive_seeds(adaptive, Store(tmp_path))
    assert named(grown.runs) == [*FIRST, ("none", 2), ("lsa", 2)]
    assert with_adaptive_seeds(grown, store) == grown
    assert dataclasses.replace(grown, runs=adaptive.runs) == adaptive


def test_a_study_without_a_rule_stays_as_it_is(tmp_path: Path) -> None:
    plain = study({"grid": {"backbone": [TINY]}})
    assert with_adaptive_seeds(plain, Store(tmp_path / "nowhere")) is plain
    assert requested_runs(plain, Store(tmp_path / "nowhere")) == plain.runs
    assert decisions(plain, {}) == ()


def test_networks_without_rows_stay_at_the_first_seeds() -> None:
    adaptive = study({"seeds": RULE, "grid": {"backbone": [TINY, "resnet56"], "method": ["none", "lsa"]}})
    results = {run.spec.run_id: 50.0 + run.spec.seed for run in adaptive.runs}
    grown = SeedRuleState(adaptive).requested(results)
    assert [run.labels.backbone for run in grown if run.spec.seed > 1] == ["Tiny", "Tiny"]
    assert [run.spec.seed for run in grown if run.labels.backbone == "ResNet56"] == [0, 1]


class Launcher:
    """What a launcher is given while its grid runs."""

    def __init__(self, of: Study, store: Store) -> None:
        self.store, self.events = store, list[Event]()
        self.further = AdaptiveSeeds(of, store, on_event=self.events.append)

    def finish(self, run: StudyRun, accuracy: float) -> None:
        fill(self.store, run, accuracy)
        self.further.on_grid_event(Finished(run, SLOT, accuracy, 1.0))

    def next_runs(self) -> list[tuple[str, int]]:
        runs = list(iter(self.further, None))
        return named(tuple(run for run in runs if run is not None))


def test_a_launcher_is_given_each_further_run_once_also_if_it_fails(tmp_path: Path) -> None:
    adaptive = made()
    launcher = Launcher(adaptive, Store(tmp_path))
    assert launcher.next_runs() == []
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    for run in adaptive.runs:
        launcher.finish(run, values[run.labels.method][run.spec.seed])
    assert launcher.next_runs() == [("none", 2), ("lsa", 2)]
    assert [event.run.spec.seed for event in launcher.events if isinstance(event, SeedAdded)] == [2, 2]
    launcher.finish(adaptive.runs[0].at(2), NONE[2])  # and lsa with seed 2 fails
    assert launcher.next_runs() == []


def test_a_grid_whose_added_runs_fail_ends_with_each_tried_once(tmp_path: Path, python: Callable[[str], None]) -> None:
    python("exit 3")
    adaptive, store, events = made(), Store(tmp_path / "results"), list[Event]()
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    for run in adaptive.runs:
        fill(store, run, values[run.labels.method][run.spec.seed])
    grid = prepare(adaptive.runs, store, devices="cpu", jobs_per_device=1, threads=1, writing=True, with_data=False)
    assert grid.todo == []
    assert launch_jobs(grid, policy=Policy(), on_event=events.append, study=adaptive) == Outcome(
        2, stopped=False, clean=False
    )
    assert [type(event) for event in events] == [SeedAdded, Started, Failed] * 2
    failed = [event.run for event in events if isinstance(event, Failed)]
    assert named(tuple(failed)) == [("none", 2), ("lsa", 2)]


def test_what_another_launcher_has_made_is_not_given_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.adaptive_seeds.READ_SECONDS", -1.0)
    adaptive, store = made(), Store(tmp_path)
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    launcher = Launcher(adaptive, store)
    for run in adaptive.runs:
        fill(store, run, values[run.labels.method][run.spec.seed])
    assert launcher.next_runs() == [("none", 2), ("lsa", 2)]
    for seed in (2, 3):
        fill(store, adaptive.runs[0].at(seed), NONE[seed])
    fill(store, adaptive.runs[2].at(2), CLOSE[2])
    assert launcher.next_runs() == [("lsa", 3)]


def test_a_damaged_record_counts_as_none_and_holds_up_its_own_comparison_alone(tmp_path: Path) -> None:
    adaptive, store = made(), Store(tmp_path)
    launcher = Launcher(adaptive, store)
    values = {"none": NONE, "lsa": CLOSE, "spt": CLOSE}
    for run in adaptive.runs:
        launcher.finish(run, values[run.labels.method][run.spec.seed])
    damaged = adaptive.runs[4]  # spt, seed 0
    path = store.folder(damaged.spec, damaged.labels) / "record.json"
    content = path.read_text()
    path.write_text(content.replace(str(CLOSE[0]), '"eighty"'))
    assert path.read_text() != content
    assert launcher.next_runs() == [("none", 2), ("lsa", 2)]
    assert named(requested_runs(adaptive, store)) == [*FIRST, ("none", 2), ("lsa", 2)]
