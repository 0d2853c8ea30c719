"""Limits that variables of the environment change."""

import math

import pytest

from slbench.errors import InputError
from slbench.limits import Limit
from tests.support import missing

LIMIT = Limit("SLBENCH_MAX_TEST", 70)


@pytest.mark.parametrize(("text", "value"), [("", 70), (" ", 70), ("9", 9), ("2.5e3", 2500), ("1", 1)])
def test_a_limit_is_that_of_its_variable(monkeypatch: pytest.MonkeyPatch, text: str, value: int) -> None:
    assert LIMIT.value == 70
    monkeypatch.setenv(LIMIT.variable, text)
    assert LIMIT.value == value


@pytest.mark.parametrize("text", ["x", "0", "-5", "nan", "inf", "9 GB", str(math.pi - 3)])
def test_a_variable_that_is_no_limit_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(LIMIT.variable, text)
    with pytest.raises(InputError) as error:
        _ = LIMIT.value
    assert not missing(str(error.value), LIMIT.variable, text)
