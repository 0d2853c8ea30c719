"""Helpers of tests of studies."""

from typing import Any

import pytest

from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.study import StudyRun
from tests.support import study


def cells(*runs: StudyRun) -> list[tuple[str, str, int]]:
    """Return backbone, method and seed of each run."""
    return [(run.labels.backbone, run.labels.method, run.spec.seed) for run in runs]


def error_of(content: dict[str, Any], **flags: Any) -> str:
    """Return the message of the error that a study raises."""
    with pytest.raises(InputError) as caught:
        study(content, **flags)
    return str(caught.value)


def vit(run: StudyRun) -> ViTSpec:
    """Return the sizes of a run of a ViT."""
    assert isinstance(run.spec.backbone, ViTSpec)
    return run.spec.backbone
