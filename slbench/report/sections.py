"""Findings told in sections of words and lines: gains, the 2x2 question, the paper's claim."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from slbench.published.numbers import mean_gain
from slbench.published.reproduction import BASE, TOP, model_of, not_comparable
from slbench.report.findings import POOLED, Finding, grouped, interval_of, main_accuracy, pools
from slbench.report.inputs import ReportInputs
from slbench.report.table import PLAIN, Table
from slbench.stats.factorial import BySeed, gain
from slbench.stats.intervals import PairedDifference
from slbench.stats.power import LEVEL, rank_words, smallest_rank_p
from slbench.stats.sequential import confidence
from slbench.text import NOTHING, distinct, signed


@dataclass(frozen=True)
class Section:
    """One question and its answer."""

    title: str
    words: tuple[str, ...]  # sentences above the table
    heads: tuple[str, ...]  # of the columns
    lines: tuple[tuple[str, ...], ...]  # cells as they are shown
    notes: tuple[str, ...] = ()  # sentences below it


def sections(gathered: ReportInputs, table: Table, found: Sequence[Finding]) -> list[Section]:
    """What the findings of a table say, section by section."""
    name = main_accuracy(table)
    if name is None:
        return []
    adjust = gathered.seeds is None
    told = [
        gains_section([each for each in found if each.question == "gain"], name, adjust=adjust),
        effects_section([each for each in found if each.question != "gain"], name, adjust=adjust),
        claim_section(gathered, table, name, level=confidence(gathered.seeds)),
    ]
    return [section for section in told if section is not None]


def p_text(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def gains_section(found: Sequence[Finding], name: str, *, adjust: bool) -> Section | None:
    """Each row against the plain backbone: what was seen, and what these seeds could have shown."""
    if not found:
        return None
    lines = []
    for each in found:
        answer = each.answer
        assert isinstance(answer, PairedDifference)
        more = answer.more_seeds
        lines.append(
            (
                *leading(each),
                *numbers(each),
                NOTHING if answer.correlation is None else f"{answer.correlation:.2f}",
                NOTHING if answer.smallest_effect is None else f"{answer.smallest_effect:.2f}",
                each.verdict,
                NOTHING if more is None else f"{more:,}",
            )
        )
    words = (
        f"Each row less its plain backbone on the same seeds, {name} test top-1 in points. {correction(adjust)} "
        "Correlation: of the two rows over the seeds; the higher, the more pairing helps. Smallest effect: the true "
        "difference that so many seeds of this spread would have shown with power 0.8. More seeds: how many a "
        "difference as large as the one seen takes beside these, with that power.",
    )
    heads = (
        "Row", "Data", "Settings", "Difference", "Interval", "Seeds", "p", "p (Holm)", "Correlation", "Smallest effect",
        "Verdict", "More seeds",
    )  # fmt: skip
    return Section("Gains over the plain backbone", words, *without_empty(heads, lines), rank_notes(found))


def effects_section(found: Sequence[Finding], name: str, *, adjust: bool) -> Section | None:
    """The 2x2 question."""
    if not found:
        return None
    lines = [(each.question, *leading(each), *numbers(each), each.verdict) for each in found]
    words = (
        "Main effect of SPT: with SPT less without, the mean over both states of LSA; of LSA likewise; SPT x LSA: what "
        f"SPT gives beside LSA less what it gives alone. {name.capitalize()} test top-1 in points, paired by seed. "
        f"{correction(adjust)}",
    )
    notes = (
        "These backbones: the mean over just these, with its interval over seeds. Backbones at large: over backbones "
        "as a sample of what there may be, with its interval over backbones.",
    )
    pooled = any(each.subject.startswith(POOLED) for each in found)
    heads = ("Effect", "Backbone", "Data", "Settings", "Estimate", "Interval", "n", "p", "p (Holm)", "Verdict")
    return Section("The 2x2: SPT, LSA, and both", words, *without_empty(heads, lines), notes if pooled else ())


def claim_section(gathered: ReportInputs, table: Table, name: str, *, level: float) -> Section | None:
    """The paper's claim: a gain by SPT and LSA together, on average over backbones."""
    paper = bool(gathered.runs) and all(run.spec.protocol == "paper" for run in gathered.runs)
    measure = "best" if paper and any(column.name == "best" for column in table.columns) else name
    by_dataset = defaultdict[tuple[str, str], dict[str, BySeed]](dict)
    for (dataset, backbone, settings), group in grouped(gathered, table, measure).items():
        if PLAIN in group and TOP in group and (differences := gain(group[TOP], group[PLAIN])):
            by_dataset[dataset, settings][backbone] = differences
    lines, notes = list[tuple[str, ...]](), list[str]()
    for (dataset, settings), by_backbone in by_dataset.items():
        if len(by_backbone) < 2:
            continue
        published, reasons = papers_claim(gathered, dataset, list(by_backbone))
        for words, pool in pools(interval_of(gathered)).items():
            try:
                answer = pool(by_backbone, level=level)
            except ValueError:
                continue  # no seed that all backbones share
            each = Finding("claim", f"{words} ({len(by_backbone)})", dataset, settings, answer)
            shown = NOTHING if published is None else f"{published:+.2f}"
            lines.append((*leading(each), *numbers(each)[:4], each.verdict, shown))
        notes += reasons
    if not lines:
        return None
    words_above = (
        f"SL less plain, the mean over backbones, {measure} test top-1 in points. Published: the mean of the paper's "
        "own gains for the same backbones on these data, one run each.",
    )
    heads = ("Over", "Data", "Settings", "Mean gain", "Interval", "n", "p", "Verdict", "Published")
    return Section("The paper's claim", words_above, *without_empty(heads, lines), tuple(distinct(notes)))


def papers_claim(gathered: ReportInputs, dataset: str, backbones: Sequence[str]) -> tuple[float | None, list[str]]:
    """The mean of the paper's gains for some backbones on a data set, and why it may not be compared with ours."""
    specs = [
        next(
            record.spec
            for record in gathered.records
            if (record.labels.dataset, record.labels.backbone) == (dataset, backbone)
        )
        for backbone in backbones
    ]
    models = [model_of(spec) or spec.backbone.name for spec in specs]
    value = mean_gain(models, dataset=specs[0].dataset.name, base=BASE, row=TOP)
    reasons = distinct(reason for spec in specs for reason in not_comparable(spec))
    if value is None or not reasons:
        return value, []
    return value, [f"Not comparable with the paper's on {dataset}: {'; '.join(reasons)}."]


def leading(each: Finding) -> tuple[str, ...]:
    return (each.subject, each.dataset, each.settings)


def numbers(each: Finding) -> tuple[str, ...]:
    """Estimate, interval, n, p, corrected p."""
    interval = each.answer.interval
    ends = NOTHING if interval is None else f"{signed(interval.low)} to {signed(interval.high)}"
    return (signed(each.answer.estimate), ends, str(each.answer.n), p_text(each.answer.p_value), p_text(each.adjusted))


def correction(adjust: bool) -> str:
    """What was done about there being many comparisons."""
    if adjust:
        return (
            "Intervals are for each line by itself, 95 %; p (Holm) is corrected for all lines of this table, and a "
            "verdict needs both."
        )
    return (
        "Seeds were added until a comparison was decided: intervals and verdicts hold for each at 95 % however often "
        "it was looked at (p values, which do not, are of the last look), and are not corrected for the number of "
        "lines."
    )


def rank_notes(found: Sequence[Finding]) -> tuple[str, ...]:
    """What a rank test could say, where it can say nothing."""
    counts = sorted({each.answer.n for each in found if each.answer.n > 1})
    return tuple(rank_words(n) for n in counts if smallest_rank_p(n) > 1 - LEVEL)


def without_empty(
    heads: Sequence[str], lines: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A table without the columns in which nothing stands."""
    kept = [number for number in range(len(heads)) if any(line[number] for line in lines)]
    return tuple(heads[number] for number in kept), tuple(tuple(line[number] for number in kept) for line in lines)
