"""What a published number and ours say of each other: reproduced, lower, higher, undecided, or not comparable.

The published number is one run's best test accuracy. It is reproduced if it lies inside the prediction interval for one
further run of ours, and undecided while that interval is wider than the gain that it should judge.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slbench.backbones import BACKBONES, PRESETS, default_spec
from slbench.backbones.specs import BackboneSpec, CaiTSpec, T2TSpec
from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.published.numbers import Published, find, table_named
from slbench.recipes import RECIPES
from slbench.record import RunRecord
from slbench.spec import RunSpec
from slbench.stats.intervals import prediction_interval

Verdict = Literal["reproduced", "lower", "higher", "undecided", "not comparable"]
AS_PUBLISHED = ("paper", "released")  # recipes that stand for the paper's training
MAY_DIFFER = {"precision"}  # of a recipe: may differ from the paper's
BASE, TOP = "none", "both"
SIDES = {"cifar10": 32, "cifar100": 32, "svhn": 32, "tiny-imagenet": 64, "imagenet": 224}  # px, of the paper's images


@dataclass(frozen=True)
class ReproductionVerdict:
    """A published number beside ours."""

    published: Published
    verdict: Verdict
    reason: str  # why, in a few words


def judge(records: Sequence[RunRecord], *, source: str = "") -> ReproductionVerdict | None:
    """What the runs of one experiment say of the paper's number for it; None if it has none.

    Args:
        records: repetitions that differ in nothing but their seeds.
        source: of a study: "arXiv:2112.13492 Table 5"; unless it names a table, the first that has the number.
    """
    if not records:
        return None
    spec = records[0].spec
    table = table_named(source)
    found = number_for(spec, table=table)
    if found is None:
        return None
    reasons = list(not_comparable(spec))
    if reasons:
        return ReproductionVerdict(found, "not comparable", "; ".join(reasons))
    values = [record.best_test_top1 for record in records]
    if len(values) < 2:
        return ReproductionVerdict(found, "undecided", "one seed has no prediction interval")
    interval = prediction_interval(values)
    words = f"{interval.low:.2f} to {interval.high:.2f} for one further run"
    if found.value < interval.low:
        return ReproductionVerdict(found, "higher", f"ours is higher: {words}")
    if found.value > interval.high:
        return ReproductionVerdict(found, "lower", f"ours is lower: {words}")
    gain = papers_gain(spec, table=table)
    width = interval.high - interval.low
    if gain is not None and width > abs(gain):
        return ReproductionVerdict(
            found, "undecided", f"{words}, wider than the gain of {gain:.2f} that it should judge"
        )
    return ReproductionVerdict(found, "reproduced", words)


def model_of(spec: RunSpec) -> str | None:
    """The name under which the paper has a run's backbone: of its own sizes or of a preset's; None for other sizes."""
    for name in [*PRESETS, *BACKBONES]:
        try:
            sizes = default_spec(name).resolved(spec.dataset.image_size)
        except InputError:
            continue
        if with_paper_variant(sizes) == with_paper_variant(spec.backbone):
            return name
    return None


def with_paper_variant(sizes: BackboneSpec) -> BackboneSpec:
    """Sizes as the paper has them: what its released code does otherwise is the paper's code too."""
    if isinstance(sizes, T2TSpec | CaiTSpec):
        return dataclasses.replace(sizes, variant="paper")
    return sizes


def row_of(spec: RunSpec) -> str | None:
    """The shipped row that a run's method is, by what it does; None for any other."""
    entry = BACKBONES[spec.backbone.name]
    for name, method in METHODS.items():
        try:
            if not method.widened and entry.resolved(method) == spec.method:
                return name
        except InputError:
            continue
    return None


def number_for(spec: RunSpec, *, table: str | None, row: str | None = None) -> Published | None:
    """The published top-1 of what a run is an instance of, whatever it was trained with."""
    row = row or row_of(spec)
    # Of other sizes than the paper's it is still shown beside the backbone's number, as not comparable.
    model = model_of(spec) or spec.backbone.name
    return None if row is None else find(model, row, "top1", dataset=spec.dataset.name, table=table)


def papers_gain(spec: RunSpec, *, table: str | None) -> float | None:
    """The published gain of a run's row over its plain backbone; of the plain one, that of SPT and LSA over it."""
    row = row_of(spec)
    one = number_for(spec, table=table, row=TOP if row in (BASE, None) else row)
    base = number_for(spec, table=table, row=BASE)
    return None if one is None or base is None else one.value - base.value


def not_comparable(spec: RunSpec) -> Iterator[str]:
    """Why a run is not what the paper trained."""
    if spec.protocol != "paper":
        yield f"protocol {spec.protocol}, not paper"
    if model_of(spec) is None:
        yield "other sizes of the backbone"
    side = SIDES.get(spec.dataset.name)
    if spec.dataset.image_size != (side, side):
        yield f"images of {spec.dataset.image_size[0]} x {spec.dataset.image_size[1]} px, not {side}"
    if spec.dataset.fraction is not None or spec.dataset.per_class is not None:
        yield "trained on a part of the data"
    ways = [list(other_training(spec, name)) for name in AS_PUBLISHED]
    fewest = min(ways, key=len)
    if fewest:
        yield ", ".join(fewest[:3]) + (f" and {len(fewest) - 3} more" if len(fewest) > 3 else "")


def other_training(spec: RunSpec, name: str) -> Iterator[str]:
    """Where a run's recipe is not the one of a name: "5 epochs, not 100"."""
    subset = spec.recipe.equal is not None
    wanted = RECIPES[name].resolved(backbone=spec.backbone.name, dataset=spec.dataset.name, subset=subset)
    for field in dataclasses.fields(wanted):
        ours, theirs = getattr(spec.recipe, field.name), getattr(wanted, field.name)
        if ours != theirs and field.name not in MAY_DIFFER:
            yield f"{ours} epochs, not {theirs}" if field.name == "epochs" else f"{field.name} {ours}, not {theirs}"
