"""Secrets of the environment, and passwords of storage URLs, are neither stored nor printed."""

from pathlib import Path
from typing import Any

import pytest

from slbench.cli import search_workers
from slbench.engines.submission import submissions
from slbench.grid.shared_queue import SharedRun
from slbench.run_paths import RunPaths
from slbench.store import Store
from tests.cli.conftest import Command, Result
from tests.engines.conftest import FakeSlurm
from tests.grid.fake_jobs import fake_workers
from tests.support import TINY_STUDY, make_record, missing, store_history

SECRET = "s3cr3t"
READS_A_SECRET = """
import os
from slbench.plugins import register_augmentation


@register_augmentation("reads_a_secret")
def reads_a_secret(images, generator):
    key = os.environ["WANDB_API_KEY"]
    raise ValueError(f"a key of {len(key)} characters")
"""
SEARCH = ("tune-temperature", "--method", "lsa", "--name", "s", "--compare-seeds", "0", "--seeds-per-trial", "1")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)


def leaks(root: Path) -> list[str]:
    """Return the files below a folder whose name or content has the secret."""
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if SECRET in str(path) or SECRET.encode() in path.read_bytes()]


def test_workers_store_and_print_no_secret_of_their_environment(
    slbench: Command, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(READS_A_SECRET)
    study, root = tmp_path / "own.toml", tmp_path / "results"
    axis = '"recipe.augmentation" = ["", "reads_a_secret"]\n[set]'
    study.write_text(
        'plugins = ["own.py"]\n' + TINY_STUDY.replace('["none", "lsa"]', '["none"]').replace("[set]", axis)
    )
    where, printed = ("--store", root), list[Result]()
    printed.append(slbench("submit", study, *where, "--workers", 1))
    ((_, folder),) = submissions(Store(root))
    for name, value in {"SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    slurm.change(0, state="RUNNING", node="n1")
    work = ("work", folder.path / "own.toml", *where, "--devices", "cpu", "--jobs-per-device", 1, "--retries", 0)
    printed.append(slbench(*work, "--submission", folder.path))
    folder.log(0).write_text(printed[-1].out + printed[-1].err)  # as the job script does
    (failed,) = root.glob("runs/*/failure.json")
    assert not missing(RunPaths(failed.parent).log.read_text(), f"a key of {len(SECRET)} characters", "ValueError")
    printed += [slbench("status", study, *where, *more) for more in ((), ("--json",))]
    printed += [slbench("logs", name, *where) for name in ("100_0", failed.parent.name.rpartition("-")[2])]
    assert [result.code for result in printed] == [0, 1, 1, 1, 0, 0], printed
    assert len(Store(root).ids()) == 2 and leaks(root) == []
    assert SECRET not in str(printed)


def test_a_search_stores_and_prints_no_password_of_its_storage(
    slbench: Command, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen, keep_workers = tmp_path / "results", list[str](), search_workers.ClusterSearch._keep_workers
    url = f"sqlite:///file:{tmp_path}/search.db?uri=true&password={SECRET}"

    def submit_and_train(search: Any) -> None:
        keep_workers(search)
        assert leaks(root) == []
        (path,) = [path for path in search.queue.folder.glob("*.json") if path.name != "queue.json"]
        run = SharedRun.model_validate_json(path.read_bytes()).run
        run_folder, record = search.store.begin(run.spec, run.labels), make_record(run)
        store_history(run_folder, record)
        search.store.finish(run_folder, record)

    def look() -> float:
        seen.extend(path.read_text() for path in root.glob("runs/*/launch.json"))
        assert leaks(root) == []
        return 0.0

    monkeypatch.setattr(search_workers.ClusterSearch, "_keep_workers", submit_and_train)
    monkeypatch.setattr("slbench.tuning.figures.draw", lambda record, folder, look: [])
    for trials, where in ((1, ("--engine", "slurm")), (2, ("--devices", "cpu"))):  # the second goes on with the first
        command = [*SEARCH, "--trials", str(trials), "--storage", url, "--store", str(root), *where]
        monkeypatch.setattr("sys.argv", ["slbench", *command])
        with fake_workers(look):
            result = slbench(*command)
        assert result.code == 0, result.err
        assert SECRET not in result.out + result.err and leaks(root) == []
    assert len(slurm.jobs) == 1 and len(Store(root).ids()) == 2
    assert "password=***" in (root / "tuning/s/search.json").read_text()
    assert len(seen) == 1 and "password=***" in seen[0], "the command was not stored"
    status = slbench("status", "--store", root)
    assert status.code == 0 and SECRET not in status.out + status.err
