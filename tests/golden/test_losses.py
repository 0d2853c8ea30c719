"""Golden losses of the first steps of small runs: they change with the numerics of a part.

Measured on a CPU with AVX2, one thread, fp32; other processors sum in another order, hence the tolerance.
After an intended change, raise the version of the part in slbench.numerics_versions and update the numbers
in the same commit.
"""

import dataclasses

import pytest
import torch

from slbench.backbones.specs import ViTSpec
from slbench.data import DATASETS, load
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.spec import RunSpec
from slbench.torch_runtime import reproducible
from slbench.train.run import prepare

TOLERANCE = 1e-4
GOLDEN: dict[str, tuple[dict[str, int], list[float]]] = {
    "none": ({"trainer": 1, "augmentation": 1, "vit": 1}, [2.594486, 2.22287, 2.156085]),
    "both": ({"trainer": 1, "augmentation": 1, "vit": 1, "spt": 1, "lsa": 1}, [2.619887, 2.234595, 2.119463]),
    "overlapping-conv": ({"trainer": 1, "augmentation": 1, "vit": 1, "window": 1}, [2.600695, 2.136274, 2.048429]),
}


@pytest.mark.parametrize(
    "method", ["both", *(pytest.param(name, marks=pytest.mark.slow) for name in ("none", "overlapping-conv"))]
)
def test_losses_change_only_with_a_raised_numerics_version(method: str) -> None:
    recipe = dataclasses.replace(RECIPES["quick"], epochs=3, batch_size=1024, precision="fp32", drop_path=0.2)
    spec = RunSpec.resolve(
        backbone=ViTSpec(patch_size=8, dim=24, depth=2, num_heads=3),
        method=METHODS[method],
        dataset=DATASETS["fashion-mnist-12k"].spec,
        recipe=recipe,
        protocol="holdout",
        seed=7,
    )
    versions, losses = GOLDEN[method]
    assert spec.numerics == versions
    with reproducible(1):
        training, _ = prepare(
            spec, load(spec.dataset), device=torch.device("cpu"), precision="fp32", on_progress=lambda progress: None
        )
        actual = [metrics.train_loss for metrics in training.epochs()]
    assert actual == pytest.approx(losses, rel=TOLERANCE)
