"""Contrasts of methods from a tidy frame of runs, seed by seed.

A cell is one backbone on one data set in one setting of training. A contrast is formed within each seed, so that
whatever the methods of a seed share cancels. `slbench.stats.judge` turns the values into intervals and verdicts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slbench.errors import InputError
from slbench.stats.factorial import METHODS_2X2
from slbench.stats.factorial import contrasts as effects_by_seed

if TYPE_CHECKING:
    import pandas as pd

ACCURACY = "final_test_top1"
EFFECTS = ("spt", "lsa", "interaction")
KEYS = ("method", "reference", "effect", "trend", "scale")
BySeed = dict[int, float]


@dataclass(frozen=True)
class Contrast:
    """A declared question about a study.

    One of: a method against a reference; an effect of the 2x2 of none, spt, lsa and both; a trend of a method, or of
    its difference to a reference, over a field that the study varies.
    """

    method: str | None = None
    reference: str | None = None
    effect: Literal["spt", "lsa", "interaction"] | None = None
    trend: str | None = None  # field with dots, such as "method.initial_temperature"
    scale: Literal["linear", "log"] = "linear"  # of the field; log: change per doubling

    def __post_init__(self) -> None:
        if self.effect is not None and (self.method or self.reference or self.trend):
            raise InputError(f"contrast: effect: stands alone (got {self}); allowed: effect or method or trend")
        if self.effect is None and self.method is None:
            raise InputError("contrast: method: is missing; allowed: a method, with reference or trend, or an effect")
        if self.method is not None and self.method == self.reference:
            raise InputError(f'contrast: reference: must differ from the method (got "{self.reference}")')

    @property
    def name(self) -> str:
        """Short name, such as "spt against none" or "interaction of spt and lsa"."""
        if self.effect is not None:
            return "interaction of spt and lsa" if self.effect == "interaction" else f"main effect of {self.effect}"
        pair = f"{self.method}" if self.reference is None else f"{self.method} against {self.reference}"
        if self.trend is None:
            return pair
        return f"trend of {pair} per {'doubling' if self.scale == 'log' else 'unit'} of {self.trend}"


def declared(entry: "Contrast | Mapping[str, Any]", *, reference: str) -> Contrast:
    """Return a contrast from its keys in a study file; a plain method is compared with `reference`.

    Raises:
        InputError: for an unknown key or value.
    """
    if isinstance(entry, Contrast):
        return entry
    unknown = [key for key in entry if key not in KEYS]
    if unknown:
        raise InputError(f'contrast: unknown key "{unknown[0]}"; allowed: {", ".join(KEYS)}')
    for key, allowed in (("effect", EFFECTS), ("scale", ("linear", "log"))):
        if key in entry and entry[key] not in allowed:
            raise InputError(f'contrast: {key}: unknown value (got "{entry[key]}"); allowed: {", ".join(allowed)}')
    default = {} if "effect" in entry or "trend" in entry else {"reference": reference}
    return Contrast(**{**default, **entry})


@dataclass(frozen=True)
class Answer:
    """Values of a contrast in one cell, by seed."""

    contrast: Contrast
    backbone: str
    dataset: str
    setting: str  # fields that tell this cell from others with the same backbone and data set
    values: BySeed
    failed: str  # "2 of 5 spt": diverged runs of the methods involved; "" for none
    unequal_failures: bool  # the methods involved have different numbers of diverged runs
    span: float = 1.0  # of a trend: units or doublings from the lowest to the highest value of the field


class Cell:
    """All runs of one backbone on one data set that were trained alike.

    Args:
        runs: rows of the tidy frame.
        axes: fields of method or numerics that vary within a method.
        setting: fields that tell this cell from others.
    """

    def __init__(self, runs: "pd.DataFrame", *, axes: Sequence[str], setting: Mapping[str, Any]) -> None:
        self.runs, self.axes, self.setting = runs, list(axes), dict(setting)
        self.backbone, self.dataset = str(runs["backbone"].iloc[0]), str(runs["dataset"].iloc[0])

    def variants(self, method: str) -> list[dict[str, Any]]:
        """Return the values of the axes with which a method was run."""
        runs = self.runs[self.runs["method"] == method]
        columns = self.axes
        if not len(runs):
            return []
        return [dict(zip(columns, row, strict=True)) for row in distinct_rows(runs, columns)]

    def matching(self, method: str, variant: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the one variant of a method that agrees on every axis along which that method varies.

        None if there is none or more than one.
        """
        own = self.variants(method)
        varied = [axis for axis in self.axes if len({repr(other[axis]) for other in own}) > 1]
        same = [other for other in own if all(same_value(other[axis], variant[axis]) for axis in varied)]
        return same[0] if len(same) == 1 else None

    def accuracies(self, method: str, variant: Mapping[str, Any]) -> "pd.DataFrame":
        """Return the runs of one variant of a method."""
        runs = self.runs[self.runs["method"] == method]
        for axis, value in variant.items():
            runs = runs[[same_value(other, value) for other in runs[axis]]]
        return runs

    def describe(self, variant: Mapping[str, Any]) -> str:
        """Return the setting of the cell and of one variant as text."""
        return ", ".join(f"{name} {value}" for name, value in {**self.setting, **variant}.items() if value == value)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of a frame are equal; NaN equals NaN."""
    return bool(one == other or (one != one and other != other))


def distinct_rows(frame: "pd.DataFrame", columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the different rows of some columns, in order; one empty row without columns."""
    if not columns:
        return [()]
    return [tuple(row) for row in frame[list(columns)].drop_duplicates().itertuples(index=False)]


def by_seed(runs: "pd.DataFrame", failures: Literal["withhold", "chance"]) -> BySeed:
    """Return the accuracies of runs by seed; diverged runs are left out, or count as chance."""
    finished = runs[~diverged(runs)]
    values = {int(seed): float(value) for seed, value in zip(finished["seed"], finished[ACCURACY], strict=True)}
    if failures == "chance":
        lost = runs[diverged(runs)]
        values |= {
            int(seed): 100 / float(classes)
            for seed, classes in zip(lost["seed"], lost["dataset_num_classes"], strict=True)
        }
    return values


def diverged(runs: "pd.DataFrame") -> "pd.Series[bool]":
    """Return which runs diverged: by their status, or by an accuracy or test loss that is not finite."""
    numbers = [name for name in (ACCURACY, "final_test_loss") if name in runs]
    bad: pd.Series[bool] = ~runs[numbers].astype(float).abs().lt(float("inf")).all(axis=1)
    return bad | (runs["status"] == "diverged") if "status" in runs else bad


def answers(cell: Cell, contrast: Contrast, *, failures: Literal["withhold", "chance"]) -> Iterator[Answer]:
    """Yield the values of a contrast in a cell, for each variant of its method."""
    methods = METHODS_2X2 if contrast.effect is not None else (contrast.method or "",)
    if contrast.reference is not None:
        methods = (*methods, contrast.reference)
    if contrast.trend is not None:
        yield from trends(cell, contrast, methods, failures=failures)
        return
    for variant in cell.variants("both" if contrast.effect is not None else methods[0]):
        matched = {method: cell.matching(method, variant) for method in methods}
        matched["both" if contrast.effect is not None else methods[0]] = dict(variant)
        if any(other is None for other in matched.values()):
            continue
        runs = {method: cell.accuracies(method, other or {}) for method, other in matched.items()}
        values = {method: by_seed(part, failures) for method, part in runs.items()}
        yield answer(cell, contrast, variant, values=combined(contrast, values), runs=runs)


def combined(contrast: Contrast, values: Mapping[str, BySeed]) -> BySeed:
    """Return a contrast of accuracies seed by seed, over the common seeds."""
    shared = set.intersection(*(set(by_seed) for by_seed in values.values()))
    if not shared:
        return {}
    if contrast.effect is not None:
        return dict(getattr(effects_by_seed(values), contrast.effect))
    assert contrast.method is not None
    other = values.get(contrast.reference or "", {})
    return {seed: values[contrast.method][seed] - other.get(seed, 0.0) for seed in sorted(shared)}


def trends(
    cell: Cell, contrast: Contrast, methods: Sequence[str], *, failures: Literal["withhold", "chance"]
) -> Iterator[Answer]:
    """Yield the least-squares slope of each seed over a swept field, for each combination of the other axes."""
    import numpy as np
    import pandas as pd

    field = (contrast.trend or "").replace(".", "_")
    if field not in cell.axes:
        return
    rest = [axis for axis in cell.axes if axis != field]
    variants = cell.variants(methods[0])
    for others in dict.fromkeys(tuple(repr(variant[axis]) for axis in rest) for variant in variants):
        group = [variant for variant in variants if tuple(repr(variant[axis]) for axis in rest) == others]
        levels, runs, lines = list[float](), dict[str, list[Any]](), list[BySeed]()
        for variant in sorted(group, key=lambda variant: float(variant[field])):
            matched = [cell.matching(method, variant) for method in methods[1:]]
            if any(other is None for other in matched):
                continue
            parts = [cell.accuracies(methods[0], variant)]
            parts += [cell.accuracies(method, other or {}) for method, other in zip(methods[1:], matched, strict=True)]
            for method, part in zip(methods, parts, strict=True):
                runs.setdefault(method, []).append(part)
            levels.append(float(variant[field]))
            lines.append(combined(contrast, {m: by_seed(p, failures) for m, p in zip(methods, parts, strict=True)}))
        if len(levels) < 2:
            continue
        x = np.log2(levels) if contrast.scale == "log" else np.asarray(levels)
        weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
        shared = sorted(set.intersection(*(set(line) for line in lines)))
        slopes = {seed: float(sum(w * line[seed] for w, line in zip(weights, lines, strict=True))) for seed in shared}
        yield answer(
            cell,
            contrast,
            {axis: group[0][axis] for axis in rest},
            values=slopes,
            runs={method: pd.concat(parts) for method, parts in runs.items()},
            span=float(x.max() - x.min()),
        )


def answer(
    cell: Cell,
    contrast: Contrast,
    variant: Mapping[str, Any],
    *,
    values: BySeed,
    runs: Mapping[str, "pd.DataFrame"],
    span: float = 1.0,
) -> Answer:
    """Return an answer with the numbers of diverged runs of the methods involved."""
    lost = {method: (int(diverged(part).sum()), len(part)) for method, part in runs.items()}
    return Answer(
        contrast,
        cell.backbone,
        cell.dataset,
        cell.describe(variant),
        values,
        failed=", ".join(f"{bad} of {count} {method}" for method, (bad, count) in lost.items() if bad),
        unequal_failures=len({bad for bad, _ in lost.values()}) > 1,
        span=span,
    )


def cells(frame: "pd.DataFrame") -> list[Cell]:
    """Return the cells of a frame of runs.

    Fields of training that differ within a backbone and data set, and fields of the backbone, tell cells apart: runs
    that were trained differently are never compared. Fields of a method or of its numerics that differ within a method
    are axes: a method is compared with the variant of its reference that agrees on every axis along which the reference
    varies.
    """
    columns = [str(column) for column in frame]
    training = [name for name in columns if name.startswith(("dataset_", "recipe_", "backbone_")) or name == "protocol"]
    of_method = [name for name in columns if name.startswith(("method_", "numerics_"))]
    found = list[Cell]()
    for _, runs in frame.groupby(["backbone", "dataset"], sort=False):
        apart = [name for name in training if varies(runs[name])]
        axes = [name for name in of_method if any(varies(part[name]) for _, part in runs.groupby("method", sort=False))]
        for values in distinct_rows(runs, apart):
            setting = dict(zip(apart, values, strict=True))
            own = runs
            for name, value in setting.items():
                own = own[[same_value(other, value) for other in own[name]]]
            found.append(Cell(own, axes=axes, setting=setting))
    return found


def varies(column: "pd.Series[Any]") -> bool:
    """Return whether a column has different values; NaN counts as one value."""
    return len({repr(value) for value in column}) > 1
