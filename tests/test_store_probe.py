"""The probe of a folder accepts a usable file system, and names what a broken one does."""

from pathlib import Path

import pytest

from slbench import store_probe
from slbench.store_probe import store_faults


def test_a_usable_folder_has_no_faults_and_is_left_as_it_was(tmp_path: Path) -> None:
    assert store_faults(tmp_path / "results") == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_claims_do_not_exclude_each_other_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_probe, "create", lambda *_: True)
    (fault,) = store_probe.competition(tmp_path)
    assert "50 of 50" in fault and "claimed twice" in fault


def test_a_folder_in_which_nobody_can_claim_is_named(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / str(number)).touch()
    (fault,) = store_probe.competition(tmp_path)
    assert "7 of 50" in fault


def test_a_folder_in_which_files_are_read_half_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_probe, "replace", lambda path, content: path.write_text(content[:7]))
    (fault,) = store_probe.reading(tmp_path)
    assert "half-written" in fault
