"""A small run of the embedded data, trained in this process, and how a test ends it early."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slbench.backbones.specs import ViTSpec
from slbench.data import DATASETS, DataConfig, load
from slbench.data.specs import DatasetSpec
from slbench.data.splits import Splits
from slbench.methods import METHODS
from slbench.recipes import RECIPES, Recipe
from slbench.record import VOLATILE_FIELDS, Keep, Labels, RunRecord
from slbench.spec import Protocol, RunSpec
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train import run as running
from slbench.train.loop import Training
from slbench.train.temperatures import TemperatureLayer
from tests.support import train_here

TINY = ViTSpec(patch_size=16, dim=12, depth=2, num_heads=3)
RECIPE = dataclasses.replace(RECIPES["quick"], epochs=2, batch_size=100, precision="fp32", drop_path=0.1)
LABELS = Labels(backbone="tiny", method="both", dataset="fashion-mnist-12k")
Calm = tuple[RunRecord, Store]  # of the run of SPEC that nobody stopped
EACH = 20  # where accuracies are not the subject, each 20th of the test images: evaluation takes most of the time


def tiny(method: str = "both", *, recipe: Recipe = RECIPE, protocol: Protocol = "holdout", seed: int = 0) -> RunSpec:
    dataset = dataclasses.replace(DATASETS["fashion-mnist-12k"].spec, fraction=0.1)
    return RunSpec.resolve(
        backbone=TINY, method=METHODS[method], dataset=dataset, recipe=recipe, protocol=protocol, seed=seed
    )


SPEC = tiny(recipe=dataclasses.replace(RECIPE, ema_decay=0.5, cutmix=0.5))  # two epochs of nine steps


@cache
def load_less(spec: DatasetSpec, source: str = "", config: DataConfig | None = None) -> Splits:
    """Return the data set with fewer test images."""
    splits = load(spec, source, config)
    return dataclasses.replace(splits, test=splits.test.take(np.arange(0, len(splits.test), EACH)))


def execute(
    store: Store,
    *,
    spec: RunSpec = SPEC,
    keep: Keep = "last",
    threads: int = 1,
    precision: str = "fp32",
    every: float = 0.0,
    all_test_images: bool = False,
    **how: Any,
) -> RunRecord:
    """Train a run in this process, with a checkpoint after every step unless `every` says otherwise."""
    labels = LABELS.model_copy(update={"keep": keep})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "load", load if all_test_images else load_less)
        how |= {"precision": precision, "threads": threads, "checkpoint_seconds": every}
        return train_here(StudyRun(spec, labels), store, **how)


def run(spec: RunSpec, folder: Path, **how: Any) -> tuple[RunRecord, Path]:
    """Train a run on all images in a new store; return its record and its folder."""
    store = Store(folder)
    return execute(store, spec=spec, every=1e9, all_test_images=True, **how), store.folder(spec, LABELS)


def reproducible_fields(record: RunRecord) -> dict[str, Any]:
    """Return the fields of a record that are the same whenever the run is made."""
    return {key: value for key, value in record.model_dump().items() if key not in VOLATILE_FIELDS}


class Killed(BaseException):
    """What a test ends a run with: nothing in a run catches it."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the run before this step of the optimizer, counted over the process."""
    steps, right = iter(range(10_000)), Training._step

    def deadly(self: Training, *arguments: Any, **how: Any) -> torch.Tensor:
        if next(steps) == step:
            raise Killed
        return right(self, *arguments, **how)

    monkeypatch.setattr(Training, "_step", deadly)


def layer_of_three_heads(depth: int, *, name: str = "block", sqrt_dk: float = 4.0) -> TemperatureLayer:
    return TemperatureLayer(
        name=f"{name} {depth}", depth=depth, parameter="x", heads=(1, 2, 3), sqrt_dk=sqrt_dk, initial=1 / sqrt_dk
    )


LAYERS = (layer_of_three_heads(1), layer_of_three_heads(2))
