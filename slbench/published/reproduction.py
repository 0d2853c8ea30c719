"""Verdicts on published numbers: reproduced, lower, higher, undecided, or not comparable.

A published number is the best test accuracy of one run. It is reproduced if it lies inside the prediction interval for
one further run of ours; undecided if that interval is wider than the published gain.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slbench.backbones import BACKBONES, PRESETS, default_spec
from slbench.data.sets.catalog import auto_augment_policy
from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.published.numbers import Published, find, table_name
from slbench.recipes import RECIPES
from slbench.record import RunRecord
from slbench.spec import RunSpec
from slbench.stats.intervals import prediction_interval

Verdict = Literal["reproduced", "lower", "higher", "undecided", "not comparable"]
PAPER_RECIPES = ("paper", "released")  # recipes with the paper's training
MAY_DIFFER = {"precision"}  # recipe fields that may differ from the paper's
BASE, FULL = "none", "both"
IMAGE_SIZES = {
    "cifar10": 32,
    "cifar100": 32,
    "svhn": 32,
    "tiny-imagenet": 64,
    "imagenet": 224,
}  # px, in the paper


@dataclass(frozen=True)
class ReproductionVerdict:
    """A published number with the verdict on reproducing it."""

    published: Published
    verdict: Verdict
    reason: str  # why, in a few words


def judge(records: Sequence[RunRecord], *, source: str = "") -> ReproductionVerdict | None:
    """Return the verdict on the paper's number for an experiment; None without a number.

    Args:
        records: runs that differ only in their seeds.
        source: of a study, such as "arXiv:2112.13492 Table 5"; without a table, the first that has the number.
    """
    if not records:
        return None
    spec = records[0].spec
    table = table_name(source)
    number = published_number(spec, table=table)
    if number is None:
        return None
    reasons = list(not_comparable(spec))
    if reasons:
        return ReproductionVerdict(number, "not comparable", "; ".join(reasons))
    values = [record.best_test_top1 for record in records]
    if len(values) < 2:
        return ReproductionVerdict(number, "undecided", "one seed has no prediction interval")
    interval = prediction_interval(values)
    interval_text = f"{interval.low:.2f} to {interval.high:.2f} for one further run"
    if number.value < interval.low:
        return ReproductionVerdict(number, "higher", f"ours is higher: {interval_text}")
    if number.value > interval.high:
        return ReproductionVerdict(number, "lower", f"ours is lower: {interval_text}")
    gain = published_gain(spec, table=table)
    width = interval.high - interval.low
    if gain is not None and width > abs(gain):
        return ReproductionVerdict(
            number, "undecided", f"{interval_text}, wider than the gain of {gain:.2f} that it should judge"
        )
    return ReproductionVerdict(number, "reproduced", interval_text)


def model_name(spec: RunSpec) -> str | None:
    """Return the name of a run's backbone if it has the default sizes or those of a preset; else None."""
    for name in [*PRESETS, *BACKBONES]:
        try:
            sizes = default_spec(name).resolved(spec.dataset.image_size)
        except InputError:
            continue
        if sizes.as_in_paper() == spec.backbone.as_in_paper():
            return name
    return None


def method_name(spec: RunSpec) -> str | None:
    """Return the name of the built-in method with the same spec; None for another method."""
    entry = BACKBONES[spec.backbone.name]
    for name, method in METHODS.items():
        try:
            if not method.widened and entry.resolved(method) == spec.method:
                return name
        except InputError:
            continue
    return None


def published_number(spec: RunSpec, *, table: str | None, method: str | None = None) -> Published | None:
    """Return the published top-1 for a run's backbone and method, ignoring its training."""
    method = method or method_name(spec)
    # Other sizes still get the backbone's number, with the verdict not comparable.
    model = model_name(spec) or spec.backbone.name
    return None if method is None else find(model, method, "top1", dataset=spec.dataset.name, table=table)


def published_gain(spec: RunSpec, *, table: str | None) -> float | None:
    """Return the published gain of a run's method over the plain backbone; for plain, the gain of SPT and LSA."""
    method = method_name(spec)
    one = published_number(spec, table=table, method=FULL if method in (BASE, None) else method)
    base = published_number(spec, table=table, method=BASE)
    return None if one is None or base is None else one.value - base.value


def not_comparable(spec: RunSpec) -> Iterator[str]:
    """Yield the differences from the paper's runs."""
    if spec.protocol != "paper":
        yield f"protocol {spec.protocol}, not paper"
    if model_name(spec) is None:
        yield "other sizes of the backbone"
    side = IMAGE_SIZES.get(spec.dataset.name)
    if spec.dataset.image_size != (side, side):
        yield f"images of {spec.dataset.image_size[0]} x {spec.dataset.image_size[1]} px, not {side}"
    if spec.dataset.fraction is not None or spec.dataset.per_class is not None:
        yield "trained on a part of the data"
    differences = [list(recipe_differences(spec, name)) for name in PAPER_RECIPES]
    fewest = min(differences, key=len)
    if fewest:
        yield ", ".join(fewest[:3]) + (f" and {len(fewest) - 3} more" if len(fewest) > 3 else "")


def recipe_differences(spec: RunSpec, name: str) -> Iterator[str]:
    """Yield the differences from a named recipe, such as "5 epochs, not 100"."""
    subset = spec.recipe.equal is not None
    default_lr = BACKBONES[spec.backbone.name].lr
    published_recipe = RECIPES[name].resolved(
        dataset_policy=auto_augment_policy(spec.dataset.name), default_lr=default_lr, subset=subset
    )
    for field in dataclasses.fields(published_recipe):
        ours, theirs = getattr(spec.recipe, field.name), getattr(published_recipe, field.name)
        if ours != theirs and field.name not in MAY_DIFFER:
            yield f"{ours} epochs, not {theirs}" if field.name == "epochs" else f"{field.name} {ours}, not {theirs}"
