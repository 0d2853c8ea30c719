"""Cells of a frame of runs: one backbone on one data set in one setting of training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slbench.text import distinct

if TYPE_CHECKING:
    import pandas as pd

TRAINING = ("dataset_", "recipe_")  # prefixes of fields in which compared runs agree
DERIVED_DATA = (
    "dataset_content", "dataset_train_counts", "dataset_validation_counts", "dataset_num_test", "dataset_mean",
    "dataset_std",
)  # fmt: skip
FOLLOWING = {  # fields that a run derives from another field; all others are settings of their own
    "dataset_image_size": (*DERIVED_DATA, "backbone_patch_size", "backbone_window_size", "backbone_num_splits"),
    "dataset_split_seed": DERIVED_DATA,
    "backbone_patch_size": ("backbone_window_size",),
}
NUMERICS = "numerics_"  # prefix of the versions of the parts that a run uses; NaN for the others
EQUAL = "recipe_equal"  # training budget of subsets; the full set has none and is compared with both kinds
ACCURACY = "final_test_top1"
RESULTS = ("method", "seed", "status", ACCURACY, "final_test_loss", "dataset_num_classes")
FRACTION, PER_CLASS = "dataset_fraction", "dataset_per_class"
Variant = Mapping[str, Any]  # values of the axes


class Cell:
    """All runs of one backbone on one data set that were trained alike.

    Args:
        runs: rows of the tidy frame.
        axes: fields that vary within a method.
        setting: fields that tell this cell from others.
    """

    def __init__(self, runs: "pd.DataFrame", *, axes: Sequence[str], setting: Mapping[str, Any]) -> None:
        self.axes, self.setting = list(axes), dict(setting)
        self.versions = {axis for axis in axes if axis.startswith(NUMERICS)}
        self.backbone, self.dataset = str(runs["backbone"].iloc[0]), str(runs["dataset"].iloc[0])
        runs = runs[[name for name in (*RESULTS, *axes) if name in runs]]  # few columns are much faster to select from
        self.by_method = {str(method): part for method, part in runs.groupby("method", sort=False)}
        self._none = runs.iloc[:0]

    def variants(self, method: str) -> list[dict[str, Any]]:
        """Return the values of the axes with which a method was run."""
        runs = self.by_method.get(method)
        rows = [] if runs is None else distinct_rows(runs, self.axes)
        return [dict(zip(self.axes, row, strict=True)) for row in rows]

    def matching(self, method: str, variant: Variant) -> dict[str, Any] | None:
        """Return the one variant of a method that agrees on every axis along which that method varies.

        Versions of numerics must not differ, where both have one. None if there is no such variant, or more than one.
        """
        own = self.variants(method)
        varied = [axis for axis in self.axes if len({repr(other[axis]) for other in own}) > 1 or axis in self.versions]
        same = [other for other in own if all(self._agree(axis, other[axis], variant[axis]) for axis in varied)]
        return same[0] if len(same) == 1 else None

    def _agree(self, axis: str, one: Any, other: Any) -> bool:
        return same_value(one, other) or (axis in self.versions and (missing(one) or missing(other)))

    def runs(self, method: str, variant: Variant) -> "pd.DataFrame":
        """Return the runs of one variant of a method."""
        return matching_rows(self.by_method.get(method, self._none), variant)

    def describe(self, variant: Variant) -> str:
        """Return the setting of the cell and of one variant as text."""
        return ", ".join(f"{name} {value}" for name, value in {**self.setting, **variant}.items() if value == value)


def cells(frame: "pd.DataFrame", *, swept: str | None = None, alone: bool = False) -> list[Cell]:
    """Return the cells of a frame of runs.

    Fields of training that differ within a backbone and data set, and sizes of the backbone that differ within a method
    (`none-wide` has an MLP of its own), tell cells apart: runs that were
    trained differently are never compared. Fields of a method that differ within a method are axes: a method is
    compared with the variant of its reference that agrees on every axis along which the reference varies. So are
    versions of numerics, if there are several; they must agree where both have one.

    Args:
        swept: column of a training field, such as "dataset_fraction", that is an axis here. Fields that it determines
            do not tell cells apart either.
        alone: only FOLLOWING may differ with that field, since its values are compared.
    """
    if swept == FRACTION and swept in frame:
        frame = frame.assign(**{swept: values_of(frame, swept)})
    return [
        cell
        for _, runs in frame.groupby(["backbone", "dataset"], sort=False)
        for cell in cells_of(runs, swept, alone=alone)
    ]


def values_of(frame: "pd.DataFrame", column: str) -> "pd.Series[Any]":
    """Return a column of a frame of runs; NaN in the fraction of a data set that is used whole becomes 1."""
    values = frame[column]
    if column != FRACTION:
        return values
    is_whole = values.isna() & frame[PER_CLASS].isna() if PER_CLASS in frame else values.isna()
    return values.mask(is_whole, 1.0)


def cells_of(runs: "pd.DataFrame", swept: str | None, *, alone: bool) -> Iterator[Cell]:
    """Yield the cells of one backbone on one data set."""
    varied = [str(column) for column in runs if varies(runs[column])]
    methods = [part for _, part in runs.groupby("method", sort=False)]
    within = [name for name in varied if any(varies(part[name]) for part in methods)]  # not implied by the method
    apart = [name for name in varied if name.startswith(TRAINING) or name == "protocol"]
    apart += [name for name in within if name.startswith("backbone_")]
    axes = [name for name in within if name.startswith("method_")]
    axes += [name for name in varied if name.startswith(NUMERICS) and varies(runs[name].dropna())]
    if swept in apart:
        axes.append(swept)
        following = FOLLOWING.get(swept, ()) if alone else apart
        apart = [
            name for name in apart if name != swept and not (name in following and determined(runs, name, by=swept))
        ]
    settings = [dict(zip(apart, values, strict=True)) for values in distinct_rows(runs, apart)]
    joins = swept in (FRACTION, PER_CLASS) if alone else swept is not None  # the full set is compared with subsets
    for setting in settings:
        if joins and any(is_full_set_of(setting, other) for other in settings):
            continue  # part of the cells with either budget
        yield Cell(matching_rows(runs, setting, optional=EQUAL if joins else ""), axes=axes, setting=setting)


def is_full_set_of(setting: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether a setting is that of another, but without a training budget of subsets."""
    if EQUAL not in setting or not missing(setting[EQUAL]) or missing(other[EQUAL]):
        return False
    return all(same_value(value, other[name]) for name, value in setting.items() if name != EQUAL)


def determined(runs: "pd.DataFrame", name: str, *, by: str) -> bool:
    """Return whether a column has one value for each value of another."""
    return not any(varies(part[name]) for _, part in runs.groupby(by, dropna=False, sort=False))


def matching_rows(runs: "pd.DataFrame", values: Mapping[str, Any], *, optional: str = "") -> "pd.DataFrame":
    """Return the rows with these values.

    Args:
        optional: column in which a missing value matches too.
    """
    for name, value in values.items():
        runs = runs[[same_value(other, value) or (name == optional and missing(other)) for other in runs[name]]]
    return runs


def missing(value: Any) -> bool:
    """Return whether a value of a frame is NaN."""
    return bool(value != value)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of a frame are equal; NaN equals NaN."""
    return bool(one == other or (missing(one) and missing(other)))


def distinct_rows(frame: "pd.DataFrame", columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the different rows of some columns, in order; one empty row without columns."""
    if not columns:
        return [()]
    rows = {repr(row): row for row in reversed(list(frame[list(columns)].itertuples(index=False, name=None)))}
    return [rows[key] for key in distinct(map(repr, frame[list(columns)].itertuples(index=False, name=None)))]


def varies(column: "pd.Series[Any]") -> bool:
    """Return whether a column has different values; NaN counts as one value."""
    return len({repr(value) for value in column}) > 1
