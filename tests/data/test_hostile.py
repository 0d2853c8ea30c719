"""Hostile data sets are refused in one line or read right, within bounds of memory and without waiting."""

import tracemalloc
from pathlib import Path

import pytest

from slbench.errors import InputError
from tests.data.hostile import CASES, MIB, Case, read
from tests.support import missing

pytestmark = pytest.mark.usefixtures("root")


def check(case: Case, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Read a data set and compare what happens with what is expected."""
    caplog.clear()
    if case.refused:
        with pytest.raises(InputError) as refused:
            read(name)
        assert not missing(str(refused.value), *case.refused) and "\n" not in str(refused.value), refused.value
    else:
        assert read(name) == case.images
    lines = [record.getMessage() for record in caplog.records]
    assert not missing(" ".join(lines), *case.noted) and not any("\n" in line for line in lines), lines


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.slow])
def test_hostile_data_are_refused_or_read_right(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(CASES[name], CASES[name].build(tmp_path), caplog)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.slow])
def test_large_hostile_data_are_refused_within_bounds(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case, limit = CASES[name], CASES[name].max_mib
    assert limit is not None
    dataset = case.build(tmp_path)
    tracemalloc.start()
    try:
        check(case, dataset, caplog)
        assert tracemalloc.get_traced_memory()[1] < limit * MIB
    finally:
        tracemalloc.stop()
