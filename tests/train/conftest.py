"""An undisturbed run, trained once for all tests that compare with it."""

import pytest

from slbench.store import Store
from tests.train.helpers import FinishedRun, execute


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    return execute(store), store
