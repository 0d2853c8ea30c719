"""Fixtures of all tests, and an import hook that checks the shapes in annotations."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

from tests.shape_checks import modules_with_shapes
from tests.skips import pytest_addoption as pytest_addoption
from tests.skips import pytest_make_collect_report as pytest_make_collect_report
from tests.skips import pytest_runtest_makereport as pytest_runtest_makereport

_hook = install_import_hook(modules_with_shapes(), "tests.shape_checks.check_on_first_call")

ROOT = Path(__file__).parent
SLOW_IMPORTS = [ROOT / "fuzz" / "test_fuzz.py", ROOT / "data" / "test_torchvision.py"]  # all of their tests are slow


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import files of slow tests only where these are selected."""
    return True if collection_path in SLOW_IMPORTS and "not slow" in config.option.markexpr else None


@pytest.fixture(autouse=True)
def _own_data_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the data of this machine."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path_factory.getbasetemp() / "data-root"))
    monkeypatch.setenv("SLBENCH_STREAM", "")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute with one thread, so that numbers are comparable."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _formats() -> Iterator[set[str]]:
    """Leave the files of figures empty, except those of the formats in this set, since drawing is slow."""
    from matplotlib.figure import Figure

    savefig_of_matplotlib, formats = Figure.savefig, set[str]()

    def savefig(self: Figure, content: Any, *, format: str, **how: Any) -> None:
        if format in formats:
            savefig_of_matplotlib(self, content, format=format, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield formats


@pytest.fixture
def svg(_formats: set[str]) -> Iterator[None]:
    """Draw figures as SVG."""
    _formats.add("svg")
    yield
    _formats.clear()


@pytest.fixture
def every_format(_formats: set[str]) -> Iterator[None]:
    """Draw figures in every format."""
    _formats.update(("svg", "png", "pdf"))
    yield
    _formats.clear()


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets a shell script stand in for the interpreter of worker processes."""

    def make(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\nread kind; read task\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return make


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked gpu without a GPU."""
    import torch

    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
