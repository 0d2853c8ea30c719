"""Runs that diverge, from the grid to the report and into another store."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import slbench as package
from slbench.grid.status import GridStatus
from slbench.history import write_history
from slbench.record import DivergedRecord, RunRecord
from slbench.run_paths import RunPaths
from slbench.store import Store, read_ended
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.support import make_diverged, make_record, missing, store_history, store_record

STUDY = """
recipe = "quick"
[grid]
backbone = [{ name = "vit", label = "Tiny", patch_size = 16, dim = 8, depth = 1, num_heads = 1 }]
method = ["none", "spt"]
seed = [0, 1, 2, 3, 4]
[set]
recipe.epochs = 1
recipe.batch_size = 512
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "five.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def store(study: Path, tmp_path: Path) -> Store:
    """A store in which spt gains 2 points, and 2 of its 5 runs diverged."""
    store = Store(tmp_path / "results")
    for run in load_study(study).runs:
        seed, is_spt = run.spec.seed, run.labels.method == "spt"
        if is_spt and seed in (1, 3):
            store.diverge(store.begin(run.spec, run.labels), make_diverged(run))
        else:
            top1 = 80 + seed / 10 + is_spt * (2 + seed / 50)
            store_record(store, run, final_test_top1=top1, best_test_top1=top1, selected_test_top1=top1)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["NaN", "Infinity", None])
@pytest.mark.usefixtures("svg")
def test_a_report_in_every_format_survives_runs_that_diverged_and_results_that_are_no_numbers(
    slbench: Command, study: Path, store: Store, loss: str | None
) -> None:
    for run in load_study(study).runs:
        folder = store.ids()[run.spec.run_id]
        if loss is None:
            shutil.rmtree(folder)
            store.diverge(store.begin(run.spec, run.labels), make_diverged(run))
        elif run.spec.seed in (0, 2):
            text = RunPaths(folder).record.read_text()
            RunPaths(folder).record.write_text(text.replace('"final_test_loss": 0.625', f'"final_test_loss": {loss}'))
    for arguments in ([study], []):
        everything = ("--format", "md,csv,latex,html", "--figures", "all")
        result = slbench("report", *arguments, "--store", store.root, *everything)
        assert result.code == 0 and not missing(result.out, "report.html")
        assert loss is None or not missing(result.out, "record.json")


def test_a_report_withholds_the_verdict_counts_the_diverged_and_names_them(
    slbench: Command, study: Path, store: Store
) -> None:
    out = slbench("report", study, "--store", store.root, "--columns", "final,gain,diverged").out
    assert not missing(out, "withheld", "2 of 5 spt", "(3; 2 of 5 diverged)", "in epoch 1")
    assert "Unfinished" not in out
    assert "withheld, +2.04, 3 seeds" in out and "+2.04 (withheld)" in out
    frame = pd.read_csv(store.root / "reports" / "five" / "table.csv")
    assert frame["fashion-mnist-12k_diverged"].tolist() == [0, 2]
    runs = pd.read_csv(store.root / "reports" / "five" / "runs.csv")
    assert runs["status"].value_counts().to_dict() == {"finished": 8, "diverged": 2}


def test_a_study_may_count_diverged_runs_as_guessing(slbench: Command, study: Path, store: Store) -> None:
    study.write_text(STUDY + '[statistics]\nfailures = "chance"\n')
    row = json.loads(slbench("report", study, "--store", store.root, "--json").out)["contrasts"][0]
    assert row["n"] == 5
    assert row["estimate"] == pytest.approx((2 + (10 - 80.1) + 2.04 + (10 - 80.3) + 2.08) / 5)


def test_load_runs_has_them_and_contrasts_withholds(store: Store) -> None:
    frame = package.load_runs(store.root)
    assert frame["status"].value_counts().to_dict() == {"finished": 8, "diverged": 2}
    assert set(frame["kind"]) == {"grid"}
    (row,) = package.contrasts(frame).itertuples()
    assert (row.verdict, row.failed, row.n) == ("withheld", "2 of 5 spt", 3)


def test_a_method_without_any_finished_run_keeps_its_row(slbench: Command, study: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for run in load_study(study).runs:
        if run.labels.method == "spt":
            store.diverge(store.begin(run.spec, run.labels), make_diverged(run))
        else:
            store_record(store, run)
    assert not missing(slbench("report", study, "--store", store.root).out, "S-Tiny", "(5 of 5 diverged)")


def test_they_are_not_run_again_unless_asked_and_the_grid_has_ended(
    slbench: Command, study: Path, store: Store
) -> None:
    result = slbench("run-grid", study, "--store", store.root, "--no-throughput")
    assert (result.code, result.err) == (0, "")
    assert not missing(result.out, "8 of 10 done", "2 diverged")
    status = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    assert status["diverged"] == 2
    store.retry_diverged(run.spec for run in load_study(study).runs)
    assert "missing" in GridStatus.of(load_study(study).runs, store).states.values()


def test_they_are_exported_and_imported(slbench: Command, study: Path, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "runs.tar"
    for folder in store.ids().values():
        outcome = read_ended(folder)
        if isinstance(outcome, RunRecord):
            store_history(folder, outcome)
        else:
            write_history(folder / "metrics.csv", [])
    assert slbench("export", study, archive, "--store", store.root).code == 0
    there = Store(tmp_path / "there")
    result = slbench("import", archive, "--store", there.root, "--json")
    assert result.err == ""
    assert (result.code, len(json.loads(result.out)["added"])) == (0, 10)
    (run, *_) = [run for run in load_study(study).runs if run.labels.method == "spt" and run.spec.seed == 1]
    assert there.diverged(run.spec.run_id) == store.diverged(run.spec.run_id) is not None
    again = json.loads(slbench("import", archive, "--store", there.root, "--json").out)
    assert (len(again["same"]), again["conflicts"]) == (10, [])
    shutil.rmtree(there.folder(run.spec, run.labels))
    store_record(there, run)
    (conflict,) = json.loads(slbench("import", archive, "--store", there.root, "--json").out)["conflicts"]
    assert conflict["differences"] == {"status": {"here": "finished", "there": "diverged"}}


def test_a_damaged_outcome_is_named_and_the_run_repeated(slbench: Command, study: Path, store: Store) -> None:
    path = next(store.root.glob("runs/*/diverged.json"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "epoch": "first"}))
    with pytest.warns(UserWarning, match=r"diverged\.json"):
        assert len(package.load_runs(store.root)) == 9
    result = slbench("report", study, "--store", store.root)
    assert not missing(result.out, "1 unreadable record", "diverged.json", "epoch")
    path.write_text("{")
    states = store.states(run.spec for run in load_study(study).runs)
    assert sorted(states.values()).count("missing") == 1


def test_a_record_and_an_outcome_differ_in_their_status(study: Path) -> None:
    run = load_study(study).runs[0]
    assert make_record(run).differences(make_diverged(run)) == {"status": ("finished", "diverged")}
    outcome = make_diverged(run)
    assert isinstance(outcome, DivergedRecord)
    assert outcome.differences(outcome.model_copy(update={"epoch": 2, "seconds": 9.0})) == {"epoch": (1, 2)}


@pytest.mark.slow
def test_a_run_that_diverges_in_its_last_step_is_no_result_at_chance(
    slbench: Command, study: Path, tmp_path: Path
) -> None:
    study.write_text(
        STUDY.replace("seed = [0, 1, 2, 3, 4]", "seed = [0]") + "recipe.lr = 1e30\nrecipe.warmup_epochs = 0\n"
    )
    store = tmp_path / "results"
    result = slbench("run-grid", study, "--store", store, "--devices", "cpu", "--no-throughput")
    assert result.code == 0
    assert not missing(result.out, "diverged Tiny none", "0 of 2 done", "2 diverged") and "done    " not in result.out
    assert not list(store.glob("runs/*/record.json")) and len(list(store.glob("runs/*/diverged.json"))) == 2
    before = {path: path.read_bytes() for path in store.glob("runs/*/diverged.json")}
    assert slbench("run-grid", study, "--store", store, "--devices", "cpu", "--no-throughput").code == 0
    assert {path: path.read_bytes() for path in before} == before
    again = slbench("run-grid", study, "--store", store, "--devices", "cpu", "--no-throughput", "--retry-diverged")
    assert again.out.count("diverged Tiny") >= 2
    assert RunPaths.failure not in {path.name for path in store.glob("runs/*/*")}
    trained = slbench("train", study, "--method", "none", "--store", store, "--devices", "cpu")
    assert trained.code == 1 and "diverged" in trained.err and "Traceback" not in trained.err
