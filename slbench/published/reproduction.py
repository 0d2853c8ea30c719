"""Verdicts on reproducing published numbers: on each accuracy by a margin, and on each gain over the plain backbone.

A published number is the best test accuracy over the epochs of one run, so it is compared with `best_test_top1` of our
runs. `slbench.published.gains` has the intervals and the rules.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slbench.backbones import BACKBONES, PRESETS, backbone_entry, default_spec
from slbench.data.sets.catalog import auto_augment_policy
from slbench.errors import InputError
from slbench.methods import METHODS
from slbench.published.gains import (
    AccuracyVerdict,
    Prediction,
    ReproducedGain,
    accuracy_verdict,
    gain_verdict,
    predict_accuracy,
    predict_gain,
    with_moderated_spreads,
)
from slbench.published.numbers import Published, find, table_name
from slbench.recipes import RECIPES
from slbench.record import RunRecord
from slbench.spec import RunSpec
from slbench.stats.simultaneous import sidak_level
from slbench.text import plural

Verdict = AccuracyVerdict | Literal["not comparable"]
ACCURACY_MARGIN = 1.0  # points; at a spread of 0.3 over seeds, two single runs differ by up to 0.8
GAIN_MARGIN = 0.5  # points; smaller gains are of no note
LEVEL = 0.95  # joint, over all gains or accuracies that are judged
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
    """A published accuracy with the verdicts on it and on its gain."""

    published: Published
    verdict: Verdict  # on the accuracy
    reason: str  # in a few words
    ours: float | None = None  # mean of our best test accuracies in %
    gain: ReproducedGain | None = None  # None for the plain backbone, and for runs that are not comparable

    @property
    def text(self) -> str:
        """The number with ours and the verdicts, such as "76.92 (best 76.87: within), gain +3.11 (+2.95: consistent)".

        "best" names our accuracy, which may not be among the columns of a table.
        """
        ours = "" if self.ours is None else f"best {self.ours:.2f}: "
        gain = "" if self.gain is None else f", gain {self.gain.text}"
        return f"{self.published.value:.2f} ({ours}{self.verdict}){gain}"

    @property
    def explanation(self) -> str:
        """The verdicts with their reasons."""
        gain = "" if self.gain is None else f"; gain {self.gain.verdict}: {self.gain.reason}"
        return f"{self.verdict}: {self.reason}{gain}"


@dataclass(frozen=True)
class JudgedCell:
    """Runs that differ only in their seeds, and their published number."""

    cell_id: str
    method: str
    number: Published
    accuracies: Mapping[int, float]  # best test accuracy by seed
    base: Mapping[int, float]  # of the plain backbone, trained alike
    gain: float | None  # published
    unequal: str = ""  # "2 runs diverged, of the plain backbone 0", if these numbers differ


def judge(
    records: Sequence[RunRecord],
    *,
    diverged: Sequence[RunSpec] = (),
    source: str = "",
    cells: int = 0,
    margin: float = ACCURACY_MARGIN,
    gain_margin: float = GAIN_MARGIN,
    level: float = LEVEL,
) -> dict[str, ReproductionVerdict]:
    """Return the verdicts on the paper's numbers by `cell_id`; runs without a published number have none.

    Args:
        records: all finished runs of a study, those of the plain backbone among them.
        diverged: runs that diverged. A method of which more or fewer did than of the plain backbone has no verdict on
            its gain, since the mean over the others is not that of the method.
        source: of a study, such as "arXiv:2112.13492 Table 5"; without a table, the first that has the number.
        cells: gains or accuracies to correct for; at least as many as are judged here.
        margin: largest difference in points at which an accuracy counts as reproduced.
        gain_margin: largest gain in points without practical meaning.
        level: probability that all prediction intervals of gains hold, and all of accuracies.
    """
    found = dict[str, ReproductionVerdict]()
    judged = list[JudgedCell]()
    for cell_id, runs in by_cell(records).items():
        number = published_number(runs[0].spec, table=table_name(source))
        if number is None:
            continue
        if reasons := list(not_comparable(runs[0].spec)):
            found[cell_id] = ReproductionVerdict(number, "not comparable", "; ".join(reasons))
        else:
            judged.append(judged_cell(runs, number, records, diverged))
    accuracies = moderated_by_method(judged, [predict_accuracy(cell.accuracies) for cell in judged])
    gains = moderated_by_method(judged, [predict_gain(cell.accuracies, cell.base) for cell in judged])
    of_accuracies = sidak_level(level, max(cells, len(judged)))
    of_gains = sidak_level(level, max(cells, sum(cell.gain is not None for cell in judged)))
    for cell, accuracy, gain in zip(judged, accuracies, gains, strict=True):
        verdict, reason = accuracy_verdict(cell.number.value, accuracy, margin=margin, level=of_accuracies)
        found[cell.cell_id] = ReproductionVerdict(
            cell.number,
            verdict,
            reason,
            ours=sum(cell.accuracies.values()) / len(cell.accuracies),
            gain=None
            if cell.gain is None
            else gain_verdict(cell.gain, gain, margin=gain_margin, level=of_gains, withheld=cell.unequal),
        )
    return found


def published_note(*, margin: float = ACCURACY_MARGIN, level: float = LEVEL) -> str:
    """Return what a column of published numbers and verdicts means."""
    return (
        "Published: the paper's number, the best test accuracy over the epochs of one run, with our mean best accuracy "
        "whatever accuracy the table shows. An accuracy is within or outside if the whole interval of the difference "
        f"lies within {margin:g} point or beyond. A gain over the plain backbone is inconsistent outside the interval "
        "that ours predict for a difference of two single runs; inside it is consistent, or inconclusive if 0 lies "
        f"inside too. Intervals are {100 * level:g} % jointly over all gains, and over all accuracies."
    )


def by_cell(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return runs that differ only in their seeds, by `cell_id`."""
    found = defaultdict[str, list[RunRecord]](list)
    for record in records:
        found[record.spec.cell_id].append(record)
    return found


def judged_cell(
    runs: Sequence[RunRecord], number: Published, records: Iterable[RunRecord], diverged: Sequence[RunSpec]
) -> JudgedCell:
    """Return the cell of some runs, with the accuracies of the plain backbone among all records."""
    spec = runs[0].spec
    method = method_name(spec)
    assert method is not None, "a run of another method has no published number"
    published_base = None if method == BASE else published_number(spec, table=number.table, method=BASE)
    lost = sum(other.cell_id == spec.cell_id for other in diverged)
    lost_base = sum(is_plain(other, spec) for other in diverged)
    return JudgedCell(
        spec.cell_id,
        method,
        number,
        accuracies=best_by_seed(runs),
        base={} if published_base is None else best_by_seed(r for r in records if is_plain(r.spec, spec)),
        gain=None if published_base is None else round(number.value - published_base.value, 6),
        unequal="" if lost == lost_base else f"{plural(lost, 'run')} diverged, of the plain backbone {lost_base}",
    )


def is_plain(spec: RunSpec, other: RunSpec) -> bool:
    """Return whether a run is one of the plain backbone that differs from another in nothing but method and seed."""
    alike = all(getattr(spec, name) == getattr(other, name) for name in ("backbone", "dataset", "recipe", "protocol"))
    return alike and method_name(spec) == BASE


def best_by_seed(records: Iterable[RunRecord]) -> dict[int, float]:
    """Return the best test accuracy over the epochs, in %, by seed."""
    return {record.spec.seed: record.best_test_top1 for record in records}


def moderated_by_method(
    cells: Sequence[JudgedCell], predictions: Sequence[Prediction | None]
) -> list[Prediction | None]:
    """Return predictions with variances moderated over the cells of the same method."""
    result = list(predictions)
    for method in {cell.method for cell in cells}:
        places = [i for i, cell in enumerate(cells) if cell.method == method and predictions[i] is not None]
        own = [prediction for i in places if (prediction := predictions[i]) is not None]
        for place, moderate in zip(places, with_moderated_spreads(own), strict=True):
            result[place] = moderate
    return result


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
    entry = backbone_entry(spec.backbone.name)
    for name, method in METHODS.items():
        try:
            if method.matched is None and entry.resolved(method) == spec.method:
                return name
        except InputError:
            continue
    return None


def published_number(spec: RunSpec, *, table: str | None, method: str | None = None) -> Published | None:
    """Return the published top-1 for a run's backbone and a method, by default its own, ignoring its training."""
    method = method or method_name(spec)
    # Other sizes still get the backbone's number, with the verdict not comparable.
    model = model_name(spec) or spec.backbone.name
    return None if method is None else find(model, method, "top1", dataset=spec.dataset.name, table=table)


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
    default_lr = backbone_entry(spec.backbone.name).lr
    published_recipe = RECIPES[name].resolved(
        dataset_policy=auto_augment_policy(spec.dataset.name), default_lr=default_lr, subset=subset
    )
    for field in dataclasses.fields(published_recipe):
        ours, theirs = getattr(spec.recipe, field.name), getattr(published_recipe, field.name)
        if ours != theirs and field.name not in MAY_DIFFER:
            yield f"{ours} epochs, not {theirs}" if field.name == "epochs" else f"{field.name} {ours}, not {theirs}"
