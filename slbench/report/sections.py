"""Sections of findings with text and a table: gains, the 2x2, the paper's claim."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from slbench.published.numbers import mean_gain
from slbench.published.reproduction import BASE, FULL, model_name, not_comparable
from slbench.report.findings import POOLED, Finding, group_accuracies, interval_method, main_accuracy, pooling_methods
from slbench.report.inputs import ReportInputs
from slbench.report.table import PLAIN, Table
from slbench.stats.factorial import BySeed, gain
from slbench.stats.intervals import PairedDifference
from slbench.stats.power import LEVEL, rank_test_sentence, smallest_rank_p
from slbench.stats.sequential import confidence
from slbench.text import NOTHING, distinct, signed


@dataclass(frozen=True)
class Section:
    """A question with its answers."""

    title: str
    intro: tuple[str, ...]  # sentences above the table
    heads: tuple[str, ...]  # of the columns
    lines: tuple[tuple[str, ...], ...]  # rounded cells
    notes: tuple[str, ...] = ()  # sentences below it


def make_sections(inputs: ReportInputs, table: Table, findings: Sequence[Finding]) -> list[Section]:
    """Return the sections of a table's findings."""
    name = main_accuracy(table)
    if name is None:
        return []
    adjust = inputs.seeds is None
    parts = [
        gains_section([finding for finding in findings if finding.question == "gain"], name, adjust=adjust),
        effects_section([finding for finding in findings if finding.question != "gain"], name, adjust=adjust),
        claim_section(inputs, table, name, level=confidence(inputs.seeds)),
    ]
    return [section for section in parts if section is not None]


def p_text(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def gains_section(findings: Sequence[Finding], name: str, *, adjust: bool) -> Section | None:
    """Compare each method with the plain backbone."""
    if not findings:
        return None
    lines = []
    for finding in findings:
        answer = finding.answer
        assert isinstance(answer, PairedDifference)
        more = answer.more_seeds
        lines.append(
            (
                *subject_cells(finding),
                *estimate_cells(finding),
                NOTHING if answer.correlation is None else f"{answer.correlation:.2f}",
                NOTHING if answer.smallest_effect is None else f"{answer.smallest_effect:.2f}",
                finding.verdict,
                NOTHING if more is None else f"{more:,}",
            )
        )
    intro = (
        f"Each method minus its plain backbone, paired by seed, {name} test top-1 in points. "
        f"{correction_sentence(adjust)} Correlation: between the two methods over the seeds. Smallest effect: the "
        "smallest true difference detectable with power 0.8. More seeds: additional seeds needed to detect the "
        "observed difference with power 0.8.",
    )
    heads = (
        "Method", "Data", "Settings", "Difference", "Interval", "Seeds", "p", "p (Holm)", "Correlation",
        "Smallest effect", "Verdict", "More seeds",
    )  # fmt: skip
    return Section("Gains over the plain backbone", intro, *drop_empty_columns(heads, lines), rank_notes(findings))


def effects_section(findings: Sequence[Finding], name: str, *, adjust: bool) -> Section | None:
    """Show the main effects and the interaction."""
    if not findings:
        return None
    lines = [
        (finding.question, *subject_cells(finding), *estimate_cells(finding), finding.verdict) for finding in findings
    ]
    intro = (
        "Main effect of SPT: with SPT minus without, averaged over LSA; likewise for LSA. SPT x LSA: gain of SPT with "
        f"LSA minus gain of SPT without LSA. {name.capitalize()} test top-1 in points, paired by seed. "
        f"{correction_sentence(adjust)}",
    )
    notes = (
        "These backbones: mean over these backbones, interval over seeds. Backbones at large: backbones as a random "
        "sample, interval over backbones.",
    )
    pooled = any(finding.subject.startswith(POOLED) for finding in findings)
    heads = ("Effect", "Backbone", "Data", "Settings", "Estimate", "Interval", "n", "p", "p (Holm)", "Verdict")
    return Section("The 2x2: SPT, LSA, and both", intro, *drop_empty_columns(heads, lines), notes if pooled else ())


def claim_section(inputs: ReportInputs, table: Table, name: str, *, level: float) -> Section | None:
    """Test the paper's claim: a mean gain of SPT and LSA together over backbones."""
    paper = bool(inputs.runs) and all(run.spec.protocol == "paper" for run in inputs.runs)
    metric = "best" if paper and any(column.name == "best" for column in table.columns) else name
    by_dataset = defaultdict[tuple[str, str], dict[str, BySeed]](dict)
    for (dataset, backbone, settings), group in group_accuracies(table, metric).items():
        if PLAIN in group and FULL in group and (differences := gain(group[FULL], group[PLAIN])):
            by_dataset[dataset, settings][backbone] = differences
    lines, notes = list[tuple[str, ...]](), list[str]()
    for (dataset, settings), by_backbone in by_dataset.items():
        if len(by_backbone) < 2:
            continue
        published, reasons = published_gain(inputs, dataset, list(by_backbone))
        for label, pool in pooling_methods(interval_method(inputs)).items():
            try:
                answer = pool(by_backbone, level=level)
            except ValueError:
                continue  # no common seed
            finding = Finding("claim", f"{label} ({len(by_backbone)})", dataset, settings, answer)
            published_text = NOTHING if published is None else f"{published:+.2f}"
            lines.append((*subject_cells(finding), *estimate_cells(finding)[:4], finding.verdict, published_text))
        notes += reasons
    if not lines:
        return None
    intro = (
        f"SL minus plain, mean over backbones, {metric} test top-1 in points. Published: mean of the paper's gains for "
        "the same backbones and data, one run each.",
    )
    heads = ("Over", "Data", "Settings", "Mean gain", "Interval", "n", "p", "Verdict", "Published")
    return Section("The paper's claim", intro, *drop_empty_columns(heads, lines), tuple(distinct(notes)))


def published_gain(inputs: ReportInputs, dataset: str, backbones: Sequence[str]) -> tuple[float | None, list[str]]:
    """Return the paper's mean gain for some backbones on a data set, and why it is not comparable with ours."""
    specs = [
        next(
            record.spec
            for record in inputs.records
            if (record.labels.dataset, record.labels.backbone) == (dataset, backbone)
        )
        for backbone in backbones
    ]
    models = [model_name(spec) or spec.backbone.name for spec in specs]
    value = mean_gain(models, dataset=specs[0].dataset.name, base=BASE, method=FULL)
    reasons = distinct(reason for spec in specs for reason in not_comparable(spec))
    if value is None or not reasons:
        return value, []
    return value, [f"Not comparable with the paper on {dataset}: {'; '.join(reasons)}."]


def subject_cells(finding: Finding) -> tuple[str, ...]:
    return (finding.subject, finding.dataset, finding.settings)


def estimate_cells(finding: Finding) -> tuple[str, ...]:
    """Return estimate, interval, n, p and corrected p."""
    interval = finding.answer.interval
    ends = NOTHING if interval is None else f"{signed(interval.low)} to {signed(interval.high)}"
    return (
        signed(finding.answer.estimate),
        ends,
        str(finding.answer.n),
        p_text(finding.answer.p_value),
        p_text(finding.adjusted),
    )


def correction_sentence(adjust: bool) -> str:
    """Return how multiple comparisons are corrected."""
    if adjust:
        return (
            "Intervals: 95 % each, not corrected. p (Holm): corrected for all rows of this table. A verdict needs both."
        )
    return (
        "Seeds were added until a comparison was decided. Intervals and verdicts hold at 95 % over all interim "
        "analyses of a comparison; p values are of the last one. Neither is corrected for the number of rows."
    )


def rank_notes(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return a note for each n at which a rank test cannot be significant."""
    counts = sorted({finding.answer.n for finding in findings if finding.answer.n > 1})
    return tuple(rank_test_sentence(n) for n in counts if smallest_rank_p(n) > 1 - LEVEL)


def drop_empty_columns(
    heads: Sequence[str], lines: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return heads and lines without empty columns."""
    kept = [number for number in range(len(heads)) if any(line[number] for line in lines)]
    return tuple(heads[number] for number in kept), tuple(tuple(line[number] for number in kept) for line in lines)
