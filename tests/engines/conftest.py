"""A fake SLURM on the PATH, and the command line in this process."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import slbench, study

__all__ = ["slbench", "study"]
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")


class FakeSlurm:
    """The state and the faults of a fake SLURM; see `tests.engines.fake_slurm`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.faults()

    def faults(self, **faults: Any) -> None:
        """Replace its faults."""
        (self.root / "faults.json").write_text(json.dumps(faults))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        path = self.root / "jobs.json"
        jobs: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return jobs

    def change(self, number: int, **values: Any) -> None:
        """Change a worker in the queue."""
        jobs = self.jobs
        jobs[number].update(values)
        (self.root / "jobs.json").write_text(json.dumps(jobs))

    def calls(self, command: str) -> list[str]:
        """Return the calls of a command."""
        path = self.root / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == command]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A fake SLURM that holds every worker in the queue, as long as its faults are not replaced."""
    programs = tmp_path / "bin"
    programs.mkdir()
    fake_program = shlex.join([sys.executable, "-IS", str(Path(__file__).with_name("fake_slurm.py"))])
    for name in COMMANDS:
        (programs / name).write_text(f'#!/bin/sh\nexec {fake_program} {name} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "slurm"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("slbench.engines.submit.LOOKUPS", (0.0, 0.0))
    fake = FakeSlurm(tmp_path / "slurm")
    fake.faults(hold=True)
    return fake
