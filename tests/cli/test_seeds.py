"""`seeds = { min, max, until }` from end to end."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from slbench.grid.adaptive_seeds import decisions, outcomes_in, requested_runs, write_study_file
from slbench.stats.pocock import sequential_level
from slbench.store import Store
from slbench.study import Study, StudyRun, load_study
from slbench.study_files import path_of, studies_of
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, make_record, missing, start_slbench, store_history

RULED = 'seeds = { min = 2, max = 3, until = "decided" }' + TINY_STUDY.replace(
    '["none", "lsa"]', '["none", "spt", "lsa"]'
)
ACCURACIES = {"none": (20.0, 21.0), "spt": (60.0, 61.01), "lsa": (21.0, 20.5)}  # spt is decided, lsa is not


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "ruled.toml"
    path.write_text(RULED)
    return path


@pytest.fixture
def store(study: Path, tmp_path: Path) -> Store:
    """Return a store with the first two seeds of all methods."""
    store = Store(tmp_path / "results")
    for run in load_study(study).runs:
        accuracy = ACCURACIES[run.labels.method][run.spec.seed]
        finish(store, run, accuracy=accuracy)
    return store


def finish(store: Store, run: StudyRun, *, accuracy: float) -> None:
    """Store a finished run of one epoch."""
    folder = store.begin(run.spec, run.labels)
    equal = dict.fromkeys(("final_test_top1", "best_test_top1", "selected_test_top1"), accuracy)
    record = make_record(run, **equal)
    store_history(folder, record)
    store.finish(folder, record)


def added_runs(study: Path, store: Store) -> list[tuple[str, int]]:
    """Return method and seed of the runs beyond the first two seeds."""
    return [(run.labels.method, run.spec.seed) for run in requested_runs(load_study(study), store)][6:]


def test_plan_and_status_include_the_seeds_that_the_rule_added(slbench: Command, study: Path, store: Store) -> None:
    assert added_runs(study, store) == [("none", 2), ("lsa", 2)]
    for result in (
        slbench("run-grid", study, "--store", store.root, "--plan"),
        slbench("status", study, "--store", store.root),
    ):
        lines = result.out.splitlines()
        assert (result.code, lines[-1]) == (0, "ruled: 6 of 8 done, 2 missing")
        assert not missing(
            lines[-2],
            "2 seeds",
            "S-Tiny on fashion-mnist-12k",
            "better",
            "waiting",
            "L-Tiny on fashion-mnist-12k",
            "3 seeds",
        )
        assert sum(line.startswith("missing Tiny") and "seed 2" in line for line in lines) == 2
    plan = slbench("run-grid", study, "--store", store.root, "--plan").out
    assert "to do: 2 runs" in plan
    assert not missing(plan, "seeds", "up to 3")
    assert not missing(plan, "3 seeds", "sequential, on test accuracy, family-wise error 5 % over 2 contrasts")
    assert not missing(plan, "decides", "at most 3 seeds", "95 %")


@pytest.mark.slow
def test_a_grid_adds_seeds_only_to_undecided_comparisons_and_prints_the_verdicts(
    slbench: Command, study: Path, store: Store
) -> None:
    for run in load_study(study).runs:  # one run is missing, so the rule adds seeds during the grid
        if (run.labels.method, run.spec.seed) == ("lsa", 1):
            shutil.rmtree(store.folder(run.spec, run.labels))
    assert added_runs(study, store) == []
    command = ("run-grid", study, "--store", store.root, "--devices", "cpu", "--jobs-per-device", 2, "--no-throughput")
    result = slbench(*command)
    lines = result.out.splitlines()
    assert result.code == 0
    assert [line.split()[2:7] for line in lines if line.startswith("added")] == [
        ["none", "fashion-mnist-12k", "seed", "2", id_of_seed_2(study, 0)],
        ["lsa", "fashion-mnist-12k", "seed", "2", id_of_seed_2(study, 4)],
    ]
    assert sum(line.startswith("start") for line in lines) == 3
    assert not missing(lines[-2], "2 seeds", "S-Tiny on fashion-mnist-12k", "better")
    assert lines[-1] == "ruled: 8 of 8 done"
    assert added_runs(study, store) == [("none", 2), ("lsa", 2)]
    again = slbench(*command)  # nothing is left to do
    assert (again.code, again.out.splitlines()[-2:]) == (0, lines[-2:])
    assert "start" not in again.out
    (written,), unreadable = studies_of(store)
    assert (len(written.runs), [look.state for look in written.looks].count("decided"), unreadable) == (8, 1, [])
    document = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    assert (document["total"], document["done"]) == (8, 8)
    assert document["seeds"]["max"] == 3
    assert document["seeds"]["level"] == pytest.approx(1 - sequential_level(2, 3, 1 - 0.95**0.5))
    spt, lsa = document["comparisons"]
    assert (spt["state"], spt["seeds"], spt["n"], spt["verdict"]) == ("decided", 2, 2, "better")
    assert spt["low"] < spt["adjusted"] <= spt["high"] and spt["estimate"] == pytest.approx(40.005)
    assert (lsa["seeds"], lsa["title"]) == (3, "L-Tiny on fashion-mnist-12k")


def id_of_seed_2(study: Path, index: int) -> str:
    """Return the id of a cell's run with seed 2, as printed."""
    return f"({load_study(study).runs[index].at(2).spec.run_id}):"


def test_an_export_of_a_study_includes_added_seeds(slbench: Command, study: Path, store: Store) -> None:
    added = [run for run in requested_runs(load_study(study), store) if run.spec.seed == 2]
    for run in added:
        finish(store, run, accuracy=20.0)
    result = slbench("export", study, store.root.parent / "runs.tar", "--store", store.root)
    assert result.code == 0
    assert "8 runs" in result.out


@pytest.mark.slow
def test_two_launchers_of_which_one_is_killed_finish_the_same_runs_as_one_launcher(study: Path, tmp_path: Path) -> None:
    def launch(store: Path) -> subprocess.Popen[str]:
        nowhere = subprocess.DEVNULL
        return start_slbench("run-grid", study, "--store", store, "--no-throughput", stdout=nowhere, stderr=nowhere)

    assert launch(tmp_path / "one").wait() == 0
    first, second = launch(tmp_path / "two"), launch(tmp_path / "two")
    try:
        first.wait(12)
    except subprocess.TimeoutExpired:
        first.kill()
    first.wait()
    assert second.wait() == 0
    found: Study = load_study(study)
    runs = requested_runs(found, Store(tmp_path / "one"))
    assert requested_runs(found, Store(tmp_path / "two")) == runs
    files = [path_of(Store(tmp_path / name), found.name).read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    for run in runs:
        one, other = (Store(tmp_path / name).record(run.spec.run_id) for name in ("one", "two"))
        assert one is not None and other is not None
        assert one.differences(other) == {}


def test_status_reports_a_damaged_study_file_in_one_line(slbench: Command, store: Store) -> None:
    path = path_of(store, "ruled")
    path.parent.mkdir()
    path.write_text('{"name": "ruled", "runs": 3')
    result = slbench("status", "--store", store.root)
    assert result.code == 1
    assert [line for line in result.out.splitlines() if str(path) in line] == [
        f"unreadable  {path}: file: damaged or of another version; the next launch of the study rewrites it"
    ]


def test_a_report_shows_each_contrast_as_the_rule_stopped_it_with_and_without_the_study(
    slbench: Command, study: Path, store: Store
) -> None:
    ruled = load_study(study)
    write_study_file(ruled, store)
    of_study, of_store = (
        json.loads(slbench("report", *arguments, "--store", store.root, "--json").out)["contrasts"]
        for arguments in ((study,), ())
    )
    by_name = [{row["contrast"]: row for row in rows} for rows in (of_study, of_store)]
    (decision,) = [
        each for each in decisions(ruled, outcomes_in(store, store.ids())) if each.comparison.contrast.method == "spt"
    ]
    for rows in by_name:
        spt, lsa = rows["spt against none"], rows["lsa against none"]
        assert (spt["verdict"], spt["sequential"]) == ("better", True)
        assert (spt["low"], spt["high"]) == pytest.approx((decision.analysis.low, decision.analysis.high), abs=1e-5)
        assert spt["estimate"] == pytest.approx(decision.analysis.adjusted, abs=1e-5)
        assert spt["estimate"] < 40.005, "less than the mean, which is biased upwards where it decided"
        assert lsa["sequential"] and lsa["verdict"] == "undecided" and lsa["level"] > 0.95
    text = slbench("report", study, "--store", store.root).out
    assert not missing(text, "sequential", "adjusted for stopping", "on test accuracy")
    path_of(store, "ruled").write_text("{")
    assert not missing(slbench("report", "--store", store.root).out, "cannot be read", "too narrow", "ruled.json")
