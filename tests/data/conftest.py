"""Fixtures of data tests: an empty data root, and a machine short of memory."""

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty data root."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have almost no free memory."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=20_000))
