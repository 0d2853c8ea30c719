"""A sealed checkpoint that does not fit its run is passed over for the one before it, then for the beginning."""

import copy
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slbench.errors import InputError
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.train.checkpoint import Checkpoints, sealed
from slbench.train.resume_check import check_state
from tests.support import missing
from tests.train.helpers import LABELS, SPEC, FinishedRun, execute, reproducible_fields, run_until_killed, tiny

State = dict[str, Any]
Change = Callable[[State], object]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with a run that was killed before step 10, the first but one of its second epoch."""
    store = Store(tmp_path_factory.mktemp("killed"))
    run_until_killed(store, 10)
    return store


@pytest.fixture
def state(killed: Store) -> State:
    """Return the state of its newest checkpoint."""
    saved = Checkpoints(killed.folder(SPEC, LABELS)).load()
    assert saved is not None
    return copy.deepcopy(saved)


def first(tensors: State) -> str:
    return next(iter(tensors))


def reshape(tensors: State) -> None:
    tensors[first(tensors)] = torch.zeros(7, 5)


def convert(tensors: State) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].double()


def fill(value: float) -> Callable[[State], object]:
    return lambda tensors: tensors[first(tensors)].fill_(value)


CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "of another run": (lambda s: s.update(run_id="0123456789ab"), ("run_id", "0123456789ab", SPEC.run_id)),
    "unknown key": (lambda s: s.update(more=1), ("unknown key", "more")),
    "no training": (lambda s: s.pop("training"), ("lacks key", "training")),
    "training is a list": (lambda s: s.update(training=[1]), ("training", "dict", "list")),
    "time is NaN": (lambda s: s.update(seconds=float("nan")), ("seconds",)),
    "time is a text": (lambda s: s.update(seconds="1"), ("seconds", "1")),
    "conditions with another key": (lambda s: s["start"].update(x=1), ("start", "x")),
    "no thread": (lambda s: s["start"].update(threads=0), ("start: threads", "0")),
    "precision unknown": (lambda s: s["start"].update(precision="fp8"), ("start: precision", "fp8", "bf16", "fp32")),
    "code is no JSON": (lambda s: s["start"].update(code="{"), ("start: code",)),
    "weights lack a key": (lambda s: s["training"]["network"].popitem(), ("network", "lacks key")),
    "weights have a key too many": (lambda s: s["training"]["network"].update(x=1), ("network", "unknown key", "x")),
    "weights of another shape": (lambda s: reshape(s["training"]["network"]), ("network", "[7, 5]")),
    "weights of another type": (lambda s: convert(s["training"]["network"]), ("network", "float64", "float32")),
    "weights are NaN": (lambda s: fill(float("nan"))(s["training"]["network"]), ("network", "finite")),
    "weights are infinite": (lambda s: fill(float("inf"))(s["training"]["network"]), ("network", "finite")),
    "a weight is a text": (lambda s: s["training"]["network"].update(dict.fromkeys(s["training"]["network"], "x")),
                           ("network", "x")),
    "average of another shape": (lambda s: reshape(s["training"]["averaged"]), ("averaged", "[7, 5]")),
    "no average": (lambda s: s["training"].update(averaged=None), ("averaged",)),
    "optimizer lacks a parameter": (
        lambda s: s["training"]["optimizer"]["state"].popitem(), ("optimizer", "lacks key")
    ),
    "optimizer state of another shape": (
        lambda s: reshape(s["training"]["optimizer"]["state"][0]), ("optimizer", "[7, 5]")
    ),
    "optimizer state is NaN": (
        lambda s: s["training"]["optimizer"]["state"][0]["exp_avg"].fill_(float("nan")), ("optimizer", "exp_avg")
    ),
    "optimizer of other parameters": (
        lambda s: s["training"]["optimizer"]["param_groups"][0].update(params=[99]), ("optimizer", "param_groups")
    ),
    "another weight decay": (
        lambda s: s["training"]["optimizer"]["param_groups"][0].update(weight_decay=9.5), ("weight_decay", "9.5")
    ),
    "no optimizer": (lambda s: s["training"].update(optimizer=None), ("optimizer",)),
    "epoch beyond the end": (
        lambda s: s["training"].update(history=[{**s["training"]["history"][0], "epoch": n} for n in (1, 2, 3)]),
        ("history", "2"),
    ),
    "epochs out of order": (lambda s: s["training"]["history"][0].update(epoch=2), ("history: epoch", "2")),
    "metrics are NaN": (lambda s: s["training"]["history"][0].update(test_loss=float("nan")), ("history",)),
    "metrics of another kind": (lambda s: s["training"]["history"][0].update(test_top1="high"), ("history", "high")),
    "no validation": (lambda s: s["training"]["history"][0].update(val_top1=None), ("val_top1", "holdout")),
    "step beyond the epoch": (lambda s: s["training"].update(done=9), ("done", "9", "8")),
    "step before the epoch": (lambda s: s["training"].update(done=-1), ("done", "-1")),
    "loss of another shape": (lambda s: s["training"].update(total=torch.zeros(3)), ("total", "[3]")),
    "temperatures of other epochs": (
        lambda s: s["training"]["temperatures"].update(epochs=[0, 7]), ("temperatures: epochs", "7")
    ),
    "temperatures of other heads": (
        lambda s: s["training"]["temperatures"].update(scales=[[[1.0]], [[1.0]]]), ("temperatures: scales",)
    ),
    "selected weights of another shape": (lambda s: s.update(selected={"x": torch.zeros(1)}), ("selected",)),
}  # fmt: skip


@pytest.mark.parametrize(("change", "parts"), CHANGES.values(), ids=CHANGES)
def test_a_state_that_does_not_fit_the_run_is_refused_in_one_line(
    state: State, change: Change, parts: tuple[str, ...]
) -> None:
    check_state(state, SPEC)
    change(state)
    with pytest.raises(InputError) as error:
        check_state(state, SPEC)
    assert "\n" not in str(error.value)
    assert not missing(str(error.value), *parts)


@pytest.mark.parametrize("state", [None, 1, "x", [], {1: 2}, {"run_id": torch.zeros(2)}], ids=repr)
def test_a_state_of_another_kind_is_refused(state: object) -> None:
    with pytest.raises(InputError):
        check_state(state, SPEC)


@pytest.mark.parametrize("content", [torch.zeros(0), torch.zeros(2), [1], 0], ids=repr)
def test_a_sealed_checkpoint_that_is_no_mapping_is_passed_over_for_the_previous_one(
    tmp_path: Path, content: object
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"older": 1})
    checkpoints.save({"newer": 1})
    buffer = io.BytesIO()
    torch.save(content, buffer)
    checkpoints.current.write_bytes(sealed(buffer.getvalue()))
    assert checkpoints.load() == {"older": 1}


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def as_pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def write_unfit(path: Path) -> None:
    content = as_pickle({"run_id": SPEC.run_id, "start": {}, "seconds": 1.0, "training": {}})
    path.write_bytes(sealed(content))


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def write_malicious(path: Path) -> None:
    path.write_bytes(sealed(as_pickle(Malicious())))


def write_garbage(path: Path) -> None:
    path.write_bytes(sealed(b"PK\x03\x04 garbage"))


@pytest.mark.parametrize(
    "damage", [write_unfit, make_folder, make_fifo, link_to_itself, write_malicious, write_garbage]
)
def test_the_newest_checkpoint_is_passed_over_for_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(tmp_path)
    for number in (1, 2):
        checkpoints.save({"number": number})

    def check(state: State) -> None:
        if "number" not in state:
            raise InputError("of another run")

    damage(checkpoints.current)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load(check) == {"number": 1}
    (line,) = (record.getMessage() for record in caplog.records)
    assert not missing(line, checkpoints.current, RunPaths.previous_checkpoint)
    checkpoints.save({"number": 3})
    checkpoints.save({"number": 4})
    assert checkpoints.load(check) == {"number": 4}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        (RunPaths.checkpoint, RunPaths.previous_checkpoint)
    )


def test_a_folder_in_place_of_the_previous_checkpoint_is_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"number": 1})
    checkpoints.previous.mkdir()
    assert checkpoints.load() == {"number": 1}
    checkpoints.save({"number": 2})
    checkpoints.previous.unlink()
    checkpoints.previous.symlink_to(tmp_path)
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_fitting_checkpoint_starts_again_and_equals_an_undisturbed_run(
    undisturbed: FinishedRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    run_until_killed(store, 4)
    folder = store.folder(SPEC, LABELS)
    other = Store(tmp_path / "other")
    run_until_killed(other, 1, spec=tiny())
    (foreign,) = other.root.glob("runs/*/checkpoint.pt")
    (folder / RunPaths.checkpoint).write_bytes(foreign.read_bytes())
    write_unfit(folder / RunPaths.previous_checkpoint)
    with caplog.at_level(logging.WARNING):
        record = execute(store)
    lines = [line.getMessage() for line in caplog.records if ".pt" in line.getMessage()]
    assert len(lines) == 2
    assert not missing(lines[0], folder / RunPaths.checkpoint, "run_id", SPEC.run_id)
    assert not missing(lines[1], folder / RunPaths.previous_checkpoint, "starting from the beginning")
    assert reproducible_fields(record) == reproducible_fields(undisturbed[0])
