"""What a study says beyond its table: every comparison that its finished runs allow.

All are about one accuracy, the first that the table shows, and about runs that were trained in the same way.
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
    ROWS,
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
from slbench.table_spec import METRICS
from slbench.text import distinct

POOLED = ("these backbones", "backbones at large")
EFFECTS = {"spt": "SPT", "lsa": "LSA", "interaction": "SPT x LSA"}


@dataclass(frozen=True)
class Finding:
    """One comparison, with what it rests on."""

    question: str  # "gain", "SPT", "LSA", "SPT x LSA"
    subject: str  # a row's title, a backbone, or what was pooled
    dataset: str
    settings: str  # of training, where those of the table differ; else empty
    answer: Effect | PairedDifference
    adjusted: float | None = None  # its p value, corrected for the number of comparisons of its section

    @property
    def verdict(self) -> str:
        """What its interval says, if it still says so among so many comparisons."""
        alone = self.answer.verdict
        lost = alone != "undecided" and self.adjusted is not None and self.adjusted >= 1 - LEVEL
        return "undecided after Holm" if lost else alone


Key = tuple[str, str, str]  # data set, backbone, settings of training
Group = dict[str, BySeed]  # accuracies of a backbone's rows by seed


def findings(gathered: ReportInputs, table: Table) -> list[Finding]:
    """Every comparison that the finished runs allow: rows against their plain backbone, then the 2x2 effects.

    Where seeds were added until a comparison was decided, intervals have the level of that rule, and p values are not
    corrected: they know nothing of the looks.
    """
    rule, name = gathered.seeds, main_accuracy(table)
    level, interval = confidence(rule), interval_of(gathered)
    if name is None:
        return []
    gains = list(gains_of(table, name))
    effects = list(effects_of(grouped(gathered, table, name), level=level, interval=interval))
    return [*gains, *effects] if rule is not None else [*adjusted(gains), *adjusted(effects)]


def main_accuracy(table: Table) -> str | None:
    """The first accuracy that a table shows."""
    return next(iter(accuracy_names(table.columns)), None)


def full(found: Sequence[Finding]) -> list[dict[str, object]]:
    """The findings with every number in full, a row each."""
    return [
        {
            "question": each.question,
            "subject": each.subject,
            "dataset": each.dataset,
            "settings": each.settings,
            "estimate": each.answer.estimate,
            "std": each.answer.std,
            "n": each.answer.n,
            "over": each.answer.over if isinstance(each.answer, Effect) else "seed",
            "low": None if each.answer.interval is None else each.answer.interval.low,
            "high": None if each.answer.interval is None else each.answer.interval.high,
            "level": None if each.answer.interval is None else each.answer.interval.level,
            "p": each.answer.p_value,
            "p_holm": each.adjusted,
            "correlation": each.answer.correlation if isinstance(each.answer, PairedDifference) else None,
            "verdict": each.verdict,
        }
        for each in found
    ]


def grouped(gathered: ReportInputs, table: Table, name: str) -> dict[Key, Group]:
    """Accuracies of rows that differ in nothing but SPT and LSA, by data set, backbone and settings."""
    values = {
        record.run_id: (record.spec.seed, getattr(record, METRICS[name].field or "")) for record in gathered.records
    }
    groups = defaultdict[Key, Group](dict)
    for row in table.rows:
        for (dataset, measure), cell in row.cells.items():
            if measure == name:
                by_seed = {seed: value for seed, value in map(values.__getitem__, cell.run_ids) if value is not None}
                groups[dataset, row.backbone, settings_of(row, table)].setdefault(row.method, by_seed)
    return dict(groups)


def settings_of(row: Row, table: Table) -> str:
    """How a row was trained, where rows of one backbone were trained in different ways.

    What a rule sets for each backbone, such as the paper's learning rates, keeps no two backbones apart.
    """
    same = [
        number
        for number, name in enumerate(table.settings)
        if not name.startswith("method_") and varies_within(table, number)
    ]
    values = plain_key((row.backbone, row.method, *row.settings), same)[1:]
    return ", ".join(f"{table.settings[number]} {value}" for number, value in zip(same, values, strict=True))


def varies_within(table: Table, number: int) -> bool:
    """Whether rows of one backbone differ in a setting, given by its place."""
    values = {(row.backbone, row.settings[number]) for row in table.rows}
    return len(values) > len({row.backbone for row in table.rows})


def gains_of(table: Table, name: str) -> Iterator[Finding]:
    """Every row against the plain backbone."""
    for row in table.rows:
        for (dataset, measure), cell in row.cells.items():
            if measure == name and cell.gain is not None:
                settings = ", ".join(
                    f"{head} {value}" for head, value in zip(table.settings, row.settings, strict=True)
                )
                yield Finding("gain", row.title, dataset, settings, cell.gain)


def effects_of(groups: Mapping[Key, Group], *, level: float, interval: Callable[..., Interval]) -> Iterator[Finding]:
    """The 2x2 of each backbone that has all four rows, and over the backbones of a data set."""
    whole = {key: group for key, group in groups.items() if has_all(group)}
    for dataset, settings in distinct((key[0], key[2]) for key in whole):
        of_backbone = {key[1]: group for key, group in whole.items() if (key[0], key[2]) == (dataset, settings)}
        for backbone, group in of_backbone.items():
            yield from told(factorial(group, level=level, interval=interval), backbone, dataset, settings)
        if len(of_backbone) > 1:
            for words, pool in pools(interval).items():
                if words == POOLED[0] and not shared(of_backbone.values()):
                    continue
                pooled = factorial_over(of_backbone, pool=pool, level=level)
                yield from told(pooled, f"{words} ({len(of_backbone)})", dataset, settings)


def pools(interval: Callable[..., Interval]) -> dict[str, Pool]:
    """The two ways to one number over backbones, by what they are over.

    Args:
        interval: over seeds, as `paired_difference` has it.
    """
    return dict(zip(POOLED, (partial(over_these_backbones, interval=interval), over_backbones_at_large), strict=True))


def interval_of(gathered: ReportInputs) -> Callable[..., Interval]:
    """How intervals over seeds are made: by Student's t alone where seeds were added until decided."""
    return mean_interval if gathered.seeds is None else t_interval


def has_all(group: Group) -> bool:
    """Whether the four rows of the 2x2 are there, and share a seed."""
    return all(row in group for row in ROWS) and bool(set.intersection(*(set(group[row]) for row in ROWS)))


def shared(groups: Iterable[Group]) -> bool:
    """Whether the four rows of all groups share a seed."""
    return bool(set.intersection(*(set(group[row]) for group in groups for row in ROWS)))


def told(found: Factorial, subject: str, dataset: str, settings: str) -> Iterator[Finding]:
    for field, name in EFFECTS.items():
        yield Finding(name, subject, dataset, settings, getattr(found, field))


def adjusted(found: Sequence[Finding]) -> list[Finding]:
    """The findings with their p values corrected for how many they are."""
    corrected = holm([each.answer.p_value for each in found])
    return [replace(each, adjusted=p) for each, p in zip(found, corrected, strict=True)]
