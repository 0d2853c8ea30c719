"""The runs of a report as figures need them: repetitions together, under names that tell experiments apart."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slbench.differing import differing, flat
from slbench.errors import InputError
from slbench.plotting.style import MAX_FIGURES, StyleMap, percent
from slbench.record import RunRecord
from slbench.report.captions import AccuracyName
from slbench.report.columns import accuracy_names, datasets_of
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table, text
from slbench.report.tidy import EQUAL, TRAINING_HEADS
from slbench.spec import RunSpec, to_dict
from slbench.stats.intervals import Interval, mean_interval
from slbench.store import safe
from slbench.table_spec import METRICS
from slbench.text import distinct

CellKey = tuple[str, str, str, str]  # data set, backbone, method, cell
TRAINING = (*TRAINING_HEADS, "protocol")
OFTEN_ABSENT = (EQUAL, "numerics_")  # heads of fields that some specs lack, which says nothing against the others


class TooManyError(InputError):
    """More figures of a kind than a report has."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Runs that differ in nothing but their seeds."""

    dataset: str
    backbone: str  # its label, and where that stands for several networks what tells them apart
    method: str  # label of its row
    variant: str = ""  # what tells rows of one label apart
    settings: Mapping[str, str] = field(
        default_factory=dict
    )  # of training, where its backbone was trained otherwise too
    records: tuple[RunRecord, ...]  # by seed

    @property
    def row(self) -> str:
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def spec(self) -> RunSpec:
        """That of its first seed; the others have the same but for the seed."""
        return self.records[0].spec

    def by_seed(self, accuracy: AccuracyName) -> dict[int, float]:
        """Accuracies in %, of those seeds that have one."""
        found = {record.spec.seed: getattr(record, f"{accuracy}_test_top1") for record in self.records}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What may stand in one panel: experiments on one data set, trained in one way as far as it is varied."""

    dataset: str
    settings: Mapping[str, str]
    experiments: tuple[Experiment, ...]

    @property
    def title(self) -> str:
        """Data set and settings, in one line for a person."""
        return ", ".join([self.dataset, *(f"{name} {value}" for name, value in self.settings.items())])


@dataclass(frozen=True, kw_only=True)
class FigureInputs:
    """What a report's figures are drawn from."""

    gathered: ReportInputs
    experiments: tuple[Experiment, ...]  # those of the table, in its order
    looks: StyleMap
    accuracy: AccuracyName  # the first of the table
    level: float  # of intervals

    @property
    def axis(self) -> str:
        return f"{self.accuracy} test top-1 (%)"

    @property
    def words(self) -> str:
        return METRICS[self.accuracy].words

    def interval(self, values: Sequence[float]) -> Interval | None:
        """Of their mean; None with one."""
        return mean_interval(values, level=self.level) if len(values) > 1 else None

    @property
    def bars(self) -> str:
        return f"bars: {percent(self.level)} intervals over the seeds"


def show(gathered: ReportInputs, table: Table, *, level: float) -> FigureInputs:
    """What the figures of a report are drawn from: the rows and data sets of its table."""
    names = accuracy_names(table.columns)
    found = experiments(gathered, [(row.backbone, row.method) for row in table.rows])
    asked = gathered.runs
    looks = StyleMap(
        distinct([*(run.labels.backbone for run in asked), *(each.backbone for each in found)]),
        distinct([*(run.labels.method for run in asked), *(each.row for each in found)]),
    )
    accuracy: AccuracyName = "best" if names[:1] == ["best"] else "selected" if names[:1] == ["selected"] else "final"
    return FigureInputs(gathered=gathered, experiments=found, looks=looks, accuracy=accuracy, level=level)


def experiments(gathered: ReportInputs, rows: Sequence[tuple[str, str]]) -> tuple[Experiment, ...]:
    """The finished runs of some rows, repetitions together, by data set and row.

    Args:
        rows: backbone and method, in the order of the table.
    """
    place = {row: number for number, row in reversed(list(enumerate(rows)))}
    datasets = datasets_of(gathered)
    cells = defaultdict[CellKey, list[RunRecord]](list)
    for record in gathered.records:
        labels = record.labels
        if (labels.backbone, labels.method) in place and labels.dataset in datasets:
            cells[labels.dataset, labels.backbone, labels.method, record.spec.cell_id].append(record)
    fields = {key: flat(to_dict(records[0].spec)) for key, records in cells.items()}
    trained = told_apart(fields, TRAINING, within=2, among=1)
    networks = told_apart(fields, ("backbone_",), within=3, among=2)
    methods = told_apart(fields, ("method_", "numerics_"), within=3, among=3)
    found = [
        Experiment(
            dataset=key[0],
            backbone=with_settings(key[1], networks[key]),
            method=key[2],
            variant=in_words(methods[key]),
            settings=trained[key],
            records=tuple(sorted(records, key=lambda record: record.spec.seed)),
        )
        for key, records in cells.items()
    ]
    order = {key: number for number, key in enumerate(cells)}
    keys = sorted(cells, key=lambda key: (datasets.index(key[0]), place[key[1], key[2]], order[key]))
    return tuple(found[order[key]] for key in keys)


def told_apart(
    fields: Mapping[CellKey, Mapping[str, Any]], heads: tuple[str, ...], *, within: int, among: int
) -> dict[CellKey, dict[str, str]]:
    """Of each experiment those fields, as text, in which experiments of a group differ.

    Args:
        within: so many leading names make a group.
        among: what differs in one group is told of all experiments that share so many.
    """
    groups = defaultdict[tuple[str, ...], list[CellKey]](list)
    for key in fields:
        groups[key[:within]].append(key)
    names = defaultdict[tuple[str, ...], dict[str, None]](dict)
    for start, keys in groups.items():
        differences = differing((fields[key] for key in keys), optional=OFTEN_ABSENT)
        names[start[:among]] |= dict.fromkeys(name for name in differences if name.startswith(heads))
    return {key: {name: shown_value(fields[key].get(name)) for name in names[key[:among]]} for key in fields}


def shown_value(value: Any) -> str:
    return "–" if value is None else text(value)


def in_words(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def with_settings(label: str, settings: Mapping[str, str]) -> str:
    return f"{label} ({in_words(settings)})" if settings else label


def contexts(found: Iterable[Experiment], *, apart_from: Sequence[str] = ()) -> list[Context]:
    """Experiments that may be compared, together, in their order.

    Args:
        apart_from: settings in which they may differ.
    """
    groups = defaultdict[tuple[Any, ...], list[Experiment]](list)
    for experiment in found:
        kept = tuple((name, value) for name, value in experiment.settings.items() if name not in apart_from)
        groups[experiment.dataset, kept].append(experiment)
    return [
        Context(dataset=dataset, settings=dict(kept), experiments=tuple(group))
        for (dataset, kept), group in groups.items()
    ]


def file_names(stem: str, shown: Sequence[Context]) -> list[str]:
    """A file name for the figure of each, without suffix: only what tells them apart is in it.

    Raises:
        TooManyError: if there are more than a report has.
    """
    if len(shown) > MAX_FIGURES:
        raise TooManyError(
            f"--figures {stem}: would be {len(shown)} figures, one for each way of training, and a report has at most "
            f"{MAX_FIGURES}: choose among the runs with --query"
        )
    several = len({context.dataset for context in shown}) > 1
    parts = []
    for context in shown:
        values = [f"{name.partition('_')[2] or name}-{value}" for name, value in context.settings.items()]
        named = ([context.dataset] if several else []) + (values if len(shown) > 1 else [])
        parts.append("-".join([stem, *map(safe, named)]))
    counts, names = Counter[str](), []
    for name in parts:
        counts[name] += 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


def seeds_words(counts: Collection[int], of: str) -> str:
    """Counts 2 and 3 as "n = 2 to 3 seeds a point"."""
    low, high = min(counts), max(counts)
    return f"n = {low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} a {of}"


def device_words(found: Iterable[Experiment]) -> str:
    """What they were trained on."""
    names = distinct(record.device_name for experiment in found for record in experiment.records)
    return f"trained on {', '.join(names)}"
