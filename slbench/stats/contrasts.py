"""Values of declared contrasts in a tidy frame of runs, seed by seed.

A contrast is formed within each seed, so that whatever the methods of a seed share cancels. `slbench.stats.judge` turns
the values into intervals and verdicts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal, cast

from slbench.errors import InputError
from slbench.stats.cells import ACCURACY, Cell, Variant, cells
from slbench.stats.contrast import METHODS_2X2, MIN_BACKBONES, Contrast
from slbench.text import distinct, shown

if TYPE_CHECKING:
    import pandas as pd

Failures = Literal["withhold", "chance"]
BySeed = dict[int, float]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Values of a contrast in one cell, by seed; of a contrast over backbones at large, by number of the backbone."""

    contrast: Contrast
    backbone: str  # "5 backbones" for a mean over them
    dataset: str
    setting: str  # fields that tell this cell from others with the same backbone and data set
    values: BySeed
    pairs: tuple[tuple[float, float], ...] = ()  # accuracies (first side, reference) of the common seeds
    failed: str = ""  # "2 of 5 spt": diverged runs of the methods involved
    unequal_failures: bool = False  # the methods involved have different numbers of diverged runs
    span: float = 1.0  # of a trend: units or doublings from the lowest to the highest value of the field
    swept: str = ""  # of a trend: "dataset.fraction 0.1111 to 1"
    run_ids: frozenset[str] = field(default_factory=frozenset)  # index of the runs of its first side in the frame
    all_ids: frozenset[str] = field(default_factory=frozenset)  # of all its runs

    @property
    def shown_setting(self) -> str:
        """The setting with the range of a trend."""
        return ", ".join(filter(None, (self.setting, self.swept)))


def answers(
    frame: "pd.DataFrame", questions: Iterable[Contrast], *, failures: Failures
) -> dict[Contrast, list[Answer]]:
    """Return the values of each contrast in every cell in which its methods share a seed."""
    grouped, found = dict[tuple[str | None, bool], list[Cell]](), dict[Contrast, list[Answer]]()
    for contrast in questions:
        along = contrast.column, contrast.field is not None
        if along not in grouped:
            grouped[along] = cells(frame, swept=along[0], alone=along[1])
        alone = replace(contrast, over=None)
        if alone not in found:
            own = [each for cell in grouped[along] for each in of_cell(cell, alone, failures)]
            found[alone] = [each for each in own if each.values or each.failed]
        if contrast.over is not None:
            found[contrast] = list(over_backbones(contrast, found[alone]))
    return {contrast: found[contrast] for contrast in questions}


def of_cell(cell: Cell, contrast: Contrast, failures: Failures) -> Iterator[Answer]:
    """Yield the values of a contrast in a cell, for each variant of its method."""
    if contrast.trend is not None:
        yield from trends(cell, contrast, failures)
        return
    for variant, runs in of_methods(cell, contrast) if contrast.field is None else of_values(cell, contrast):
        values = {side: by_seed(part, failures) for side, part in runs.items()}
        yield answer(cell, contrast, variant, values=combined(contrast, values), runs=runs, pairs=pairs(values))


def of_methods(cell: Cell, contrast: Contrast) -> "Iterator[tuple[Variant, dict[str, pd.DataFrame]]]":
    """Yield each variant of the first method, and the runs of all methods."""
    for variant in cell.variants(contrast.methods[0]):
        runs = matched_runs(cell, contrast.methods, variant)
        if runs is not None:
            yield variant, runs


def of_values(cell: Cell, contrast: Contrast) -> "Iterator[tuple[Variant, dict[str, pd.DataFrame]]]":
    """Yield each variant of each method that has both values of a field, and its runs with either."""
    column = contrast.column
    if column is None or column not in cell.axes:
        return
    for method in cell.by_method:
        for variant in cell.variants(method):
            other = cell.matching(method, {**variant, column: contrast.reference})
            found = [None if each is None else contrast.side_of(each[column]) for each in (variant, other)]
            if other is not None and tuple(found) == contrast.sides:
                runs = (cell.runs(method, each) for each in (variant, other))
                rest = {axis: value for axis, value in variant.items() if axis != column}
                yield {"method": method, **rest}, dict(zip(contrast.sides, runs, strict=True))


def matched_runs(cell: Cell, methods: Sequence[str], variant: Variant) -> "dict[str, pd.DataFrame] | None":
    """Return the runs of a variant of the first method and of the matching variants of the others; None without one."""
    runs = {methods[0]: cell.runs(methods[0], variant)}
    for method in methods[1:]:
        other = cell.matching(method, variant)
        if other is None:
            return None
        runs[method] = cell.runs(method, other)
    return runs


def by_seed(runs: "pd.DataFrame", failures: Failures) -> BySeed:
    """Return the accuracies of runs by seed; diverged runs are left out, or count as chance.

    Raises:
        InputError: for two runs with one seed, as in frames of two stores put together.
    """
    if (copies := runs["seed"].duplicated()).any():
        first = runs[copies].iloc[0]
        raise InputError(
            f"frame: two runs of {first['method']} with seed {first['seed']:g} that differ in no field; keep one"
        )
    rows = list(zip(runs["seed"].tolist(), runs[ACCURACY].tolist(), diverged(runs).tolist(), strict=True))
    values = {int(seed): float(value) for seed, value, lost in rows if not lost and isfinite(value)}
    if failures == "chance" and any(lost for *_, lost in rows):
        chance = 100 / float(runs["dataset_num_classes"].iloc[0])
        values |= {int(seed): chance for seed, _, lost in rows if lost}
    return values


def diverged(runs: "pd.DataFrame") -> "pd.Series[bool]":
    """Return which runs diverged: by their status, in a frame without one by accuracy and test loss."""
    if "status" in runs:
        return runs["status"] == "diverged"
    numbers = [name for name in (ACCURACY, "final_test_loss") if name in runs]
    bad: pd.Series[bool] = ~runs[numbers].astype(float).abs().lt(float("inf")).all(axis=1)
    return bad


def combined(contrast: Contrast, values: Mapping[str, BySeed]) -> BySeed:
    """Return a contrast of accuracies seed by seed, over the common seeds."""
    shared = sorted(set.intersection(*(set(each) for each in values.values())))
    return {seed: one_seed(contrast, {side: values[side][seed] for side in values}) for seed in shared}


def one_seed(contrast: Contrast, value: Mapping[str, float]) -> float:
    """Return a contrast of the accuracies of one seed, by its sides.

    Main effect of SPT: ((spt - none) + (both - lsa)) / 2, and likewise of LSA. Interaction: both - lsa - spt + none,
    the gain of SPT with LSA less its gain without; not halved, so that it is a difference of two gains.
    """
    if contrast.effect is None:
        first, *others = (value[side] for side in contrast.sides)
        return first - sum(others)
    none, spt, lsa, both = (value[method] for method in METHODS_2X2)
    if contrast.effect == "interaction":
        return both - lsa - spt + none
    return ((spt - none) + (both - lsa)) / 2 if contrast.effect == "spt" else ((lsa - none) + (both - spt)) / 2


def pairs(values: Mapping[str, BySeed]) -> tuple[tuple[float, float], ...]:
    """Return the accuracies of two sides over their common seeds; empty for another number of sides."""
    if len(values) != 2:
        return ()
    one, other = values.values()
    return tuple((one[seed], other[seed]) for seed in sorted(one.keys() & other.keys()))


def trends(cell: Cell, contrast: Contrast, failures: Failures) -> Iterator[Answer]:
    """Yield the least-squares slope of each seed over a swept field, for each combination of the other axes."""
    import numpy as np
    import pandas as pd

    swept = contrast.column
    if swept is None or swept not in cell.axes:
        return
    variants = [variant for variant in cell.variants(contrast.methods[0]) if variant[swept] == variant[swept]]
    check_numbers(contrast, [variant[swept] for variant in variants])
    rest = [axis for axis in cell.axes if axis != swept and axis not in determined_by(swept, variants)]
    for others in distinct(tuple(repr(variant[axis]) for axis in rest) for variant in variants):
        group = [variant for variant in variants if tuple(repr(variant[axis]) for axis in rest) == others]
        group.sort(key=lambda variant: float(variant[swept]))
        matched = [(variant, matched_runs(cell, contrast.methods, variant)) for variant in group]
        levels = [float(variant[swept]) for variant, runs in matched if runs is not None]
        parts = [runs for _, runs in matched if runs is not None]
        if len(set(levels)) < 2:
            continue
        x = np.log2(levels) if contrast.scale == "log" else np.asarray(levels)
        weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
        lines = [combined(contrast, {name: by_seed(part, failures) for name, part in runs.items()}) for runs in parts]
        shared = sorted(set.intersection(*(set(line) for line in lines)))
        slopes = {seed: float(sum(w * line[seed] for w, line in zip(weights, lines, strict=True))) for seed in shared}
        runs = {method: pd.concat([part[method] for part in parts]) for method in contrast.methods}
        variant = {axis: group[0][axis] for axis in rest}
        lost = {int(diverged(part[method]).sum()) for part in parts for method in contrast.methods}
        slope = answer(cell, contrast, variant, values=slopes, runs=runs, span=float(x.max() - x.min()))
        yield replace(
            slope,
            unequal_failures=len(lost) > 1,  # at some value of the field
            swept=f"{contrast.trend} {min(levels):g} to {max(levels):g}",
        )


def check_numbers(contrast: Contrast, values: Sequence[object]) -> None:
    """Raise InputError for values of a swept field that a trend cannot use."""
    for value in values:
        if isinstance(value, str) or not isfinite(float(cast(float, value))):
            raise InputError(f"contrast: trend: needs numbers (got {contrast.trend} = {shown(value)})")
        if contrast.scale == "log" and float(cast(float, value)) <= 0:
            raise InputError(f"contrast: scale: log needs values above 0 (got {contrast.trend} = {shown(value)})")


def determined_by(swept: str, variants: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the axes that have one value for each value of a swept one."""
    values = {repr(variant[swept]) for variant in variants}
    axes = variants[0] if variants else {}
    return {axis for axis in axes if len({(repr(each[swept]), repr(each[axis])) for each in variants}) == len(values)}


def answer(
    cell: Cell,
    contrast: Contrast,
    variant: Variant,
    *,
    values: BySeed,
    runs: "Mapping[str, pd.DataFrame]",
    pairs: tuple[tuple[float, float], ...] = (),
    span: float = 1.0,
) -> Answer:
    """Return an answer with the numbers of diverged runs of the sides involved."""
    lost = {side: (int(diverged(part).sum()), len(part)) for side, part in runs.items()}
    return Answer(
        contrast=contrast,
        backbone=cell.backbone,
        dataset=cell.dataset,
        setting=cell.describe(variant),
        values=values,
        pairs=pairs,
        failed=", ".join(f"{bad} of {count} {side}" for side, (bad, count) in lost.items() if bad),
        unequal_failures=len({bad for bad, _ in lost.values()}) > 1,
        span=span,
        run_ids=frozenset(runs[contrast.sides[0]].index),
        all_ids=frozenset(run_id for part in runs.values() for run_id in part.index),
    )


def over_backbones(contrast: Contrast, found: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the mean of a contrast over the backbones of each data set and setting.

    Over these backbones: contrasts are averaged within each seed, so that the answer is about just these networks. Over
    backbones at large: one number for each of five or more backbones, its mean over seeds; the backbones are taken as
    an independent sample. Diverged runs of backbones without a common seed count in the verdict too.
    """
    groups = dict[tuple[str, str], list[Answer]]()
    for each in found:
        groups.setdefault((each.dataset, each.setting), []).append(each)
    for (dataset, setting), group in groups.items():
        usable = [each for each in group if each.values]
        names = {each.backbone for each in usable}
        if len(names) < len(usable) or len(names) < (2 if contrast.over == "backbones" else MIN_BACKBONES):
            continue
        if contrast.over == "backbones":
            shared = sorted(set.intersection(*(set(each.values) for each in usable)))
            values = {seed: mean(each.values[seed] for each in usable) for seed in shared}
        else:
            values = {number: mean(each.values.values()) for number, each in enumerate(usable)}
        if values:
            yield Answer(
                contrast=contrast,
                backbone=f"{len(names)} backbones" + (" at large" if contrast.over == "backbones at large" else ""),
                dataset=dataset,
                setting=setting,
                values=values,
                failed=", ".join(f"{each.backbone}: {each.failed}" for each in group if each.failed),
                unequal_failures=any(each.unequal_failures for each in group),
                span=max(each.span for each in usable),
                swept=", ".join(distinct(each.swept for each in usable)),
                all_ids=frozenset().union(*(each.all_ids for each in group)),
            )
