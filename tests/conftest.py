"""Under pytest the shapes that annotations name are checked, in every module that has them."""

from collections.abc import Iterator
from typing import Any

import pytest
from jaxtyping import install_import_hook

SHAPED = ["slbench.methods", "slbench.backbones", "slbench.data", "slbench.train.loop", "slbench.analysis"]

_hook = install_import_hook(SHAPED, "beartype.beartype")


@pytest.fixture(autouse=True)
def _own_data_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees, or leaves, data of the machine it runs on."""
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path_factory.getbasetemp() / "data-root"))
    monkeypatch.setenv("SLBENCH_STREAM", "")  # given back afterwards, whatever a command makes of it


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Numbers are compared, so every test computes with the same number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _formats() -> Iterator[set[str]]:
    """Figures are drawn as SVG, and an empty file stands for every other format: they take most of the time."""
    from matplotlib.figure import Figure

    right, drawn = Figure.savefig, {"svg"}

    def savefig(self: Figure, content: Any, *, format: str, **how: Any) -> None:
        if format in drawn:
            right(self, content, format=format, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield drawn


@pytest.fixture
def every_format(_formats: set[str]) -> Iterator[None]:
    """Figures are drawn in every format."""
    _formats.update(("png", "pdf"))
    yield
    _formats.difference_update(("png", "pdf"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none, with that reason."""
    import torch

    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch could use")
