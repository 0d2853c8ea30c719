"""A run that nobody stopped, made once for all tests that compare with it."""

import pytest

from slbench.record import RunRecord
from slbench.store import Store
from tests.train.helpers import execute


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Store]:
    store = Store(tmp_path_factory.mktemp("calm"))
    return execute(store), store
