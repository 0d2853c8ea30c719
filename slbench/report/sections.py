"""Sections of a report: the answers to its questions first, then tables of all contrasts, and the paper's gains."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.published.numbers import mean_gain
from slbench.published.reproduction import BASE, FULL, model_name, not_comparable
from slbench.report.captions import DOCUMENTATION
from slbench.report.inputs import ReportInputs
from slbench.report.verdicts import RULE_METRIC, UNKNOWN_RULE, Verdicts
from slbench.stats.contrast import Contrast
from slbench.stats.contrasts import Answer
from slbench.stats.judge import Result, sharing
from slbench.stats.power import MIN_DF, Design, detectable_effect, seeds_needed, std_interval
from slbench.stats.settings import DEFAULT_STATISTICS
from slbench.table_spec import METRICS
from slbench.text import NOTHING, distinct, plural, signed

MAX_SENTENCES = 8  # of one question; for more cells their verdicts are counted
HEADS = (
    "Question", "Backbone", "Data", "Setting", "Estimate", "Interval", "n", "SD (df)", "Correlation", "Verdict",
    "Detectable", "Seeds to decide", "Note",
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """Part of a report: sentences, a list, a table; each may be empty."""

    title: str
    intro: tuple[str, ...] = ()  # sentences
    items: tuple[str, ...] = ()  # of the list
    heads: tuple[str, ...] = ()  # of the columns
    lines: tuple[tuple[str, ...], ...] = ()  # rounded cells
    notes: tuple[str, ...] = ()  # sentences below


def make_sections(inputs: ReportInputs, verdicts: Verdicts | None) -> list[Section]:
    """Return the sections of a report: answers, then tables of the study's questions and of exploratory contrasts.

    Args:
        verdicts: of the main accuracy; None in a table alone.
    """
    if verdicts is None or not (verdicts.results or verdicts.unanswered):
        return []
    parts = [
        answers_section(inputs, verdicts),
        table_section("Questions", verdicts.primary, verdicts, intro=()),
        table_section("Exploratory", verdicts.exploratory, verdicts, intro=(exploratory_sentence(verdicts),)),
        claim_section(inputs, verdicts),
    ]
    return [part for part in parts if part is not None]


def answers_section(inputs: ReportInputs, verdicts: Verdicts) -> Section:
    """Return one sentence for each question and cell, or counts of verdicts for a question of many cells."""
    by_question = dict[Contrast, list[Result]]()
    for result in verdicts.primary:
        by_question.setdefault(result.answer.contrast, []).append(result)
    items = [
        sentence
        for question, results in by_question.items()
        for sentence in (
            [answer_sentence(result, verdicts) for result in results]
            if len(results) <= MAX_SENTENCES
            else [count_sentence(question, results)]
        )
    ]
    items += [unanswered_sentence(question, inputs) for question in verdicts.unanswered]
    return Section(
        "Answers", (basis_sentence(inputs, verdicts),), tuple(items), notes=tuple(setting_notes(inputs, verdicts))
    )


def unanswered_sentence(question: Contrast, inputs: ReportInputs) -> str:
    """Return "spt against none: not answered yet, no common seed; diverged: 5 spt"."""
    lost = Counter(outcome.labels.method for outcome in inputs.diverged)
    counts = ", ".join(f"{lost[method]} {method}" for method in question.methods or lost if lost[method])
    return f"{question.name}: not answered yet, no common seed" + (f"; diverged: {counts}" if counts else "")


def basis_sentence(inputs: ReportInputs, verdicts: Verdicts) -> str:
    """Return what the answers are about and how far they generalise."""
    tests = sorted({record.spec.dataset.num_test for record in inputs.records})
    count = len(verdicts.primary)
    together = f"{100 * inputs.statistics.level:.4g} % " + (
        f"jointly over {count} answers" if count > 1 else "intervals"
    )
    images = " and ".join(f"{number:,}" for number in tests)
    splits = {record.spec.dataset.split_seed for record in inputs.records}
    split = "this split" if len(splits) == 1 else f"each of {len(splits)} splits by itself"
    metric = METRICS[verdicts.metric]
    where = f"these {images} test images and {split}" if metric.on_test_images else f"the validation images of {split}"
    return (
        f"Differences in points of {metric.description}, paired by seed; {together}. They generalise over seeds, "
        f"for {where}. How slbench judges: {DOCUMENTATION}."
    )


def setting_notes(inputs: ReportInputs, verdicts: Verdicts) -> Iterator[str]:
    """Yield a sentence for each setting of the verdicts that is not the default, and for what limits them."""
    settings, default = inputs.statistics, DEFAULT_STATISTICS
    if settings.margin != default.margin:
        yield f"Margin of equivalence: {settings.margin:g} points."
    if settings.variance == "own":
        yield "Every contrast has a variance of its own."
    if settings.variance == "robust":
        yield "From ten cells of a contrast on, its outlying variances weigh less."
    if settings.failures != default.failures:
        yield "Diverged runs count as the accuracy of guessing in differences; means in the table are of finished runs."
    if inputs.studies and verdicts.metric == RULE_METRIC:
        yield (
            "Sequential: seeds were added, on test accuracy, until each comparison of methods was decided. The error "
            "holds over all answers and looks. Estimates of decided comparisons are adjusted for stopping "
            "(median-unbiased); their intervals are not."
        )
    if inputs.unknown_rule:
        yield (
            "A study of this store cannot be read (see the notes of the table): if its seed rule added runs, intervals "
            f"marked {UNKNOWN_RULE} are too narrow."
        )
    ended = {outcome.run_id for outcome in inputs.outcomes}
    if missing := sum(run.spec.run_id not in ended for run in inputs.runs):
        yield f"Not finished: {plural(missing, 'run')} of the study; the answers may change."


def answer_sentence(result: Result, verdicts: Verdicts) -> str:
    """Return "spt against none, ViT on cifar10: better, +2.10 (+0.90 to +3.30), 5 seeds"."""
    answer = result.answer
    place = ", ".join(part for part in (f"{answer.backbone} on {answer.dataset}", answer.shown_setting) if part)
    details = [f"{result.verdict}, {points(result.estimate, result)}{ends(result)}", plural(result.n, result.over[:-1])]
    equal = result.over == "seeds" and result.n > 1 and not result.has_interval and result.verdict == "undecided"
    details += ["no interval, since all differences are equal"] if equal else []
    details += ["sequential"] if result.sequential else []
    details += [f"diverged: {answer.failed}"] if answer.failed else []
    details += [verdicts.mixed(result)] if verdicts.mixed(result) else []
    return f"{answer.contrast.name}, {place}: {', '.join(details)}"


def count_sentence(question: Contrast, results: Sequence[Result]) -> str:
    """Return "spt against none: better in 12, undecided in 8 of 20 cells"."""
    names = [result.verdict for result in results]
    counts = ", ".join(f"{name} in {names.count(name)}" for name in distinct(sorted(names)))
    return f"{question.name}: {counts} of {len(results)} cells"


def ends(result: Result) -> str:
    """Return the simultaneous interval in parentheses; empty without one."""
    return f" ({interval_text(result)})" if result.has_interval else ""


def interval_text(result: Result) -> str:
    return f"{points(result.low, result)} to {points(result.high, result)}" if result.has_interval else NOTHING


def points(value: float, result: Result) -> str:
    """Return a number in points; three significant digits of a trend, whose unit may be small."""
    if math.isnan(value):
        return NOTHING
    return signed(value) if result.answer.contrast.trend is None else f"{value:+.3g}".replace("-", "−")


TERMS = {  # of columns whose heads do not say enough
    "Interval": "Interval: simultaneous.",
    "SD (df)": "SD: of the contrast over seeds.",
    "Correlation": "Correlation: of the two methods over seeds, with its 95 % interval.",
    "Detectable": "Detectable: true difference that this design decides with probability 0.8.",
    "Seeds to decide": "Seeds to decide: a true difference as large as the estimate, over the SD's 80 % interval.",
}


def exploratory_sentence(verdicts: Verdicts) -> str:
    """Return how exploratory contrasts are corrected."""
    count = len(verdicts.exploratory)
    return (
        f"Not asked by the study. The intervals hold jointly over these {count} contrasts, not with the answers above."
    )


def table_section(
    title: str, results: Sequence[Result], verdicts: Verdicts, *, intro: tuple[str, ...]
) -> Section | None:
    """Return a table of results, without empty columns; None without results."""
    if not results:
        return None
    groups = [sharing(result.answer) for result in results]
    cells = [1 if group is None or verdicts.variance == "own" else groups.count(group) for group in groups]
    lines = [line(result, count, verdicts) for result, count in zip(results, cells, strict=True)]
    kept = [number for number in range(len(HEADS)) if any(line[number] not in ("", NOTHING) for line in lines)]
    at_large = any(result.over == "backbones" for result in results)
    return Section(
        title,
        (*intro, *(TERMS[HEADS[number]] for number in kept if HEADS[number] in TERMS)),
        heads=tuple(HEADS[number] for number in kept),
        lines=tuple(tuple(line[number] for number in kept) for line in lines),
        notes=(AT_LARGE,) if at_large else (),
    )


AT_LARGE = (
    "Backbones at large: these backbones taken as an independent random sample, which backbones that share seeds, "
    "batches and augmentation are not; the intervals are too narrow then."
)


def line(result: Result, cells: int, verdicts: Verdicts) -> tuple[str, ...]:
    """Return the cells of a result, in the order of HEADS."""
    answer, together = result.answer, result.correlation
    notes = ["sequential"] if result.sequential else []
    notes += [f"diverged: {answer.failed}"] if answer.failed else []
    notes += [verdicts.mixed(result)] if verdicts.mixed(result) else []
    return (
        answer.contrast.name,
        answer.backbone,
        answer.dataset,
        answer.shown_setting,
        points(result.estimate, result),
        interval_text(result),
        str(result.n),
        spread_text(result),
        f"{signed(together.value)} ({signed(together.low)} to {signed(together.high)})" if together else NOTHING,
        result.verdict,
        detectable_text(result, cells),
        seeds_text(result, cells),
        "; ".join(notes),
    )


def spread_text(result: Result) -> str:
    """Return the standard deviation and its degrees of freedom; a dash where a seed rule has others."""
    if math.isnan(result.std):
        return NOTHING
    std = f"{result.std:.2f}" if result.answer.contrast.trend is None else f"{result.std:.3g}"
    return f"{std} ({result.df:.3g})"


def detectable_text(result: Result, cells: int) -> str:
    """Return the true difference that this design decides with probability 0.8; a dash if its SD is rough."""
    if math.isnan(result.df) or result.df < MIN_DF or result.over != "seeds":
        return NOTHING
    effect = result.std * detectable_effect(result.n, Design(result.level, cells))
    return f"{effect:.2f}" if result.answer.contrast.trend is None else f"{effect:.3g}"


def seeds_text(result: Result, cells: int) -> str:
    """Return the seeds that decide a true difference as large as the estimate, as a range over the SD's interval."""
    if result.verdict != "undecided" or detectable_text(result, cells) == NOTHING or not result.estimate:
        return NOTHING
    design = Design(result.level, cells)
    needed = [seeds_needed(abs(result.estimate) / std, design) for std in std_interval(result.std, result.df)]
    return " to ".join("over 100" if each is None else str(each) for each in distinct(needed))


def claim_section(inputs: ReportInputs, verdicts: Verdicts) -> Section | None:
    """Return our mean gains of SPT and LSA together over backbones beside the paper's; None without any."""
    lines, notes = list[tuple[str, ...]](), list[str]()
    for result in verdicts.results:
        answer = result.answer
        if answer.contrast == Contrast(method=FULL, reference=BASE, over="backbones"):
            value, reasons = published_gain(inputs, answer)
            text = NOTHING if value is None else f"{value:+.2f}"
            lines.append((answer.dataset, answer.setting, signed(result.estimate), interval_text(result), text))
            notes += reasons
    if all(line[-1] == NOTHING for line in lines):
        return None
    intro = ("SPT and LSA together against none, mean over the backbones. Published: the paper's gains, one run each.",)
    heads = ("Data", "Setting", "Mean gain", "Interval", "Published")
    kept = [number for number in range(len(heads)) if any(line[number] for line in lines)]
    return Section(
        "The paper's mean gain",
        intro,
        heads=tuple(heads[number] for number in kept),
        lines=tuple(tuple(line[number] for number in kept) for line in lines),
        notes=distinct(notes),
    )


def published_gain(inputs: ReportInputs, answer: Answer) -> tuple[float | None, list[str]]:
    """Return the paper's mean gain over the backbones of an answer, and why it is not comparable with ours."""
    specs = {record.labels.backbone: record.spec for record in inputs.records if record.run_id in answer.all_ids}
    models = [model_name(spec) or spec.backbone.name for spec in specs.values()]
    name = next(iter(specs.values())).dataset.name
    value = mean_gain(models, dataset=name, base=BASE, method=FULL)
    reasons = distinct(reason for spec in specs.values() for reason in not_comparable(spec))
    if value is None or not reasons:
        return value, []
    return value, [f"Not comparable with the paper on {answer.dataset}: {'; '.join(reasons)}."]
