"""`seeds = { min, max, until }` from end to end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slbench.grid.adaptive_seeds import requested_runs
from slbench.store import Store
from slbench.study import Study, load_study
from tests.cli.conftest import Command
from tests.support import ROOT, TINY_STUDY, make_record, missing

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
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))
    return store


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
    assert not missing(plan, "decides", "2 or 3 seeds", "95 %")


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
    document = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    assert (document["total"], document["done"]) == (8, 8)
    assert document["seeds"]["max"] == 3
    assert document["seeds"]["level"] == pytest.approx(1 - 0.0276, abs=1e-4)
    spt, lsa = document["comparisons"]
    assert (spt["state"], spt["seeds"], spt["verdict"]) == ("decided", 2, "better")
    assert (lsa["seeds"], lsa["title"]) == (3, "L-Tiny on fashion-mnist-12k")


def id_of_seed_2(study: Path, index: int) -> str:
    """Return the id of a cell's run with seed 2, as printed."""
    return f"({load_study(study).runs[index].at(2).spec.run_id}):"


def test_an_export_of_a_study_includes_added_seeds(slbench: Command, study: Path, store: Store) -> None:
    added = [run for run in requested_runs(load_study(study), store) if run.spec.seed == 2]
    for run in added:
        store.finish(store.begin(run.spec, run.labels), make_record(run))
    result = slbench("export", study, store.root.parent / "runs.tar", "--store", store.root)
    assert result.code == 0
    assert "8 runs" in result.out


@pytest.mark.slow
def test_two_launchers_of_which_one_is_killed_finish_the_same_runs_as_one_launcher(study: Path, tmp_path: Path) -> None:
    def launch(store: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "slbench", "run-grid", str(study), "--store", str(store), "--no-throughput"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )

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
    for run in runs:
        one, other = (Store(tmp_path / name).record(run.spec.run_id) for name in ("one", "two"))
        assert one is not None and other is not None
        assert one.differences(other) == {}
