"""A small disk that is full: one line, no damage, and the same command resumes. Needs Linux namespaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.archive.conftest import finish
from tests.support import ROOT, TINY_STUDY, runs

SCRIPT = """
mount -t tmpfs -o size=1m tmpfs "$DISK" || exit 77
mkdir "$DISK/results"
dd if=/dev/zero of="$DISK/ballast" bs=1k count=$((1024 - $FREE)) 2>/dev/null
"$PYTHON" -c "$LAUNCH" run-grid "$STUDY" --store "$DISK/results" $FLAGS > "$OUT/first" 2>&1
echo $? > "$OUT/code"
cp -r "$DISK/results" "$OUT/then"
rm "$DISK/ballast"
mount -o remount,size=16m "$DISK"
"$PYTHON" -m slbench run-grid "$STUDY" --store "$DISK/results" $FLAGS > "$OUT/second" 2>&1 || exit 1
"$PYTHON" -m slbench clean --store "$DISK/results" --json > "$OUT/clean" || exit 1
cp -r "$DISK/results" "$OUT/results"
"""
# Without the check of free space before a job, so that the disk fills during a job.
UNCHECKED = (
    "import sys, slbench.cli, slbench.grid.local as local; local.disk_shortfall = lambda *_: None; "
    "sys.exit(slbench.cli.main())"
)
CHECKED = "import sys; from slbench.cli import main; sys.exit(main())"
FLAGS = "--devices cpu --no-throughput --jobs-per-device 1"
STOP_MESSAGES = ("stopped: disk full: ", "cannot write (No space left on device)", "disk full: exit code 1")


def small_disk(tmp_path: Path, *, free: int, launch: str) -> None:
    """Run a grid on a disk with `free` KiB, then with enough."""
    (tmp_path / "tiny.toml").write_text(TINY_STUDY)
    study = str(tmp_path / "tiny.toml")
    done = run_on_small_disk(tmp_path, SCRIPT, {"STUDY": study, "FREE": str(free), "LAUNCH": launch, "FLAGS": FLAGS})
    assert done.returncode == 0, (tmp_path / "second").read_text()


def run_on_small_disk(tmp_path: Path, script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a script that mounts a small disk."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    (tmp_path / "disk").mkdir()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "DISK": str(tmp_path / "disk"), "OUT": str(tmp_path),
        "PYTHON": sys.executable, **variables,
    }  # fmt: skip
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], env=environment, cwd=tmp_path, capture_output=True)
    if done.returncode == 77 or b"unshare" in done.stderr:
        pytest.skip("this user may not mount a small disk")
    return done


def check(tmp_path: Path) -> None:
    first = (tmp_path / "first").read_text()
    assert (tmp_path / "code").read_text() == "1\n"
    assert "Traceback" not in first
    assert any(message in first for message in STOP_MESSAGES)
    for path in tmp_path.glob("then/runs/*/record.json"):
        assert json.loads(path.read_bytes())["run_id"] in path.parent.name
    assert not list(tmp_path.glob("then/**/*.tmp"))
    runs = load_study(tmp_path / "tiny.toml").runs
    store = Store(tmp_path / "results")
    assert set(store.states(run.spec for run in runs).values()) == {"done"}
    assert len(list(store.records())) == 2
    assert json.loads((tmp_path / "clean").read_text())["found"] == []


@pytest.mark.slow
def test_a_grid_starts_no_job_without_free_space(tmp_path: Path) -> None:
    small_disk(tmp_path, free=1000, launch=CHECKED)
    check(tmp_path)
    assert [path.name for path in (tmp_path / "then").iterdir() if path.name != "studies"] == []  # no run has begun


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 4, 12, 24, 60, 100, 150, 200])
def test_a_disk_that_fills_during_a_grid_damages_no_file(tmp_path: Path, free: int) -> None:
    small_disk(tmp_path, free=free, launch=UNCHECKED)
    check(tmp_path)


CLEAN = """
mount -t tmpfs -o size=1m tmpfs "$DISK" || exit 77
cp -r "$OUT/source" "$DISK/results"
cat /dev/zero > "$DISK/ballast" 2>/dev/null
"$PYTHON" -m slbench clean --store "$DISK/results" --yes --unfinished --json > "$OUT/clean"
code=$?
find "$DISK/results" > "$OUT/left"
exit $code
"""


@pytest.mark.slow
def test_clean_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    store, (done, unfinished) = Store(tmp_path / "source"), runs({"method": ["none", "lsa"]})
    for folder in (finish(store, done), store.begin(unfinished.spec, unfinished.labels)):
        (folder / "checkpoint.pt").write_bytes(b"x" * 9000)
    assert run_on_small_disk(tmp_path, CLEAN, {}).returncode == 0
    removed = json.loads((tmp_path / "clean").read_text())
    assert [entry["kind"] for entry in removed["found"]] == ["unfinished run", "checkpoint"]
    left = (tmp_path / "left").read_text()
    assert "record.json" in left and "checkpoint" not in left and unfinished.spec.run_id not in left
