"""A grid that is killed again and again, its launcher, its children or all of them, ends as the calm one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import load_study
from tests.support import ROOT, TINY_STUDY

STUDY = TINY_STUDY.replace("[set]", "seed = SEEDS\n[set]").replace("epochs = 1", "epochs = EPOCHS").replace("512", "64")
STUDY += "recipe.ema_decay = 0.9\n"


COMMAND = [sys.executable, "-m", "slbench", "run-grid", "--devices", "cpu", "--no-throughput", "--retries", "1000"]


def launch(study: Path, store: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, str(study), "--store", str(store)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )


def records_of(store: Path) -> dict[str, tuple[int, int]]:
    """What identifies each record's file: a second one would be another file."""
    return {
        path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.glob("runs/*/record.json")
    }


def strike(launcher: subprocess.Popen[bytes], draw: random.Random) -> str:
    """Kill something with SIGKILL; give what."""
    children = psutil.Process(launcher.pid).children(recursive=True)
    whom = draw.choice(["launcher", "child", "all"])
    victims = {"launcher": [], "child": children[:1], "all": children}[whom]
    draw.shuffle(victims)
    if whom != "child":
        launcher.kill()
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    return whom


def storm(study: Path, store: Path, log: Path, *, kills: int, seed: int) -> tuple[Counter[str], int]:
    """Run the study under so many kills; how many of what, and how many launchers it took."""
    draw, struck, launchers = random.Random(seed), Counter[str](), 0
    launcher: subprocess.Popen[bytes] | None = None
    first_records: dict[str, tuple[int, int]] = {}
    while True:
        if launcher is None or launcher.poll() is not None:
            if launcher is not None and launcher.returncode == 0:
                break
            launcher, launchers = launch(study, store, log), launchers + 1
            assert launchers <= kills + 2
        if struck.total() < kills:
            time.sleep(draw.uniform(0.0, 4.0))
            if launcher.poll() is None:
                struck[strike(launcher, draw)] += 1
        else:
            launcher.wait(timeout=600)
        for run, identity in records_of(store).items():
            assert first_records.setdefault(run, identity) == identity, f"{run}: its record was written again"
    return struck, launchers


def content(store: Path, study: Path) -> list[RunRecord]:
    return list(Store(store).records(run.spec.run_id for run in load_study(study).runs))


@pytest.mark.parametrize(
    ("kills", "epochs", "seeds"),
    [pytest.param(50, 12, 3, marks=pytest.mark.slow), pytest.param(3, 1, 1, marks=pytest.mark.slow)],
    ids=["50 kills", "3 kills"],
)
def test_a_storm_of_kills_leaves_every_run_finished_once_with_the_weights_of_the_calm_grid(
    tmp_path: Path, kills: int, epochs: int, seeds: int
) -> None:
    study = tmp_path / "storm.toml"
    study.write_text(STUDY.replace("EPOCHS", str(epochs)).replace("SEEDS", str(list(range(seeds)))))
    began = time.monotonic()
    struck, launchers = storm(study, tmp_path / "stormy", tmp_path / "said.txt", kills=kills, seed=kills)
    took = time.monotonic() - began
    assert launch(study, tmp_path / "calm", tmp_path / "calm.txt").wait(timeout=600) == 0

    calm, stormy = content(tmp_path / "calm", study), content(tmp_path / "stormy", study)
    assert len(calm) == len(stormy) == 2 * seeds
    for one, other in zip(calm, stormy, strict=True):
        assert one.differences(other) == {}
    assert list((tmp_path / "stormy" / "claims").iterdir()) == []
    leftovers = [path for path in tmp_path.glob("stormy/runs/*/*") if "checkpoint" in path.name]
    assert leftovers == []
    summary = {"kills": dict(struck), "launchers": launchers, "seconds": round(took), "runs": len(stormy)}
    print("storm:", json.dumps(summary))
