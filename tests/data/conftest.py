"""Fixtures of data tests: an empty data root, and a machine short of memory."""

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty data root."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


class Little:
    """A machine with almost no free memory."""

    available = 1000


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", Little)
