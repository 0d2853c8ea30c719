"""Comparisons of tuned settings with default settings and with each other, on fresh seeds."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

import slbench
from slbench.grid.events import Event
from slbench.grid.queue import Policy
from slbench.record import DivergedRecord, RunRecord
from slbench.rng import derive
from slbench.store import Store
from slbench.study import StudyRun
from slbench.tuning.compare import FreshRuns, compare, fresh_runs, fresh_seeds, method_pairs
from slbench.tuning.record import MethodRecord, SearchRecord, TrialRecord, load
from slbench.tuning.run import prepare_tuning, run_tuning
from slbench.tuning.search_file import load_search_file, space_of
from slbench.tuning.space import TEMPERATURE
from slbench.tuning.summary import summary
from tests.support import make_record, missing, store_history
from tests.tuning.simulation import PAPER, config, curve_of, target
from tests.tuning.test_validation_only import simulated_executor

SEEDS = (700, 701, 702)


def trial(number: int, setting: dict[str, Any], value: float) -> TrialRecord:
    return TrialRecord(
        number=number, state="complete", is_baseline=number == 0, setting=setting, value=value, last_value=value,
        by_seed=(value,), curve=(value,), epochs=4, images=100, run_ids=("a",),
    )  # fmt: skip


def result(method: str, *, wins: int) -> MethodRecord:
    """Return a search of two trials, of which number `wins` has won."""
    other = {"recipe.lr": 0.002} if method == "none" else {TEMPERATURE: 0.5, "method.shift_pixels": 3}
    own = {"recipe.lr": 0.001} if method == "none" else PAPER
    trials = (trial(0, own, 80.0), trial(1, other, 81.0))
    return MethodRecord(
        method=method, title=f"{method}-ViT", space=("x",), parameters=("x",), log=(), trials=trials, importance=None,
        winner=wins, comparison=None,
    )  # fmt: skip


def trained(
    store: Store, method: str, *, temperature: float | None = None, accuracies: Sequence[float]
) -> tuple[StudyRun, ...]:
    """Store finished runs on the fresh seeds 700, 701, ... with these test accuracies."""
    changes = {} if temperature is None else {TEMPERATURE: temperature}
    seeds = range(SEEDS[0], SEEDS[0] + len(accuracies))
    runs = target(method).runs(changes, seeds=seeds, protocol="full", keep="last")
    for run, accuracy in zip(runs, accuracies, strict=True):
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))
    return runs


def diverged(store: Store, method: str, *, temperature: float | None = None) -> tuple[StudyRun, ...]:
    """Store the first run on the fresh seeds as diverged, and return all."""
    changes = {} if temperature is None else {TEMPERATURE: temperature}
    runs = target(method).runs(changes, seeds=SEEDS, protocol="full", keep="last")
    record = make_record(runs[0])
    known = {name: getattr(record, name) for name in DivergedRecord.model_fields if name in RunRecord.model_fields}
    folder = store.begin(runs[0].spec, runs[0].labels)
    store.diverge(folder, DivergedRecord(**known, reason="the loss is nan", epoch=2))
    return runs


def searched(*rows: MethodRecord, **changes: Any) -> SearchRecord:
    content: dict[str, Any] = {
        "name": "search", "command": "", "backbone": "ViT", "dataset": "a-set", "seeds": 2, "epochs": 4,
        "images_per_epoch": 100, "validation_images": 100, "test_images": 100, "trials": 8, "sampler": "random",
        "pruner": "none", "sampler_seed": 0, "study_names": {}, "storage": "", "made_with": (), "notes": (),
        "rows": rows,
    }  # fmt: skip
    return SearchRecord(**{**content, **changes})


def test_winners_are_compared_with_defaults_and_each_other_at_a_joint_level(tmp_path: Path) -> None:
    store = Store(tmp_path)
    both = FreshRuns(
        trained(store, "both", temperature=0.5, accuracies=(83.0, 83.1, 83.2)),
        trained(store, "both", accuracies=(81.0, 81.2, 81.1)),
    )
    spt = FreshRuns(*2 * (trained(store, "spt", accuracies=(83.0, 83.05, 83.25)),))
    found = compare([result("both", wins=1), result("spt", wins=0)], [both, spt], store)
    assert found.level == pytest.approx(0.95**0.5)  # both against its default, and against spt
    of_both, of_spt = found.with_default
    assert of_both is not None and of_spt is not None
    interval = ttest_1samp([2.0, 1.9, 2.1], 0).confidence_interval(0.95**0.5)
    assert (of_both.difference, of_both.low, of_both.high) == pytest.approx((2.0, interval.low, interval.high))
    assert (of_both.verdict, of_both.seeds) == ("better", SEEDS)
    assert not missing(of_both.words, "+2.00", f"{interval.low:+.2f}", f"{interval.high:+.2f}", "3 seeds")
    assert (of_spt.difference, of_spt.tuned, of_spt.own) == (None, (83.0, 83.05, 83.25), (83.0, 83.05, 83.25))
    assert of_spt.run_ids == tuple(run.spec.run_id for run in spt.tuned)
    (pair,) = found.between
    assert (pair.method, pair.reference, pair.verdict) == ("both", "spt", "equivalent")
    assert pair.difference == pytest.approx(0.0)


def test_comparisons_are_judged_as_slbench_contrasts_judges_them(tmp_path: Path) -> None:
    noise = random.Random(3)
    common = [noise.gauss(0, 1) for _ in range(12)]
    gains = {"both": 1.5, "both, default setting": 0.5, "none": 0.0}
    top1 = {name: [80 + each + gain + noise.gauss(0, 0.2) for each in common] for name, gain in gains.items()}
    store = Store(tmp_path)
    default = trained(store, "both", accuracies=top1["both, default setting"])
    both = FreshRuns(trained(store, "both", temperature=0.5, accuracies=top1["both"]), default)
    none = FreshRuns(*2 * (trained(store, "none", accuracies=top1["none"]),))
    found = compare([result("both", wins=1), result("none", wins=0)], [both, none], store)
    rows = [
        {"backbone": "ViT", "dataset": "a", "method": name, "seed": seed, "final_test_top1": value}
        for name, values in top1.items()
        for seed, value in enumerate(values)
    ]
    asked = [{"method": "both", "reference": "both, default setting"}, {"method": "both"}]
    expected = slbench.contrasts(pd.DataFrame(rows), contrasts=asked).query("family == 'primary'")
    assert found.with_default[0] is not None
    first, second = found.with_default[0], found.between[0]
    of_compare = [(first.difference, first.low, first.high), (second.difference, second.low, second.high)]
    assert of_compare == [pytest.approx(row) for row in expected[["estimate", "low", "high"]].values.tolist()]
    assert found.level == pytest.approx(expected["level"].iloc[0])
    assert found.level != pytest.approx(0.95**0.5), "from 11 seeds correlations over the seeds count"


def test_a_method_without_all_runs_is_not_compared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    both = FreshRuns(*2 * (trained(store, "both", accuracies=(83.0, 83.1, 83.2)),))
    spt = FreshRuns(*2 * (target("spt").runs({}, seeds=SEEDS, protocol="full", keep="last"),))
    found = compare([result("both", wins=0), result("spt", wins=0)], [both, spt], store)
    assert (found.with_default[0] is None, found.with_default[1], found.between) == (False, None, ())
    assert compare([result("both", wins=0)], [None], store).with_default == (None,)


def test_there_is_no_verdict_where_unequal_numbers_of_runs_diverged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tuned = diverged(store, "both", temperature=0.5)
    for run, accuracy in zip(tuned[1:], (85.0, 85.1), strict=True):
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))
    default = trained(store, "both", accuracies=(81.0, 81.0, 81.0))
    (found,) = compare([result("both", wins=1)], [FreshRuns(tuned, default)], store).with_default
    assert found is not None
    assert (found.verdict, found.seeds, found.own) == ("withheld", SEEDS[1:], (81.0, 81.0))
    assert found.difference == pytest.approx(4.05)
    assert not missing(found.words, "2 seeds", "1 of 3 both")


def test_methods_are_compared_with_none_if_it_is_searched_and_else_all_with_each_other() -> None:
    assert method_pairs(["both", "none", "spt"]) == [("both", "none"), ("spt", "none")]
    assert method_pairs(["both", "lsa", "spt"]) == [("both", "lsa"), ("both", "spt"), ("lsa", "spt")]
    assert method_pairs(["both"]) == method_pairs([]) == []


def test_a_winner_that_is_the_default_setting_has_runs_on_the_fresh_seeds() -> None:
    space = space_of(target())
    same, other = (fresh_runs(target(), space, result("both", wins=number), SEEDS) for number in (0, 1))
    assert same is not None and other is not None
    assert same.tuned == same.default == other.default
    assert {run.spec.seed for run in same.tuned} == set(SEEDS)
    assert {run.spec.method.initial_temperature for run in other.tuned} == {0.5}


def test_fresh_seeds_differ_between_searches_and_numbers_of_trials_but_not_between_calls() -> None:
    def seeds(name: str = "a", trials: int = 20, recorded: SearchRecord | None = None, count: int = 3) -> set[int]:
        return set(fresh_seeds(recorded, name=name, trials=trials, searched=5, count=count))

    assert seeds() == seeds() and len(seeds()) == 3 and min(seeds()) >= 5
    assert not (seeds() & seeds("b") or seeds() & seeds(trials=21) or seeds("b") & seeds(trials=21))
    assert seeds(count=0) == set()
    with_seeds = searched(trials=20, fresh_seeds=(7, 8, 9))
    assert seeds(recorded=with_seeds) == {7, 8, 9}
    assert seeds(recorded=with_seeds, count=2) == {7, 8}
    assert seeds(recorded=with_seeds, count=5) == {7, 8, 9, 10, 11}
    assert seeds(trials=21, recorded=with_seeds) == seeds(trials=21)


def test_the_fresh_seeds_of_a_search_of_the_earlier_version_are_those_of_its_comparison() -> None:
    record = load(Path(__file__).parents[1] / "golden_store" / "store" / "tuning" / "golden")
    assert (record.fresh_seeds, record.between, record.level) == ((), (), 0.95)
    found = fresh_seeds(record, name=record.name, trials=record.trials, searched=record.seeds, count=2)
    assert found == (1, 2)


def executor_with_records(chance: Any) -> Any:
    """Return a simulated executor that also stores finished runs; their test accuracies depend on method and seed."""

    class Executor(simulated_executor(chance)):  # type: ignore[misc]
        def run(self, runs: list[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
            for run in runs:
                top1 = curve_of(run)[-1] - run.spec.seed + derive(run.spec.seed, run.spec.run_id) % 10 / 10
                folder, record = self.store.begin(run.spec, run.labels), make_record(run, final_test_top1=top1)
                store_history(folder, record)
                self.store.finish(folder, record)
            return int(super().run(runs, more=more))

    return Executor


def test_a_search_of_methods_ends_with_test_accuracies_and_verdicts_for_each_and_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.tuning.figures.draw", lambda record, folder, look: [])
    file = tmp_path / "search.toml"
    file.write_text("defaults = false\n[recipe.lr]\nlow = 0.0001\nhigh = 0.01\n")
    targets = [target(method) for method in ("both", "none")]
    spaces = [space_of(targets[0]), space_of(targets[1], load_search_file(file), alone=False)]

    def search(trials: int = 3) -> SearchRecord:
        tuning = prepare_tuning(
            config(trials=trials), targets, spaces, Store(tmp_path / "store"),
            devices="cpu", jobs_per_device=1, threads=1, storage=None, policy=Policy(), compare_seeds=3, seconds=None,
            command="slbench tune-temperature", executor=executor_with_records(random.Random(0)),
        )  # fmt: skip
        record, is_whole = run_tuning(tuning, on_event=ignored)
        assert is_whole
        return record

    first = search()
    both, none = first.rows
    assert none.winner == 0, "the learning rate changes no simulated accuracy"
    assert both.comparison is not None and none.comparison is not None
    assert both.comparison.seeds == none.comparison.seeds == first.fresh_seeds
    assert len(none.comparison.tuned) == 3 and none.comparison.difference is None
    (pair,) = first.between
    assert (pair.method, pair.reference) == ("both", "none")
    text = summary(first, [], [])
    assert not missing(text, "SL-ViT against ViT", f"**{pair.verdict}**", pair.words, "95 %", "0.5 points")
    assert text.count("–") == 0
    assert load(tmp_path / "store" / "tuning" / "search") == first
    again = search()
    assert (again.rows, again.between, again.fresh_seeds) == (first.rows, first.between, first.fresh_seeds)
    assert not set(search(trials=4).fresh_seeds) & set(first.fresh_seeds)


def ignored(event: Event | Any) -> None:
    """Ignore an event of a search."""
