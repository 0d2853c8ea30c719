"""A grid whose launcher, worker processes or both are killed repeatedly ends like an undisturbed grid."""

import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import load_study
from tests.support import TINY_STUDY, start_slbench

STUDY = TINY_STUDY.replace("[set]", "seed = SEEDS\n[set]").replace("epochs = 1", "epochs = EPOCHS").replace("512", "64")
STUDY += "recipe.ema_decay = 0.9\n"
COMMAND = ["run-grid", "--devices", "cpu", "--no-throughput", "--retries", "1000"]


def launch(study: Path, store: Path, log: Path, **environment: str) -> subprocess.Popen[str]:
    with log.open("ab") as output:
        return start_slbench(
            *COMMAND, study, "--store", store, stdout=output, stderr=subprocess.STDOUT, environment=environment
        )


def records_of(store: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of each record by folder; both change if a record is written again."""
    return {
        path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.glob("runs/*/record.json")
    }


def kill(launcher: subprocess.Popen[str], draw: random.Random) -> str:
    """Send SIGKILL to the launcher, to a worker process or to all; return which."""
    workers = psutil.Process(launcher.pid).children(recursive=True)
    target = draw.choice(["launcher", "worker", "all"])
    processes = {"launcher": [], "worker": workers[:1], "all": workers}[target]
    draw.shuffle(processes)
    if target != "worker":
        launcher.kill()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return target


def run_with_kills(study: Path, store: Path, log: Path, *, kills: int, seed: int) -> tuple[Counter[str], int]:
    """Run the study and kill processes; return the kills by target and the number of launchers."""
    draw, killed, launchers = random.Random(seed), Counter[str](), 0
    first_records: dict[str, tuple[int, int]] = {}
    launcher: subprocess.Popen[str] | None = None
    try:
        while launcher is None or launcher.poll() != 0:
            if launcher is None or launcher.poll() is not None:
                launcher, launchers = launch(study, store, log), launchers + 1
                assert launchers <= kills + 2
            if killed.total() < kills:
                time.sleep(draw.uniform(0.0, 4.0))
                if launcher.poll() is None:
                    killed[kill(launcher, draw)] += 1
            else:
                launcher.wait(timeout=600)
            for run, version in records_of(store).items():
                assert first_records.setdefault(run, version) == version, f"{run}: its record was written again"
    finally:
        if launcher is not None:
            launcher.kill()
    return killed, launchers


def study_records(store: Path, study: Path) -> list[RunRecord]:
    return list(Store(store).records(run.spec.run_id for run in load_study(study).runs))


@pytest.mark.parametrize(
    ("kills", "epochs", "seeds"),
    [pytest.param(50, 12, 3, marks=pytest.mark.slow), pytest.param(3, 1, 1, marks=pytest.mark.slow)],
    ids=["50 kills", "3 kills"],
)
def test_a_killed_grid_finishes_every_run_once_with_the_weights_of_an_undisturbed_grid(
    tmp_path: Path, kills: int, epochs: int, seeds: int
) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY.replace("EPOCHS", str(epochs)).replace("SEEDS", str(list(range(seeds)))))
    started = time.monotonic()
    targets, launchers = run_with_kills(study, tmp_path / "killed", tmp_path / "killed.txt", kills=kills, seed=kills)
    seconds = time.monotonic() - started
    assert launch(study, tmp_path / "undisturbed", tmp_path / "undisturbed.txt").wait(timeout=600) == 0

    undisturbed, killed = (study_records(tmp_path / name, study) for name in ("undisturbed", "killed"))
    assert len(undisturbed) == len(killed) == 2 * seeds
    for expected, actual in zip(undisturbed, killed, strict=True):
        assert expected.differences(actual) == {}
    assert list((tmp_path / "killed" / "claims").iterdir()) == []
    assert list(tmp_path.glob("killed/runs/*/*checkpoint*")) == []
    print(f"{dict(targets)} kills, {launchers} launchers, {seconds:.0f} s, {len(killed)} runs")
