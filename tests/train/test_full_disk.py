"""A disk that fills in the middle of a write: nothing that was there is damaged, and the run goes on afterwards."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.grid.failures import kind_of
from slbench.store import Store
from tests.train.helpers import LABELS, SPEC, Calm, execute, reproducible_fields

WRITES = [  # the file, and which of its writes fails
    ("checkpoint.pt", 15),
    pytest.param("record.json", 1, marks=pytest.mark.slow),
    pytest.param("checkpoint.pt", 1, marks=pytest.mark.slow),
    pytest.param("metrics.csv", 3, marks=pytest.mark.slow),
    pytest.param("weights.safetensors", 1, marks=pytest.mark.slow),
    pytest.param("test_logits.safetensors", 1, marks=pytest.mark.slow),
]


class Full(io.FileIO):
    """A file on a disk that is full after some bytes."""

    def write(self, content: Any) -> int:
        super().write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


def full_at(name: str, time: int) -> Callable[..., Any]:
    """A Path.open with which this write of this file fails half way."""
    right, times = Path.open, iter(range(1, 10_000))

    def open_(self: Path, mode: str = "r", *arguments: Any, **how: Any) -> Any:
        if mode == "wb" and self.name.startswith(f".{name}.") and next(times) == time:
            return Full(self, "w")
        return right(self, mode, *arguments, **how)

    return open_


def weights(store: Store) -> bytes:
    return (store.folder(SPEC, LABELS) / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(("name", "time"), WRITES)
def test_a_run_whose_disk_fills_goes_on_when_there_is_space(
    calm: Calm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, time: int
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full_at(name, time))
        with pytest.raises(OSError, match="No space left") as caught:
            execute(store)
    assert kind_of(caught.value) == "disk full"
    folder = store.folder(SPEC, LABELS)
    assert store.record(SPEC.run_id) is None
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert (folder / "checkpoint.pt").exists() == ((name, time) != ("checkpoint.pt", 1))

    assert reproducible_fields(execute(store)) == reproducible_fields(calm[0])
    assert weights(store) == weights(calm[1])
