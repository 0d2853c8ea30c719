"""A disk that becomes full during a write: no earlier file is damaged, and the run can be resumed."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.grid.failures import kind_of
from slbench.store import Store
from tests.train.helpers import LABELS, SPEC, FinishedRun, execute, reproducible_fields

WRITES = [  # file and number of the write that fails
    ("checkpoint.pt", 15),
    pytest.param("record.json", 1, marks=pytest.mark.slow),
    pytest.param("checkpoint.pt", 1, marks=pytest.mark.slow),
    pytest.param("metrics.csv", 3, marks=pytest.mark.slow),
    pytest.param("weights.safetensors", 1, marks=pytest.mark.slow),
    pytest.param("test_logits.safetensors", 1, marks=pytest.mark.slow),
]


class FileOnFullDisk(io.FileIO):
    """A file on a disk that becomes full half way through a write."""

    def write(self, content: Any) -> int:
        super().write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


def open_on_full_disk(name: str, time: int) -> Callable[..., Any]:
    """Return a Path.open with which this write of this file fails half way."""
    real_open, times = Path.open, iter(range(1, 10_000))

    def open_(self: Path, mode: str = "r", *arguments: Any, **how: Any) -> Any:
        if mode == "wb" and self.name.startswith(f".{name}.") and next(times) == time:
            return FileOnFullDisk(self, "w")
        return real_open(self, mode, *arguments, **how)

    return open_


def weights(store: Store) -> bytes:
    return (store.folder(SPEC, LABELS) / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(("name", "time"), WRITES)
def test_a_run_stopped_by_a_full_disk_resumes_and_equals_an_undisturbed_run(
    undisturbed: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, time: int
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk(name, time))
        with pytest.raises(OSError, match="No space left") as caught:
            execute(store)
    assert kind_of(caught.value) == "disk full"
    folder = store.folder(SPEC, LABELS)
    assert store.record(SPEC.run_id) is None
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert (folder / "checkpoint.pt").exists() == ((name, time) != ("checkpoint.pt", 1))

    assert reproducible_fields(execute(store)) == reproducible_fields(undisturbed[0])
    assert weights(store) == weights(undisturbed[1])
