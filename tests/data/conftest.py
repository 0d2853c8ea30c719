"""What tests of data share: a data root of their own, and a machine that is short of memory."""

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of this test's own."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


class Little:
    """A machine whose memory holds hardly anything."""

    available = 1000


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", Little)
