"""Shapes in annotations are checked while tests run."""

import pytest
import torch
from jaxtyping import TypeCheckError

from slbench.methods.lsa import AttentionLogits
from tests.shape_checks import modules_with_shapes
from tests.support import TINY, runs


def test_a_tensor_of_another_shape_than_annotated_is_refused() -> None:
    (run,) = runs({"backbone": [TINY]})
    with pytest.raises(TypeCheckError):
        run.spec.build_network()(torch.zeros(2, 3))


def test_the_modules_of_annotated_layers_are_checked() -> None:
    assert {AttentionLogits.__module__, "slbench.backbones.vit", "slbench.train.loop"} <= set(modules_with_shapes())
