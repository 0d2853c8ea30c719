"""A bounded run of every property; `make fuzz` runs them for longer."""

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.slow

BOUNDED = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,  # the same inputs in every run
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_of_arbitrary_input_succeeds_or_raises_one_error_of_slbench(name: str) -> None:
    BOUNDED(TARGETS[name])()
