"""Which columns a table has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slbench.errors import InputError
from slbench.layout import BESIDE, COSTS, DEFAULT_COLUMNS, MEASURES, PAPER_COLUMNS, Measure
from slbench.report.inputs import ReportInputs
from slbench.text import distinct

Kind = Literal["cost", "measure", "gain", "published"]


@dataclass(frozen=True)
class Column:
    """One column after the names of the rows: a cost, or of a data set a measure or what stands beside one."""

    kind: Kind
    name: str  # of the cost, or of the measure
    dataset: str = ""

    @property
    def measure(self) -> Measure:
        return MEASURES[self.name]

    @property
    def head(self) -> str:
        """What stands above it."""
        if self.kind == "cost":
            return COSTS[self.name]
        tail = {"measure": self.measure.head, "gain": "gain", "published": "published"}[self.kind]
        return f"{self.dataset} {tail}"


def columns_of(gathered: ReportInputs, asked: Sequence[str], *, published: bool) -> list[Column]:
    """The columns of a table: those asked for, else those of its layout, else as is usual."""
    return list(laid_out(names_of(gathered, asked, published=published), datasets_of(gathered)))


def names_of(gathered: ReportInputs, asked: Sequence[str], *, published: bool) -> list[str]:
    """Names of the columns, those that stand beside a measure after it."""
    paper = {run.spec.protocol for run in gathered.runs} == {"paper"}
    names = list(asked or gathered.layout.columns or (PAPER_COLUMNS if paper else DEFAULT_COLUMNS))
    if published and "published" not in names:
        accuracies = [number for number, name in enumerate(names) if name in MEASURES and MEASURES[name].is_accuracy]
        if not accuracies:
            raise InputError("--published: stands beside an accuracy, and the table has none: add final or best")
        last = accuracies[-1]
        while last + 1 < len(names) and names[last + 1] in BESIDE:
            last += 1
        names.insert(last + 1, "published")
    return names


def datasets_of(gathered: ReportInputs) -> list[str]:
    """Labels of the data sets that are shown, in their order."""
    there = distinct(run.labels.dataset for run in gathered.runs)
    wanted = gathered.layout.dataset
    return [name for name in wanted if name in there] if wanted else list(there)


def laid_out(names: Sequence[str], datasets: Sequence[str]) -> Iterator[Column]:
    """Columns in their order; those between two costs are repeated for each data set."""
    position = 0
    while position < len(names):
        if names[position] in COSTS:
            yield Column("cost", names[position])
            position += 1
            continue
        group = []
        while position < len(names) and names[position] not in COSTS:
            group.append(names[position])
            position += 1
        for dataset in datasets:
            measure = group[0]
            for name in group:
                measure = name if name in MEASURES else measure
                kind: Kind = "gain" if name == "gain" else "published" if name == "published" else "measure"
                yield Column(kind, measure, dataset)
