"""Seeds that a study's rule adds, from invented results."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from slbench.grid.adaptive_seeds import (
    AdaptiveSeeds,
    SeedRuleState,
    decisions,
    outcomes_in,
    requested_runs,
    summary,
    with_adaptive_seeds,
)
from slbench.grid.events import Event, Failed, Finished, SeedAdded, Started
from slbench.grid.launch import Outcome, launch_jobs, prepare
from slbench.grid.queue import Policy
from slbench.stats.sequential import Outcome as RunOutcome
from slbench.store import Store
from slbench.study import Study, StudyRun
from tests.grid.helpers import CPU, slots_on
from tests.support import TINY, make_diverged, make_record, missing, study

RULE = {"min": 2, "max": 4, "until": "decided"}
NONE = (80.0, 80.5, 80.25, 80.75)
CLOSE = (80.5, 80.25, 80.5, 80.5)  # undecided after 2, 3 and 4 seeds
ABOVE = (90.0, 90.51, 70.0, 70.0)  # decided after 2: differences 10 and 10.01
LATER = (80.5, 81.25, 81.0, 81.5)  # differences 0.5, 0.75, 0.75, 0.75


def adaptive_study(**content: object) -> Study:
    return study({"seeds": RULE, "grid": {"backbone": [TINY], "method": ["none", "lsa", "spt"]}, **content})


def accuracies(**values: tuple[float, ...]) -> dict[str, float]:
    """Return the values by run id: one per method and seed."""
    first = {run.labels.method: run for run in adaptive_study().runs if run.spec.seed == 0}
    return {
        first[method].at(seed).spec.run_id: value
        for method, values_by_seed in values.items()
        for seed, value in enumerate(values_by_seed)
    }


def fill_diverged(store: Store, run: StudyRun) -> None:
    folder = store.begin(run.spec, run.labels)
    store.diverge(folder, make_diverged(run))


def methods_and_seeds(runs: Iterable[StudyRun]) -> list[tuple[str, int]]:
    return [(run.labels.method, run.spec.seed) for run in runs]


def requested(adaptive: Study, outcomes: Mapping[str, RunOutcome]) -> tuple[StudyRun, ...]:
    """Return the runs that the rule of a study requests."""
    rule = SeedRuleState(adaptive)
    return rule.requested(rule.decisions(outcomes))


def fill(store: Store, run: StudyRun, accuracy: float) -> None:
    store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))


def fill_first_seeds(store: Store, adaptive: Study) -> None:
    """Finish the first seeds of all methods: lsa is undecided, spt is decided."""
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    for run in adaptive.runs:
        fill(store, run, values[run.labels.method][run.spec.seed])


FIRST = [(method, seed) for method in ("none", "lsa", "spt") for seed in (0, 1)]


THIRD = [("none", 2), ("lsa", 2)]


@pytest.mark.parametrize(
    ("results", "added"),
    [
        ({}, []),
        (accuracies(none=NONE[:2], lsa=CLOSE[:2], spt=ABOVE[:2]), THIRD),
        (accuracies(none=NONE[:2], lsa=CLOSE[:2], spt=ABOVE), THIRD),  # seeds of another study
        (accuracies(none=NONE, lsa=CLOSE, spt=ABOVE), [*THIRD, ("none", 3), ("lsa", 3)]),
    ],
)
def test_seeds_are_added_to_an_undecided_method_and_its_plain_backbone_up_to_the_limit(
    results: dict[str, float], added: list[tuple[str, int]]
) -> None:
    assert methods_and_seeds(requested(adaptive_study(), results)) == [*FIRST, *added]


def test_the_summary_names_the_verdict_and_the_seeds_of_each_comparison() -> None:
    results = accuracies(none=NONE, lsa=CLOSE, spt=ABOVE)
    states = [
        (decision.analysis.state, decision.analysis.seeds, decision.analysis.verdict)
        for decision in decisions(adaptive_study(), results)
    ]
    assert states == [("undecided", 4, "undecided"), ("decided", 2, "better")]
    assert not missing(
        summary(decisions(adaptive_study(), results)),
        "2 seeds",
        "S-Tiny on fashion-mnist-12k",
        "better",
        "undecided",
        "4 seeds",
        "L-Tiny on fashion-mnist-12k",
    )


def test_a_missing_record_delays_only_its_own_comparison() -> None:
    results = accuracies(none=NONE[:3], lsa=CLOSE[:3], spt=CLOSE[:2])
    without = {
        run: value for run, value in results.items() if run != adaptive_study().runs[3].spec.run_id
    }  # lsa, seed 1
    assert methods_and_seeds(requested(adaptive_study(), without)) == [*FIRST, ("none", 2), ("spt", 2)]
    assert not missing(
        summary(decisions(adaptive_study(), without)),
        "waiting",
        "L-Tiny on fashion-mnist-12k (for 2 seeds",
        "S-Tiny on fashion-mnist-12k (for 3 seeds",
    )


def test_requested_runs_do_not_depend_on_the_order_in_which_runs_finish() -> None:
    final = accuracies(none=NONE, lsa=LATER, spt=ABOVE)
    adaptive, ends = adaptive_study(), set[frozenset[str]]()
    for order in itertools.permutations(range(3)):
        done = dict[str, float]()
        while open_runs := [run.spec.run_id for run in requested(adaptive, done) if run.spec.run_id not in done]:
            chosen = open_runs[order[len(done) % 3] % len(open_runs)]
            done[chosen] = final[chosen]
        ends.add(frozenset(done))
    assert len(ends) == 1


def test_a_diverged_run_ends_its_comparison_and_never_stalls_the_rule(tmp_path: Path) -> None:
    adaptive, store = adaptive_study(), Store(tmp_path)
    values = {"none": NONE, "lsa": CLOSE, "spt": CLOSE}
    for run in adaptive.runs:
        if (run.labels.method, run.spec.seed) == ("lsa", 1):
            fill_diverged(store, run)
        else:
            fill(store, run, values[run.labels.method][run.spec.seed])
    assert methods_and_seeds(requested_runs(adaptive, store)) == [*FIRST, ("none", 2), ("spt", 2)]
    found = decisions(adaptive, outcomes_in(store, [run.spec.run_id for run in adaptive.runs]))
    assert [(each.analysis.state, each.analysis.verdict) for each in found] == [
        ("withheld", "withheld"),
        ("waiting", "undecided"),
    ]
    assert not missing(summary(found), "withheld", "diverged", "L-Tiny on fashion-mnist-12k (2 seeds)")


def test_a_seed_in_which_both_methods_diverged_is_replaced() -> None:
    lost: dict[str, RunOutcome] = {**accuracies(none=NONE[:2], lsa=CLOSE[:2], spt=ABOVE[:2])}
    for run in adaptive_study().runs:
        if run.spec.seed == 1 and run.labels.method != "spt":
            lost[run.spec.run_id] = "diverged"
    states = [(each.analysis.state, each.analysis.seeds) for each in decisions(adaptive_study(), lost)]
    assert states == [("waiting", 3), ("withheld", 2)]


def test_diverged_runs_count_as_chance_if_the_study_says_so() -> None:
    adaptive = adaptive_study(statistics={"failures": "chance"})
    results: dict[str, RunOutcome] = {**accuracies(none=NONE[:2], lsa=CLOSE[:2], spt=(0.0, 10.01))}
    spt = next(run for run in adaptive.runs if (run.labels.method, run.spec.seed) == ("spt", 0))
    analysis = decisions(adaptive, {**results, spt.spec.run_id: "diverged"})[1].analysis
    assert analysis.n == 2 and analysis.estimate == pytest.approx((10 + 10.01 - 80.0 - 80.5) / 2)


def test_the_rule_decides_the_declared_contrasts_of_a_study() -> None:
    grid = {"backbone": [TINY, "pit"], "method": ["none", "spt", "lsa", "both"]}
    contrasts = [
        {"method": "spt", "reference": "lsa"},
        {"effect": "interaction"},
        {"method": "spt", "over": "backbones"},
    ]
    adaptive = adaptive_study(grid=grid, contrast=contrasts, statistics={"variance": "own", "margin": 0.1})
    results = {
        run.spec.run_id: {"none": NONE, "spt": ABOVE, "lsa": CLOSE, "both": CLOSE}[run.labels.method][run.spec.seed]
        for run in adaptive.runs
        if run.labels.backbone == "Tiny"
    }
    found = decisions(adaptive, results)
    assert [(each.comparison.contrast.name, each.comparison.runs[0].labels.backbone) for each in found] == [
        ("spt against lsa", "Tiny"),
        ("spt against lsa", "PiT"),
        ("interaction of spt and lsa", "Tiny"),
        ("interaction of spt and lsa", "PiT"),
    ]
    assert [(each.analysis.state, each.analysis.seeds) for each in found[::2]] == [("waiting", 3), ("decided", 2)]
    assert not missing(summary(found), "family-wise error 5 %", "5 contrasts", "spt against lsa, Tiny")
    added = methods_and_seeds(requested(adaptive, results))[8 * 2 :]
    assert added == [("spt", 2), ("lsa", 2)]


def test_the_summary_says_what_the_error_holds_for() -> None:
    found = decisions(adaptive_study(statistics={"level": 0.9}), {})
    words = ("sequential", "test accuracy", "family-wise error 10 %", "over 2 contrasts and all looks")
    assert not missing(summary(found), *words)


def test_requested_runs_are_read_from_the_store(tmp_path: Path) -> None:
    adaptive, store = adaptive_study(), Store(tmp_path)
    assert requested_runs(adaptive, store) == adaptive.runs
    fill_first_seeds(store, adaptive)
    grown = with_adaptive_seeds(adaptive, Store(tmp_path))
    assert methods_and_seeds(grown.runs) == [*FIRST, *THIRD]
    assert with_adaptive_seeds(grown, store) == grown
    assert dataclasses.replace(grown, runs=adaptive.runs) == adaptive


def test_a_study_without_a_seed_rule_is_unchanged(tmp_path: Path) -> None:
    plain = study({"grid": {"backbone": [TINY]}})
    assert with_adaptive_seeds(plain, Store(tmp_path / "nowhere")) is plain
    assert requested_runs(plain, Store(tmp_path / "nowhere")) == plain.runs
    assert decisions(plain, {}) == ()


def test_backbones_without_a_method_keep_the_first_seeds() -> None:
    adaptive = study({"seeds": RULE, "grid": {"backbone": [TINY, "resnet56"], "method": ["none", "lsa"]}})
    results = {run.spec.run_id: 50.0 + run.spec.seed for run in adaptive.runs}
    grown = requested(adaptive, results)
    assert [run.labels.backbone for run in grown if run.spec.seed > 1] == ["Tiny", "Tiny"]
    assert [run.spec.seed for run in grown if run.labels.backbone == "ResNet56"] == [0, 1]


class Launcher:
    """Adaptive seeds during a grid, with invented results."""

    def __init__(self, adaptive: Study, store: Store) -> None:
        self.store, self.events = store, list[Event]()
        self.seeds = AdaptiveSeeds(adaptive, store, on_event=self.events.append)

    def finish(self, run: StudyRun, accuracy: float) -> None:
        fill(self.store, run, accuracy)
        self.seeds.on_grid_event(Finished(run, slots_on(CPU)[0], accuracy, 1.0))

    def next_runs(self) -> list[tuple[str, int]]:
        return methods_and_seeds(run for run in iter(self.seeds, None) if run is not None)


def test_each_added_run_is_requested_once_even_if_it_fails(tmp_path: Path) -> None:
    adaptive = adaptive_study()
    launcher = Launcher(adaptive, Store(tmp_path))
    assert launcher.next_runs() == []
    values = {"none": NONE, "lsa": CLOSE, "spt": ABOVE}
    for run in adaptive.runs:
        launcher.finish(run, values[run.labels.method][run.spec.seed])
    assert launcher.next_runs() == THIRD
    assert [event.run.spec.seed for event in launcher.events if isinstance(event, SeedAdded)] == [2, 2]
    launcher.finish(adaptive.runs[0].at(2), NONE[2])  # and lsa with seed 2 fails
    assert launcher.next_runs() == []


def test_a_grid_attempts_each_failing_added_run_once(tmp_path: Path, python: Callable[[str], None]) -> None:
    python("exit 3")
    adaptive, store, events = adaptive_study(), Store(tmp_path / "results"), list[Event]()
    fill_first_seeds(store, adaptive)
    grid = prepare(adaptive.runs, store, devices="cpu", jobs_per_device=1, threads=1, writing=True, with_data=False)
    assert grid.todo == []
    assert launch_jobs(grid, policy=Policy(), on_event=events.append, study=adaptive) == Outcome(
        2, stopped=False, clean=False
    )
    assert [type(event) for event in events] == [SeedAdded, Started, Failed] * 2
    failed = [event.run for event in events if isinstance(event, Failed)]
    assert methods_and_seeds(failed) == THIRD


def test_runs_finished_by_another_launcher_count_and_are_not_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.adaptive_seeds.READ_SECONDS", -1.0)
    adaptive, store = adaptive_study(), Store(tmp_path)
    launcher = Launcher(adaptive, store)
    fill_first_seeds(store, adaptive)
    assert launcher.next_runs() == THIRD
    for seed in (2, 3):
        fill(store, adaptive.runs[0].at(seed), NONE[seed])
    fill(store, adaptive.runs[2].at(2), CLOSE[2])
    assert launcher.next_runs() == [("lsa", 3)]


def test_a_damaged_record_counts_as_missing_and_delays_only_its_own_comparison(tmp_path: Path) -> None:
    adaptive, store = adaptive_study(), Store(tmp_path)
    launcher = Launcher(adaptive, store)
    values = {"none": NONE, "lsa": CLOSE, "spt": CLOSE}
    for run in adaptive.runs:
        launcher.finish(run, values[run.labels.method][run.spec.seed])
    damaged = adaptive.runs[4]  # spt, seed 0
    path = store.folder(damaged.spec, damaged.labels) / "record.json"
    content = path.read_text()
    path.write_text(content.replace(str(CLOSE[0]), '"eighty"'))
    assert path.read_text() != content
    assert launcher.next_runs() == THIRD
    assert methods_and_seeds(requested_runs(adaptive, store)) == [*FIRST, *THIRD]
