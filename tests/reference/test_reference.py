"""Committed reports of the reference studies are those of their committed runs."""

from pathlib import Path

import pytest

from tests.reference.regenerate import differences, names, regenerate


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_committed_report_is_that_of_the_committed_runs(name: str, tmp_path: Path) -> None:
    assert list(differences(name, regenerate(name, tmp_path))) == []
