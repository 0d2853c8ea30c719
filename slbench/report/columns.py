"""Columns of a table: text, CSV fields and sort key of each. A new kind of column is one class here."""

import dataclasses
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from slbench.errors import InputError
from slbench.report.cells import Cell, Row
from slbench.report.inputs import ReportInputs
from slbench.stats.images import MIN_SEEDS
from slbench.stats.robust import interquartile_mean
from slbench.table_spec import COMPARISONS, COSTS, DEFAULT_COLUMNS, METRICS, PAPER_COLUMNS, Cost, Metric
from slbench.text import NOTHING, distinct, plural, signed

EXPLORATORY = "†"  # after a difference that the study did not ask for


@dataclass(frozen=True)
class Column(ABC):
    """A column after the titles of the rows."""

    name: str  # of its cost or metric
    dataset: str = ""  # empty for a cost

    @property
    def head(self) -> str:
        """Text above the column."""
        return f"{self.dataset} {self.short_head}".strip()

    @property
    @abstractmethod
    def short_head(self) -> str:
        """Text above the column without the data set."""

    @property
    def about(self) -> str:
        """Description of the column; may be empty."""
        return ""

    @property
    @abstractmethod
    def ascending(self) -> bool:
        """Whether the first sort is ascending."""

    @abstractmethod
    def text(self, row: Row) -> str:
        """Return the text of a row, rounded and not escaped."""

    @abstractmethod
    def full(self, row: Row) -> dict[str, object]:
        """Return the columns of a CSV, with full precision."""

    @abstractmethod
    def sort_key(self, row: Row) -> float | None:
        """Return the number that a row is sorted by; None: last."""

    def hint(self, row: Row) -> str:  # noqa: ARG002
        """Return the numbers behind a text to four decimals, with n and source; empty if there is nothing to add."""
        return ""

    def is_best(self, row: Row) -> bool:  # noqa: ARG002
        """Return whether a row has the best value."""
        return False

    def is_partial(self, row: Row) -> bool:  # noqa: ARG002
        """Return whether seeds are missing."""
        return False


class CostColumn(Column):
    """A cost of the network, such as MACs; one value for each image shape among the data sets."""

    @property
    def cost(self) -> Cost:
        return COSTS[self.name]

    @property
    def short_head(self) -> str:
        return self.cost.head

    @property
    def ascending(self) -> bool:
        return not self.cost.highest_first

    def text(self, row: Row) -> str:
        values = (f"{value / self.cost.scale:,.{self.cost.digits}f}" for value in row.costs[self.name])
        return " / ".join(values) or NOTHING

    def full(self, row: Row) -> dict[str, object]:
        return {self.name: " / ".join(map(str, row.costs[self.name]))}

    def sort_key(self, row: Row) -> float | None:
        return float(row.costs[self.name][0]) if row.costs[self.name] else None


class DatasetColumn(Column):
    """A column about one metric on one data set."""

    fields: ClassVar[dict[str, tuple[type, str]]]  # kind and meaning of CSV columns, by name after data set and metric

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    @property
    def ascending(self) -> bool:
        return self.metric.lowest_is_best

    @property
    def term(self) -> str:
        """Name of the column in a list of numbers."""
        return f"{self.short_head}, {self.metric.head}"

    def cell(self, row: Row) -> Cell | None:
        return row.cells.get((self.dataset, self.name))

    def text(self, row: Row) -> str:
        cell = self.cell(row)
        return NOTHING if cell is None else self.cell_text(cell)

    def full(self, row: Row) -> dict[str, object]:
        cell = self.cell(row)
        values = (None,) * len(self.fields) if cell is None else self.values(cell)
        prefix = f"{self.dataset}_{self.metric.key}"
        return {f"{prefix}_{field}": value for field, value in zip(self.fields, values, strict=True)}

    def sort_key(self, row: Row) -> float | None:
        cell = self.cell(row)
        return None if cell is None else self.number(cell)

    def hint(self, row: Row) -> str:
        cell = self.cell(row)
        return "" if cell is None else self.explanation(cell)

    @abstractmethod
    def cell_text(self, cell: Cell) -> str: ...

    @abstractmethod
    def values(self, cell: Cell) -> tuple[object, ...]: ...

    @abstractmethod
    def number(self, cell: Cell) -> float | None: ...

    @abstractmethod
    def explanation(self, cell: Cell) -> str: ...


class MetricColumn(DatasetColumn):
    """Mean and spread of a metric over the seeds: "81.25 ± 0.40 (2)", or "81.25 (1 of 2)" while seeds are missing."""

    fields: ClassVar = {
        "mean": (float, "mean over the seeds"),
        "std": (float, "sample standard deviation over the seeds"),
        "n": (int, "seeds with a value"),
        "expected": (int, "seeds of the study"),
    }

    @property
    def short_head(self) -> str:
        return self.metric.head

    @property
    def about(self) -> str:
        return self.metric.description

    @property
    def term(self) -> str:
        return self.metric.head

    def text(self, row: Row) -> str:
        lost, ended = row.diverged.get(self.dataset, (0, 0))
        return super().text(row) if self.cell(row) or not lost else f"{NOTHING} ({lost} of {ended} diverged)"

    def cell_text(self, cell: Cell) -> str:
        digits = self.metric.digits
        spread = "" if cell.std is None else f" ± {cell.std:.{digits}f}"
        count = f"{cell.n}" if cell.is_whole else f"{cell.n} of {cell.expected}"
        lost = f"; {cell.diverged} of {cell.n + cell.diverged} diverged" if cell.diverged else ""
        return f"{cell.mean:.{digits}f}{spread} ({count}{lost})"

    def full(self, row: Row) -> dict[str, object]:
        values = super().full(row)
        if self.cell(row) is None:
            values[f"{self.dataset}_{self.metric.key}_n"] = 0
        return values

    def values(self, cell: Cell) -> tuple[object, ...]:
        return cell.mean, cell.std, cell.n, cell.expected

    def number(self, cell: Cell) -> float | None:
        return cell.mean

    def explanation(self, cell: Cell) -> str:
        spread = "" if cell.std is None else f", sample standard deviation {decimals(cell.std)}"
        return f"mean {decimals(cell.mean)}{spread}, {cell.n} of {cell.expected} seeds"

    def is_best(self, row: Row) -> bool:
        cell = self.cell(row)
        return cell is not None and cell.best

    def is_partial(self, row: Row) -> bool:
        cell = self.cell(row)
        return cell is not None and not cell.is_whole


class GainColumn(DatasetColumn):
    """Difference to the plain backbone with its simultaneous interval: "+0.68 (−0.20 to +1.56)"."""

    fields: ClassVar = {
        "gain": (float, "mean difference to the plain backbone, over the seeds of both"),
        "gain_low": (float, "lower end of its simultaneous interval"),
        "gain_high": (float, "upper end"),
        "gain_level": (float, "level of the interval"),
        "gain_n": (int, "seeds of both"),
        "gain_df": (float, "degrees of freedom"),
        "gain_verdict": (str, "of an accuracy: see judging.md"),
        "gain_family": (str, '"primary": a question of the study; "exploratory"'),
        "gain_correlation": (float, "correlation of the two methods over the seeds"),
    }

    @property
    def short_head(self) -> str:
        return "gain"

    @property
    def about(self) -> str:
        return COMPARISONS["gain"]

    def cell_text(self, cell: Cell) -> str:
        gain = cell.gain
        if gain is None:
            return NOTHING
        ends = f" ({signed(gain.low)} to {signed(gain.high)})" if gain.has_interval else ""
        if gain.verdict == "withheld":
            ends = " (withheld)"
        return signed(gain.estimate) + ends + (EXPLORATORY if gain.family == "exploratory" else "")

    def values(self, cell: Cell) -> tuple[object, ...]:
        gain = cell.gain
        if gain is None:
            return (None,) * len(self.fields)
        together = None if gain.correlation is None else gain.correlation.value
        named = gain.verdict if self.metric.is_accuracy else None
        return gain.estimate, gain.low, gain.high, gain.level, gain.n, gain.df, named, gain.family, together

    def number(self, cell: Cell) -> float | None:
        return None if cell.gain is None else cell.gain.estimate

    def explanation(self, cell: Cell) -> str:
        gain = cell.gain
        if gain is None:
            return ""
        estimate = f"{decimals(gain.estimate, '+')} over {plural(gain.n, 'seed')} in common"
        if not gain.has_interval:
            return f"{estimate}, {'verdict withheld' if gain.verdict == 'withheld' else 'no interval'}"
        together = "" if gain.correlation is None else f", correlation of the methods {gain.correlation.value:.2f}"
        named = f"{gain.verdict}, " if self.metric.is_accuracy else ""
        return (
            f"{named}{gain.family}: {estimate}, {100 * gain.level:.4g} % interval {decimals(gain.low, '+')} to "
            f"{decimals(gain.high, '+')}, {gain.df:.3g} degrees of freedom{together}"
        )


class ImagesColumn(DatasetColumn):
    """Interval of the gain over seeds and test images: "−0.31 to +1.67"."""

    fields: ClassVar = {
        "gain_images_low": (float, "lower end of the interval of the gain over seeds and test images"),
        "gain_images_high": (float, "upper end"),
        "gain_images_n": (int, "test images"),
        "gain_images_seeds": (int, "seeds"),
        "gain_images_df": (float, "degrees of freedom"),
    }

    @property
    def short_head(self) -> str:
        return "gain, other images"

    @property
    def about(self) -> str:
        return COMPARISONS["gain_images"]

    def cell_text(self, cell: Cell) -> str:
        return NOTHING if cell.images is None else f"{signed(cell.images.low)} to {signed(cell.images.high)}"

    def values(self, cell: Cell) -> tuple[object, ...]:
        found = cell.images
        return (None,) * 5 if found is None else (found.low, found.high, found.images, found.seeds, found.df)

    def number(self, cell: Cell) -> float | None:
        return None if cell.images is None else cell.images.low

    def explanation(self, cell: Cell) -> str:
        return "" if cell.images is None else cell.images.text


class RobustColumn(DatasetColumn):
    """Another average of the seeds than the mean: "81.30"."""

    key: ClassVar[str]  # of COMPARISONS

    @staticmethod
    @abstractmethod
    def average(values: Sequence[float]) -> float: ...

    @property
    def short_head(self) -> str:
        return self.key

    @property
    def about(self) -> str:
        return COMPARISONS[self.key]

    def cell_text(self, cell: Cell) -> str:
        return f"{self.number(cell):.{self.metric.digits}f}"

    def values(self, cell: Cell) -> tuple[object, ...]:
        return (self.number(cell),)

    def number(self, cell: Cell) -> float:
        return self.average(list(cell.by_seed.values()))

    def explanation(self, cell: Cell) -> str:
        return f"{self.about}: {decimals(self.number(cell))} of {plural(cell.n, 'seed')}"


class MedianColumn(RobustColumn):
    """Median over the seeds."""

    key, fields = "median", {"median": (float, COMPARISONS["median"])}

    @staticmethod
    def average(values: Sequence[float]) -> float:
        return median(values)


class InterquartileMeanColumn(RobustColumn):
    """Interquartile mean over the seeds."""

    key, fields = "iqm", {"iqm": (float, COMPARISONS["iqm"])}

    @staticmethod
    def average(values: Sequence[float]) -> float:
        return interquartile_mean(values)


class DivergedColumn(Column):
    """Runs that diverged, of those that ended: "2 of 5"."""

    @property
    def short_head(self) -> str:
        return "diverged"

    @property
    def about(self) -> str:
        return COMPARISONS["diverged"]

    @property
    def ascending(self) -> bool:
        return False

    def text(self, row: Row) -> str:
        lost, ended = row.diverged.get(self.dataset, (0, 0))
        return f"{lost} of {ended}" if ended else NOTHING

    def full(self, row: Row) -> dict[str, object]:
        lost, ended = row.diverged.get(self.dataset, (0, 0))
        return {f"{self.dataset}_diverged": lost, f"{self.dataset}_ended": ended}

    def sort_key(self, row: Row) -> float | None:
        lost, ended = row.diverged.get(self.dataset, (0, 0))
        return lost / ended if ended else None


class PublishedColumn(DatasetColumn):
    """The paper's number beside our best accuracy, with verdicts on it and on its gain.

    "76.29 (best 76.31: within), gain +2.48 (+2.40: consistent)".
    """

    fields: ClassVar = {
        "published": (float, "the paper's best test accuracy of one run"),
        "verdict": (str, "on it: within, outside, undecided or not comparable"),
        "verdict_reason": (str, "of the verdict"),
        "published_confidence": (str, "verbatim, recomputed or second-hand"),
        "published_source": (str, "table of the paper"),
        "published_ours": (float, "our mean best test accuracy"),
        "published_gain": (float, "the paper's gain over the plain backbone"),
        "published_gain_ours": (float, "ours"),
        "published_gain_low": (float, "lower end of what ours predicts for a difference of two runs"),
        "published_gain_high": (float, "upper end"),
        "published_gain_verdict": (str, "on the gain: consistent, inconsistent or inconclusive"),
        "published_gain_reason": (str, "of that verdict"),
    }

    @property
    def short_head(self) -> str:
        return "published"

    @property
    def about(self) -> str:
        return COMPARISONS["published"]

    def cell_text(self, cell: Cell) -> str:
        reproduction = cell.reproduction
        return NOTHING if reproduction is None else reproduction.text

    def values(self, cell: Cell) -> tuple[object, ...]:
        reproduction = cell.reproduction
        if reproduction is None:
            return (None,) * len(self.fields)
        number = reproduction.published
        about = number.value, reproduction.verdict, reproduction.reason, number.confidence, number.source
        gain = (None,) * 6 if reproduction.gain is None else dataclasses.astuple(reproduction.gain)
        return *about, reproduction.ours, *gain

    def number(self, cell: Cell) -> float | None:
        return None if cell.reproduction is None else cell.reproduction.published.value

    def explanation(self, cell: Cell) -> str:
        reproduction = cell.reproduction
        if reproduction is None:
            return ""
        number = reproduction.published
        return (
            f"{reproduction.explanation}; published: {number.value:.2f} {number.unit}, "
            f"{number.model} {number.variant} on {number.dataset} in {number.table}; confidence: {number.confidence}; "
            f"source: {number.source}{'; ' if number.note else ''}{number.note}"
        )


def decimals(value: float, sign: str = "") -> str:
    """Return a number with at most four decimals."""
    return f"{round(value, 4):{sign}.8g}"


def accuracy_names(columns: Iterable[Column]) -> list[str]:
    """Return the names of the accuracies that a table shows, in its order."""
    return [column.name for column in columns if isinstance(column, MetricColumn) and column.metric.is_accuracy]


def choose_columns(inputs: ReportInputs, requested: Sequence[str], *, published: bool) -> list[Column]:
    """Return the requested columns, else those of the study, else the default."""
    return list(arrange(choose_names(inputs, requested, published=published), datasets_of(inputs)))


def choose_names(inputs: ReportInputs, requested: Sequence[str], *, published: bool) -> list[str]:
    """Return the names of the columns, comparisons after their metric.

    Raises:
        InputError: if `published` is set and no accuracy is shown.
    """
    paper = {run.spec.protocol for run in inputs.runs} == {"paper"}
    names = list(requested or inputs.table_spec.columns or default_names(inputs, paper=paper))
    if published and "published" not in names:
        accuracies = [number for number, name in enumerate(names) if name in METRICS and METRICS[name].is_accuracy]
        if not accuracies:
            raise InputError("--published: needs an accuracy column; add final or best")
        last = accuracies[-1]
        while last + 1 < len(names) and names[last + 1] in COMPARISONS:
            last += 1
        names.insert(last + 1, "published")
    return names


def default_names(inputs: ReportInputs, *, paper: bool) -> list[str]:
    """Return the names of the columns of a table that asks for none."""
    names = list(PAPER_COLUMNS if paper else DEFAULT_COLUMNS)
    if max(Counter(record.spec.cell_id for record in inputs.records).values(), default=0) >= MIN_SEEDS:
        names.insert(names.index("gain") + 1, "gain_images")
    return names


def datasets_of(inputs: ReportInputs) -> list[str]:
    """Return the labels of the data sets of a table, in order."""
    labels = distinct(run.labels.dataset for run in inputs.runs)
    chosen = inputs.table_spec.dataset
    return [label for label in chosen if label in labels] if chosen else list(labels)


def arrange(names: Sequence[str], datasets: Sequence[str]) -> Iterator[Column]:
    """Yield columns in order; those between two costs are repeated for each data set."""
    position = 0
    while position < len(names):
        if names[position] in COSTS:
            yield CostColumn(names[position])
            position += 1
            continue
        group = []
        while position < len(names) and names[position] not in COSTS:
            group.append(names[position])
            position += 1
        for dataset in datasets:
            yield from dataset_columns(group, dataset)


def dataset_columns(names: Sequence[str], dataset: str) -> Iterator[Column]:
    """Yield the columns of one data set; a comparison is about the metric before it."""
    kinds: dict[str, type[Column]] = {
        "gain": GainColumn,
        "gain_images": ImagesColumn,
        "published": PublishedColumn,
        "median": MedianColumn,
        "iqm": InterquartileMeanColumn,
        "diverged": DivergedColumn,
    }
    metric = names[0]
    for name in names:
        metric = name if name in METRICS else metric
        yield kinds.get(name, MetricColumn)(metric, dataset)
