"""Runs of a report grouped into experiments with distinct names, as figures need them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from slbench.differing import differing, flat
from slbench.errors import InputError
from slbench.plotting.style import MAX_FIGURES, SCREEN, FigureStyle, MethodStyle, StyleMap
from slbench.record import RunRecord
from slbench.report.columns import accuracy_names, datasets_of
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import by_seed
from slbench.report.table import Table, text
from slbench.report.tidy import EQUAL, TRAINING_PREFIXES
from slbench.report.verdicts import Verdicts
from slbench.spec import RunSpec, to_dict
from slbench.store import safe
from slbench.table_spec import METRICS
from slbench.text import distinct

CellKey = tuple[str, str, str, str]  # data set, backbone, method, cell
TRAINING = (*TRAINING_PREFIXES, "protocol")
OFTEN_ABSENT = (EQUAL, "numerics_")  # prefixes of fields that some specs lack; a missing field is no difference


class TooManyError(InputError):
    """A report would have too many figures of a kind."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Runs that differ only in their seeds."""

    dataset: str
    backbone: str  # label, with the differing fields if several networks have it
    method: str  # label
    variant: str = ""  # differing fields if several methods have the label
    settings: Mapping[str, str] = field(default_factory=dict)  # of training that differ within the backbone
    records: tuple[RunRecord, ...]  # by seed

    @property
    def method_label(self) -> str:
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def spec(self) -> RunSpec:
        """Spec of the first seed."""
        return self.records[0].spec


@dataclass(frozen=True, kw_only=True)
class Context:
    """Comparable experiments: one data set, the same training."""

    dataset: str
    settings: Mapping[str, str]
    experiments: tuple[Experiment, ...]

    @property
    def title(self) -> str:
        """Data set and settings."""
        return ", ".join([self.dataset, *(f"{name} {value}" for name, value in self.settings.items())])


@dataclass(frozen=True, kw_only=True)
class FigureInputs:
    """Experiments and styles shared by the figures of a report."""

    report_inputs: ReportInputs
    experiments: tuple[Experiment, ...]  # of the table, in its order
    styles: StyleMap
    look: FigureStyle = SCREEN
    accuracy: str  # the first of the table, by name of METRICS
    table: Table

    @property
    def axis(self) -> str:
        return f"{self.accuracy} test top-1 (%)"

    def by_seed(self, experiment: Experiment) -> dict[int, float]:
        """Return the accuracies of an experiment in % by seed, without missing values."""
        return by_seed(experiment.records, METRICS[self.accuracy], self.report_inputs.folders)

    def style_of(self, method: str) -> MethodStyle:
        """Return the style of a method by its label."""
        return self.styles.of(method)

    @property
    def description(self) -> str:
        return METRICS[self.accuracy].description

    @property
    def verdicts(self) -> Verdicts | None:
        """Verdicts on this accuracy."""
        return self.table.verdicts


BARS = "bars: ± sample standard deviation over the seeds"


def bar(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the ends of a bar, mean ± sample standard deviation; None for one value.

    Not an interval, since the overlap of intervals of methods is no test: the verdicts are on paired differences.
    """
    if len(values) < 2:
        return None
    centre, spread = mean(values), stdev(values)
    return centre - spread, centre + spread


def figure_inputs(inputs: ReportInputs, table: Table, look: FigureStyle = SCREEN) -> FigureInputs:
    """Return the inputs of a report's figures: the rows and data sets of its table."""
    names = accuracy_names(table.columns)
    experiments = group_experiments(inputs, [(row.backbone, row.method) for row in table.rows])
    runs = inputs.runs
    methods = [*(run.labels.method for run in runs), *(experiment.method_label for experiment in experiments)]
    return FigureInputs(
        report_inputs=inputs,
        experiments=experiments,
        styles=StyleMap(distinct(methods)),
        look=look,
        accuracy=names[0] if names else "final",
        table=table,
    )


def group_experiments(inputs: ReportInputs, rows: Sequence[tuple[str, str]]) -> tuple[Experiment, ...]:
    """Return the experiments of some rows, ordered by data set and row.

    Args:
        rows: backbone and method, in the order of the table.
    """
    position = {row: number for number, row in reversed(list(enumerate(rows)))}
    datasets = datasets_of(inputs)
    cells = defaultdict[CellKey, list[RunRecord]](list)
    for record in inputs.records:
        labels = record.labels
        if (labels.backbone, labels.method) in position and labels.dataset in datasets:
            cells[labels.dataset, labels.backbone, labels.method, record.spec.cell_id].append(record)
    fields = {key: flat(to_dict(records[0].spec)) for key, records in cells.items()}
    trained = distinguishing_fields(fields, TRAINING, within=2, among=1)
    networks = distinguishing_fields(fields, ("backbone_",), within=3, among=2)
    methods = distinguishing_fields(fields, ("method_", "numerics_"), within=3, among=3)
    experiments = [
        Experiment(
            dataset=key[0],
            backbone=with_settings(key[1], networks[key]),
            method=key[2],
            variant=settings_text(methods[key]),
            settings=trained[key],
            records=tuple(sorted(records, key=lambda record: record.spec.seed)),
        )
        for key, records in cells.items()
    ]
    order = {key: number for number, key in enumerate(cells)}
    keys = sorted(cells, key=lambda key: (datasets.index(key[0]), position[key[1], key[2]], order[key]))
    return tuple(experiments[order[key]] for key in keys)


def distinguishing_fields(
    fields: Mapping[CellKey, Mapping[str, Any]], heads: tuple[str, ...], *, within: int, among: int
) -> dict[CellKey, dict[str, str]]:
    """Return for each experiment the fields, as text, in which experiments of a group differ.

    Args:
        within: number of leading names of the key that define a group.
        among: fields that differ in a group are returned for all experiments that share this many leading names.
    """
    groups = defaultdict[tuple[str, ...], list[CellKey]](list)
    for key in fields:
        groups[key[:within]].append(key)
    names = defaultdict[tuple[str, ...], dict[str, None]](dict)
    for start, keys in groups.items():
        differences = differing((fields[key] for key in keys), optional=OFTEN_ABSENT)
        names[start[:among]] |= dict.fromkeys(name for name in differences if name.startswith(heads))
    return {key: {name: value_text(fields[key].get(name)) for name in names[key[:among]]} for key in fields}


def value_text(value: Any) -> str:
    return "–" if value is None else text(value)


def settings_text(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def with_settings(label: str, settings: Mapping[str, str]) -> str:
    return f"{label} ({settings_text(settings)})" if settings else label


def contexts(experiments: Iterable[Experiment], *, ignore: Sequence[str] = ()) -> list[Context]:
    """Group comparable experiments, in order.

    Args:
        ignore: settings in which they may differ.
    """
    groups = defaultdict[tuple[Any, ...], list[Experiment]](list)
    for experiment in experiments:
        kept = tuple((name, value) for name, value in experiment.settings.items() if name not in ignore)
        groups[experiment.dataset, kept].append(experiment)
    return [
        Context(dataset=dataset, settings=dict(kept), experiments=tuple(group))
        for (dataset, kept), group in groups.items()
    ]


def file_names(stem: str, figure_contexts: Sequence[Context]) -> list[str]:
    """Return a distinct file name without suffix for each figure.

    Raises:
        TooManyError: for more than MAX_FIGURES figures.
    """
    if len(figure_contexts) > MAX_FIGURES:
        raise TooManyError(
            f"--figures: {stem}: too many, one per combination of training settings (got {len(figure_contexts)}); "
            f"allowed: at most {MAX_FIGURES}; select runs with --query"
        )
    several = len({context.dataset for context in figure_contexts}) > 1
    parts = []
    for context in figure_contexts:
        values = [f"{name.partition('_')[2] or name}-{value}" for name, value in context.settings.items()]
        named = ([context.dataset] if several else []) + (values if len(figure_contexts) > 1 else [])
        parts.append("-".join([stem, *map(safe, named)]))
    counts, names = Counter[str](), []
    for name in parts:
        counts[name] += 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


def spread_ends(inputs: FigureInputs, experiments: Iterable[Experiment]) -> list[float]:
    """Return the means of experiments and the ends of their bars."""
    values = [list(inputs.by_seed(experiment).values()) for experiment in experiments]
    return [end for own in values for end in (mean(own), *(bar(own) or ()))]


def seeds_text(counts: Collection[int], of: str) -> str:
    """Return "n = 2 to 3 seeds per point" for counts 2 and 3."""
    low, high = min(counts), max(counts)
    return f"n = {low if low == high else f'{low} to {high}'} seed{'' if high == 1 else 's'} per {of}"


def device_text(experiments: Iterable[Experiment]) -> str:
    """Return "trained on" and the devices."""
    names = distinct(record.device_name for experiment in experiments for record in experiment.records)
    return f"trained on {', '.join(names)}"
