"""A mask that is blended in over the first epochs."""

import dataclasses
from pathlib import Path

import pytest
from safetensors.torch import load_file

from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.spec import RunSpec
from slbench.store import Store
from tests.train.helpers import LABELS, SPEC, execute, reproducible_fields, run_until_killed


def warming(epochs: float) -> RunSpec:
    """Return the spec of a run of two epochs with averaged weights."""
    return RunSpec.resolve(
        backbone=SPEC.backbone,
        method=dataclasses.replace(METHODS["both"], mask_warmup=epochs),
        dataset=SPEC.dataset,
        recipe=SPEC.recipe,
        protocol=SPEC.protocol,
        seed=SPEC.seed,
    )


@pytest.mark.slow
def test_a_run_ends_with_the_whole_mask_and_resumes_within_the_warm_up(tmp_path: Path) -> None:
    spec, whole, resumed = warming(1.5), Store(tmp_path / "whole"), Store(tmp_path / "resumed")
    record = execute(whole, spec=spec)
    run_until_killed(resumed, 5, spec=spec)
    assert reproducible_fields(execute(resumed, spec=spec)) == reproducible_fields(record)
    weights = load_file(whole.folder(spec, LABELS) / "weights.safetensors")
    shares = [value.item() for name, value in weights.items() if name.endswith("mask_share")]
    assert shares == [1.0, 1.0]
    assert record.run_id != SPEC.run_id


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"method\.mask_warmup: longer than the run \(got 3 epochs\); allowed: 0 to 2"):
        warming(3.0)
    with pytest.raises(InputError, match="mask_warmup: needs mask_self"):
        dataclasses.replace(METHODS["spt"], mask_warmup=1.0)
