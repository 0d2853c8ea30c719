"""The code reads a store of an earlier version (tests/golden_store)."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import pytest

import slbench as package
from slbench.record import read_record
from tests.cli.conftest import Command

GOLDEN = Path(__file__).parents[1] / "golden_store"
FINISHED = "dd91fc0df647"  # both, seed 0
FAILED, PAUSED = "28690866a8c0", "14d9b7792036"
WRITTEN_WITH = ("m0d686824133", "2.14.1")  # processor and torch; weights are bitwise equal only with these
PRUNED = ("755c2f407937", "833aa63d14b4")


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the golden folder; it is the current folder."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")
    return tmp_path / "golden"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("golden")
def test_status_lists_every_state(slbench: Command) -> None:
    document = json.loads(slbench("status", "--store", "store", "--json").out)
    states = {run["run_id"]: run["state"] for run in document["runs"]}
    assert len(states) == 21
    assert (states[FINISHED], states[FAILED], states[PAUSED]) == ("done", "failed", "paused")
    assert {states[run] for run in PRUNED} == {"pruned"}


@pytest.mark.usefixtures("golden")
def test_a_study_of_the_store_is_planned_with_nothing_to_do(slbench: Command) -> None:
    plan = json.loads(slbench("run-grid", "golden.toml", "--store", "store", "--plan", "--json").out)
    assert [run["state"] for run in plan["runs"]] == ["done"] * 8


@pytest.mark.usefixtures("golden")
def test_a_failure_is_shown_with_its_reason(slbench: Command) -> None:
    assert slbench("logs", FAILED, "--store", "store").code == 0
    result = slbench("status", "failed.toml", "--store", "store")
    assert (result.code, "the loss is nan" in result.out) == (1, True)


@pytest.mark.parametrize("name", ["golden", "all"])
def test_reports_have_the_numbers_of_the_earlier_version(slbench: Command, golden: Path, name: str) -> None:
    study = ["golden.toml"] if name == "golden" else []
    result = slbench("report", *study, "--store", "store", "--format", "md,csv,latex")
    assert (result.code, result.err) == (0, "")
    for file in ("runs.csv", "table.csv"):
        old, new = rows(golden / "expected" / name / file), rows(golden / "store" / "reports" / name / file)
        assert len(new) == len(old)
        for before, after in zip(old, new, strict=True):
            # Intervals are simultaneous now, and "run" was the name of the folder, which ends with the id.
            kept = [key for key in before if key not in ("notes", "run") and "_gain" not in key]
            assert before.get("run", "").endswith(after.get("run", ""))
            assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    old, new = (rows(golden / folder / name / "findings.csv") for folder in ("expected", "store/reports"))
    found = {(row["backbone"], row["dataset"], row["setting"], row["contrast"]): row["estimate"] for row in new}
    assert len(found) == len(new)
    assert {row["estimate"] for row in old if row["question"] == "gain"} <= set(found.values())


@pytest.mark.usefixtures("golden")
def test_load_runs_has_every_finished_run() -> None:
    frame = package.load_runs("store")
    assert len(frame) == 17
    assert frame.loc[FINISHED, "final_test_top1"] == 24.2


@pytest.mark.usefixtures("golden")
def test_learned_temperatures_are_analyzed(slbench: Command) -> None:
    document = json.loads(slbench("analyze", "temperature", FINISHED, "--store", "store", "--json").out)
    assert document


@pytest.mark.usefixtures("golden")
def test_runs_are_exported_and_imported(slbench: Command) -> None:
    assert slbench("export", "golden.toml", "runs.tar.gz", "--store", "store").code == 0
    assert slbench("import", "runs.tar.gz", "--store", "there").code == 0
    status = json.loads(slbench("status", "golden.toml", "--store", "there", "--json").out)
    assert {run["state"] for run in status["runs"]} == {"done"}


@pytest.mark.usefixtures("golden")
def test_measurements_are_exported_and_imported(slbench: Command) -> None:
    assert slbench("export", "--all", "runs.tar", "--store", "store").code == 0
    imported = json.loads(slbench("import", "runs.tar", "--store", "there", "--json").out)
    files = [file for kind in ("throughput", "probes", "memory") for file in Path("store", kind).glob("*/*.json")]
    assert (len(imported["added"]), imported["measurements"], len(files)) == (17, 10, 10)
    assert all(Path("there", *file.parts[1:]).read_bytes() == file.read_bytes() for file in files)


@pytest.mark.usefixtures("golden")
def test_clean_keeps_the_paused_run(slbench: Command) -> None:
    result = slbench("clean", "--store", "store", "--json")
    assert result.code == 0
    assert not any(PAUSED in entry["path"] for entry in json.loads(result.out)["found"])


def test_a_complete_search_is_reported_and_not_changed_by_another_call(slbench: Command, golden: Path) -> None:
    search = json.loads((golden / "store/tuning/golden/search.json").read_text())
    assert search["rows"][0]["winner"] is not None
    assert slbench("report", "store/tuning/golden").code == 0
    result = slbench(*shlex.split(search["command"])[1:], "--store", "store")
    assert (result.code, result.err) == (0, "")
    again = json.loads((golden / "store/tuning/golden/search.json").read_text())
    (now,), (then,) = (
        [[row["comparison"].pop(key) for key in ("low", "high", "words")][:2] for row in document["rows"]]
        for document in (again, search)
    )
    assert [row.pop("importance") for row in again["rows"]] == [None]  # so few trials do not show it
    del search["rows"][0]["importance"]
    assert again["rows"] == search["rows"]
    assert now == pytest.approx(then)


@pytest.mark.slow
def test_the_search_resumes_with_the_next_trial_of_the_earlier_version(slbench: Command, golden: Path) -> None:
    search = json.loads((golden / "store/tuning/golden/search.json").read_text())
    result = slbench(*shlex.split(search["command"])[1:], "--store", "store", "--trials", "8")
    assert (result.code, result.err) == (0, "")
    trials = rows(golden / "store/tuning/golden/trials.csv")
    assert len(trials) == 8
    assert (trials[7]["run_ids"], trials[7]["method_initial_temperature"]) == ("614978bde432", "0.722")
    assert (trials[7]["state"], trials[7]["is_baseline"]) == ("pruned", "False")


@pytest.mark.slow
def test_the_paused_run_resumes_to_the_result_of_an_uninterrupted_run(slbench: Command, golden: Path) -> None:
    result = slbench("run-grid", "paused.toml", "--store", "store", "--devices", "cpu", "--no-throughput", "--json")
    assert result.code == 0
    (folder,) = (golden / "store" / "runs").glob(f"*-{PAUSED}")
    epochs = [int(row["epoch"]) for row in rows(folder / "metrics.csv")]
    assert epochs == list(range(1, 31))
    record = read_record(folder / "record.json")
    assert record.steps == 30 * 9
    assert record.final_train_loss == pytest.approx(1.156178010834588, rel=1e-3)  # bitwise on one kind of processor
    assert record.final_test_top1 == pytest.approx(67.35, abs=0.5)
    if (record.host.machine_id, record.code.versions["torch"]) == WRITTEN_WITH:
        assert record.weights_sha256 == "c962e68ea3cb0e675a3193370006ec7fc48e8123a1f83b6016abbd310da875c2"


@pytest.mark.slow
@pytest.mark.usefixtures("golden", "svg")
def test_a_page_is_written_with_all_figures(slbench: Command, golden: Path) -> None:
    assert slbench("report", "golden.toml", "--store", "store", "--format", "html").code == 0
    page = (golden / "store" / "reports" / "golden" / "report.html").read_text(encoding="utf-8")
    assert all(run in page for run in (FINISHED, "7ac8acdb98d1", "2450d1ee0288"))
