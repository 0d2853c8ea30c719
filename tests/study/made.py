"""What tests of studies share."""

from typing import Any

import pytest

from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.study import StudyRun
from tests.support import study


def cells(*found: StudyRun) -> list[tuple[str, str, int]]:
    return [(run.labels.backbone, run.labels.method, run.spec.seed) for run in found]


def refusal(content: dict[str, Any], **flags: Any) -> str:
    with pytest.raises(InputError) as caught:
        study(content, **flags)
    return str(caught.value)


def vit(run: StudyRun) -> ViTSpec:
    """The sizes of a run that is known to be of a ViT."""
    assert isinstance(run.spec.backbone, ViTSpec)
    return run.spec.backbone
