"""`slbench work`: several workers on one store."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slbench.grid import local
from slbench.store import Store
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, make_record, missing, start_slbench

SEEDS = "seeds = { min = 2, max = 3, until = 'decided' }\n"
Script = Callable[[str], None]


@pytest.fixture
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CLAIM_SECONDS", 0.1)
    monkeypatch.setattr(local, "TICK_SECONDS", 0.05)


def start(study: Path, store: Path, *more: str, command: str = "work") -> subprocess.Popen[str]:
    flags = ("--store", store, "--devices", "cpu", *more)
    return start_slbench(command, study, *flags, cwd=study.parent, stderr=subprocess.STDOUT)


def finish(worker: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a worker; return its exit code and output."""
    text, _ = worker.communicate(timeout=600)
    return worker.returncode, text


def states(study: Path, store: Path) -> list[str]:
    return list(Store(store).states(run.spec for run in load_study(study).runs).values())


def test_a_worker_starts_at_most_max_runs(slbench: Command, study: Path, tmp_path: Path, python: Script) -> None:
    python("exit 3")
    result = slbench("work", study, "--store", tmp_path / "results", "--devices", "cpu", "--max-runs", "1")
    assert result.code == 1
    assert not missing(result.out, "--max-runs", "1 run")
    assert states(study, tmp_path / "results") == ["failed", "missing"]


@pytest.mark.usefixtures("short_intervals")
def test_a_worker_skips_claimed_runs_unless_it_waits(
    slbench: Command, study: Path, tmp_path: Path, python: Script
) -> None:
    python("exit 3")
    store = tmp_path / "results"
    none, lsa = load_study(study).runs
    claim = Store(store).claims.acquire(none.spec.run_id)
    assert claim is not None
    result = slbench("work", study, "--store", store, "--devices", "cpu")
    assert result.code == 1, "lsa failed here"
    assert not missing(result.out, "--wait", "1 run") and "waiting" not in result.out
    assert list(Store(store).states([none.spec, lsa.spec]).values()) == ["running", "failed"]
    claim.release(done=False)
    assert slbench("work", study, "--store", store, "--devices", "cpu", "--wait").code == 1
    assert list(Store(store).states([none.spec, lsa.spec]).values()) == ["failed", "failed"]


@pytest.mark.usefixtures("short_intervals")
def test_a_worker_whose_store_is_deleted_ends_with_one_line_and_creates_no_store(
    slbench: Command, study: Path, tmp_path: Path, python: Script
) -> None:
    store = tmp_path / "results"
    python(f"mv {store} {tmp_path}/moved; exec sleep 60")
    result = slbench("work", study, "--store", store, "--devices", "cpu")
    assert result.code == 2
    assert not missing(result.err, store, "vanished", "resume")
    assert result.err.count("\n") == 1
    assert not store.exists()


def test_a_full_disk_has_exit_code_1(
    slbench: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "disk_shortfall", lambda *_: "disk full: no room")
    result = slbench("work", study, "--store", tmp_path / "results", "--devices", "cpu")
    assert result.code == 1
    assert not missing(result.out, "disk full")


@pytest.mark.parametrize(
    ("flag", "value", "allowed"), [("--max-time", "soon", "30m"), ("--max-time", "0", "30m"), ("--max-runs", "0", "1")]
)
def test_an_invalid_limit_is_refused(
    slbench: Command, study: Path, tmp_path: Path, flag: str, value: str, allowed: str
) -> None:
    result = slbench("work", study, "--store", tmp_path / "results", flag, value)
    result.check_error(flag, allowed)
    assert not (tmp_path / "results").exists()


def test_a_worker_waits_for_claimed_runs_of_an_undecided_comparison(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slbench: Command, python: Script
) -> None:
    python("exit 3")
    monkeypatch.setattr("slbench.grid.adaptive_seeds.READ_SECONDS", -1.0)
    study.write_text(SEEDS + TINY_STUDY)
    runs, store = load_study(study).runs, Store(tmp_path / "results")
    for run, accuracy in zip(runs[:3], (80.0, 80.5, 80.25), strict=True):
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=accuracy))
    elsewhere = store.claims.acquire(runs[3].spec.run_id)
    assert elsewhere is not None
    monkeypatch.setattr(local, "CLAIM_SECONDS", 0.1)
    ticks = iter(range(10_000))

    def finish_elsewhere(_: local.LocalExecutor) -> None:
        """Finish the run of the other worker after some ticks."""
        if next(ticks) == 8:
            store.finish(store.begin(runs[3].spec, runs[3].labels), make_record(runs[3], final_test_top1=80.25))
            elsewhere.release(done=True)

    monkeypatch.setattr(local, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(local.LocalExecutor, "_check_jobs", finish_elsewhere)
    result = slbench("work", study, "--store", tmp_path / "results", "--devices", "cpu")
    assert next(ticks) > 8
    assert result.code == 1, "the added seeds failed"
    failed = [run.at(2) for run in runs if run.spec.seed == 0]
    assert set(store.states(run.spec for run in failed).values()) == {"failed"}


@pytest.mark.slow
def test_workers_and_a_grid_share_the_runs_of_a_study_with_a_seed_rule(tmp_path: Path, study: Path) -> None:
    study.write_text(SEEDS + TINY_STUDY.replace('["none", "lsa"]', '["none", "lsa", "spt"]'))
    together, alone = tmp_path / "together", tmp_path / "alone"
    workers = [start(study, together), start(study, together, command="run-grid"), start(study, together)]
    codes, texts = zip(*(finish(worker) for worker in workers), strict=True)
    assert codes == (0, 0, 0), texts
    assert finish(start(study, alone))[0] == 0
    one, other = ({r.run_id: r for r in Store(store).records()} for store in (together, alone))
    assert one.keys() == other.keys()
    assert all(record.differences(other[run_id]) == {} for run_id, record in one.items())
    assert sum(text.count("done ") for text in texts) >= len(one)
    assert list((together / "claims").iterdir()) == []


@pytest.mark.slow
def test_a_worker_stops_at_a_checkpoint_within_its_time_limit_and_the_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, study: Path
) -> None:
    study.write_text(TINY_STUDY.replace('["none", "lsa"]', '["lsa"]').replace("epochs = 1", "epochs = 150"))
    store, uninterrupted = tmp_path / "results", tmp_path / "uninterrupted"
    code, text = finish(start(study, store, "--max-time", "8s"))
    assert code == 0, text
    assert states(study, store) == ["paused"], text
    assert list(store.glob("runs/*/checkpoint.pt"))
    assert Store(store).claims.holders() == {}
    assert [finish(start(study, folder))[0] for folder in (store, uninterrupted)] == [0, 0]
    (one,), (other,) = list(Store(store).records()), list(Store(uninterrupted).records())
    assert one.differences(other) == {}


@pytest.mark.slow
def test_a_worker_ends_if_the_store_of_its_running_job_is_deleted(tmp_path: Path, study: Path) -> None:
    study.write_text(TINY_STUDY.replace("epochs = 1", "epochs = 200"))
    store = tmp_path / "results"
    with start(study, store) as worker:
        try:
            while not list(store.glob("runs/*/metrics.csv")):
                time.sleep(0.1)
                assert worker.poll() is None
            while store.exists():  # the worker writes and removes files while they are deleted
                shutil.rmtree(store, ignore_errors=True)
            code, text = finish(worker)
        finally:
            worker.kill()
    assert code == 2, text
    assert "Traceback" not in text and not missing(text, "vanished", "resume")
    assert json.dumps(sorted(path.name for path in store.glob("*"))) in ("[]", '["runs"]')  # a worker's last write
