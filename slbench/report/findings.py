"""Findings: every comparison that the finished runs allow.

All use the first accuracy of the table, and compare only runs with the same training.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from slbench.report.cells import Row
from slbench.report.columns import accuracy_names
from slbench.report.inputs import ReportInputs
from slbench.report.table import Table, plain_key
from slbench.stats.factorial import (
    METHODS_2X2,
    BySeed,
    Effect,
    Factorial,
    Pool,
    factorial,
    factorial_over,
    over_backbones_at_large,
    over_these_backbones,
)
from slbench.stats.intervals import Interval, PairedDifference, holm, mean_interval, t_interval
from slbench.stats.power import LEVEL
from slbench.stats.sequential import confidence
from slbench.text import distinct

POOLED = ("these backbones", "backbones at large")
EFFECTS = {"spt": "SPT", "lsa": "LSA", "interaction": "SPT x LSA"}


@dataclass(frozen=True)
class Finding:
    """A comparison with its estimate."""

    question: str  # "gain", "SPT", "LSA", "SPT x LSA"
    subject: str  # title of a row, a backbone, or how backbones were pooled
    dataset: str
    settings: str  # of training that differ within the table
    answer: Effect | PairedDifference
    adjusted: float | None = None  # p value corrected for the comparisons of its section

    @property
    def verdict(self) -> str:
        """Verdict of the interval, if the corrected p value supports it."""
        alone = self.answer.verdict
        lost = alone != "undecided" and self.adjusted is not None and self.adjusted >= 1 - LEVEL
        return "undecided after Holm" if lost else alone


Key = tuple[str, str, str]  # data set, backbone, settings of training
Group = dict[str, BySeed]  # accuracies of a backbone's methods, by seed


def compute_findings(inputs: ReportInputs, table: Table) -> list[Finding]:
    """Return comparisons with the plain backbone, then the 2x2 effects.

    With a rule of adaptive seeds, intervals have its level, and p values are not corrected, since they ignore the
    interim analyses.
    """
    rule, name = inputs.seeds, main_accuracy(table)
    level, interval = confidence(rule), interval_method(inputs)
    if name is None:
        return []
    gains = list(gain_findings(table, name))
    effects = list(effect_findings(group_accuracies(table, name), level=level, interval=interval))
    return [*gains, *effects] if rule is not None else [*adjusted(gains), *adjusted(effects)]


def main_accuracy(table: Table) -> str | None:
    """Return the name of the first accuracy of a table."""
    return next(iter(accuracy_names(table.columns)), None)


def to_rows(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Return a dict of unrounded numbers for each finding."""
    return [
        {
            "question": finding.question,
            "subject": finding.subject,
            "dataset": finding.dataset,
            "settings": finding.settings,
            "estimate": finding.answer.estimate,
            "std": finding.answer.std,
            "n": finding.answer.n,
            "over": finding.answer.over if isinstance(finding.answer, Effect) else "seed",
            "low": None if finding.answer.interval is None else finding.answer.interval.low,
            "high": None if finding.answer.interval is None else finding.answer.interval.high,
            "level": None if finding.answer.interval is None else finding.answer.interval.level,
            "p": finding.answer.p_value,
            "p_holm": finding.adjusted,
            "correlation": finding.answer.correlation if isinstance(finding.answer, PairedDifference) else None,
            "verdict": finding.verdict,
        }
        for finding in findings
    ]


def group_accuracies(table: Table, name: str) -> dict[Key, Group]:
    """Return accuracies of methods by data set, backbone and training settings."""
    groups = defaultdict[Key, Group](dict)
    for row in table.rows:
        for (dataset, metric), cell in row.cells.items():
            if metric == name:
                groups[dataset, row.backbone, settings_of(row, table)].setdefault(row.method, cell.by_seed)
    return dict(groups)


def settings_of(row: Row, table: Table) -> str:
    """Return the training settings of a row that differ within a backbone.

    Settings that a rule derives from the backbone, such as the paper's learning rates, are not included.
    """
    shared_settings = [
        number
        for number, name in enumerate(table.settings)
        if not name.startswith("method_") and varies_within(table, number)
    ]
    values = plain_key((row.backbone, row.method, *row.settings), shared_settings)[1:]
    return ", ".join(f"{table.settings[number]} {value}" for number, value in zip(shared_settings, values, strict=True))


def varies_within(table: Table, number: int) -> bool:
    """Return whether rows of a backbone differ in a setting, given by its index."""
    values = {(row.backbone, row.settings[number]) for row in table.rows}
    return len(values) > len({row.backbone for row in table.rows})


def gain_findings(table: Table, name: str) -> Iterator[Finding]:
    """Yield the gain of every row over the plain backbone."""
    for row in table.rows:
        for (dataset, metric), cell in row.cells.items():
            if metric == name and cell.gain is not None:
                settings = ", ".join(
                    f"{head} {value}" for head, value in zip(table.settings, row.settings, strict=True)
                )
                yield Finding("gain", row.title, dataset, settings, cell.gain)


def effect_findings(
    groups: Mapping[Key, Group], *, level: float, interval: Callable[..., Interval]
) -> Iterator[Finding]:
    """Yield the 2x2 effects of each backbone with all four methods, then over the backbones of a data set."""
    complete = {key: group for key, group in groups.items() if is_complete(group)}
    for dataset, settings in distinct((key[0], key[2]) for key in complete):
        of_backbone = {key[1]: group for key, group in complete.items() if (key[0], key[2]) == (dataset, settings)}
        for backbone, group in of_backbone.items():
            yield from factorial_findings(factorial(group, level=level, interval=interval), backbone, dataset, settings)
        if len(of_backbone) > 1:
            for label, pool in pooling_methods(interval).items():
                if label == POOLED[0] and not share_seed(of_backbone.values()):
                    continue
                pooled = factorial_over(of_backbone, pool=pool, level=level)
                yield from factorial_findings(pooled, f"{label} ({len(of_backbone)})", dataset, settings)


def pooling_methods(interval: Callable[..., Interval]) -> dict[str, Pool]:
    """Return the two functions that pool backbones, by name.

    Args:
        interval: as in `paired_difference`.
    """
    return dict(zip(POOLED, (partial(over_these_backbones, interval=interval), over_backbones_at_large), strict=True))


def interval_method(inputs: ReportInputs) -> Callable[..., Interval]:
    """Return the function for intervals over seeds; always Student's t under a rule of adaptive seeds."""
    return mean_interval if inputs.seeds is None else t_interval


def is_complete(group: Group) -> bool:
    """Return whether the four methods of the 2x2 are present and share a seed."""
    return all(row in group for row in METHODS_2X2) and bool(
        set.intersection(*(set(group[row]) for row in METHODS_2X2))
    )


def share_seed(groups: Iterable[Group]) -> bool:
    """Return whether the four methods of all groups share a seed."""
    return bool(set.intersection(*(set(group[row]) for group in groups for row in METHODS_2X2)))


def factorial_findings(effects: Factorial, subject: str, dataset: str, settings: str) -> Iterator[Finding]:
    for field, name in EFFECTS.items():
        yield Finding(name, subject, dataset, settings, getattr(effects, field))


def adjusted(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with p values corrected by Holm's method."""
    corrected = holm([finding.answer.p_value for finding in findings])
    return [replace(finding, adjusted=p) for finding, p in zip(findings, corrected, strict=True)]
