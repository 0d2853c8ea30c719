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
from tests.support import ROOT, TINY_STUDY

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
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    (tmp_path / "disk").mkdir()
    (tmp_path / "tiny.toml").write_text(TINY_STUDY)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "DISK": str(tmp_path / "disk"), "OUT": str(tmp_path),
        "STUDY": str(tmp_path / "tiny.toml"), "FREE": str(free), "PYTHON": sys.executable, "LAUNCH": launch,
        "FLAGS": FLAGS,
    }  # fmt: skip
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True)
    if done.returncode == 77 or b"unshare" in done.stderr:
        pytest.skip("this user may not mount a small disk")
    assert done.returncode == 0, (tmp_path / "second").read_text()


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
