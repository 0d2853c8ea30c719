"""Caption of a table: data, training, metrics, devices."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from slbench.measurement_records import Throughput
from slbench.provenance import provenance_texts
from slbench.published.reproduction import published_note
from slbench.record import RunRecord
from slbench.report.columns import Column, GainColumn, MetricColumn, PublishedColumn
from slbench.stats.intervals import LEVEL
from slbench.stats.sequential import confidence, sequential_level
from slbench.study import SeedRule
from slbench.table_spec import METRICS
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from slbench.report.inputs import ReportInputs


def caption(inputs: "ReportInputs", columns: Sequence[Column]) -> list[str]:
    """Return the caption as sentences."""
    records, title = inputs.records, inputs.title
    metrics = distinct(column.name for column in columns if isinstance(column, MetricColumn))
    if not records:
        return [title + "."] if title else []
    epochs = distinct(
        f"{plural(record.spec.recipe.epochs, 'epoch')} = {record.steps:,} steps = {record.samples_seen:,} images"
        for record in records
    )
    seeds = sorted({record.spec.seed for record in records})
    devices, codes = provenance_texts(records)
    sentences = [
        f"{title}." if title else "",
        f"Only runs with {inputs.query}." if inputs.query else "",
        f"Data: {', '.join(distinct(record.labels.dataset for record in records))}; "
        f"protocol {', '.join(distinct(record.spec.protocol for record in records))}; {'; '.join(epochs)}.",
        *subset_sentences(records),
        *validation_sentences(records),
        f"Top-1 in %: {'; '.join(metric_descriptions(metrics, accuracies=True))}; "
        f"mean ± sample standard deviation (n) over seeds {', '.join(map(str, seeds))}."
        if any(METRICS[name].is_accuracy for name in metrics)
        else f"Mean ± sample standard deviation (n) over seeds {', '.join(map(str, seeds))}.",
        *(f"{description}." for description in metric_descriptions(metrics, accuracies=False)),
        gain_sentence(confidence(inputs.seeds)) if any(isinstance(column, GainColumn) for column in columns) else "",
        "" if inputs.seeds is None else seed_rule_sentence(inputs.seeds),
        published_note() if any(isinstance(column, PublishedColumn) for column in columns) else "",
        f"Trained on {'; '.join(devices)}; {'; '.join(codes)}.",
        *speed_sentences(inputs.speeds.values()),
        "MACs: multiply-adds of one image, counted with fvcore. Bold: best mean (not a test).",
    ]
    return [sentence for sentence in sentences if sentence]


def metric_descriptions(metrics: Sequence[str], *, accuracies: bool) -> list[str]:
    """Return descriptions such as "final: test accuracy of the last epoch"."""
    chosen = [name for name in metrics if METRICS[name].is_accuracy is accuracies]
    return [f"{name if accuracies else METRICS[name].head}: {METRICS[name].description}" for name in chosen]


def gain_sentence(level: float) -> str:
    """Return the definition of a gain and its interval."""
    return (
        f"Gain: mean difference to the plain backbone in points, paired by seed, with its {100 * level:.3g} % "
        "interval (not corrected for multiple comparisons)."
    )


def seed_rule_sentence(rule: SeedRule) -> str:
    """Return the description of a rule of seeds."""
    level = sequential_level(rule.min, rule.max)
    return (
        f"Seeds: {rule.min}, then one more at a time up to {rule.max} while the difference to the plain backbone is "
        f"undecided. Each of the {rule.max - rule.min + 1} analyses is a paired t test at {level:.4f}, which keeps the "
        f"overall error rate at {100 * (1 - LEVEL):.0f} %; the {100 * (1 - level):.4g} % intervals have "
        f"{100 * LEVEL:.0f} % coverage at any stopping time (repeated confidence intervals, Pocock's boundary)."
    )


SUBSET_DESCRIPTIONS = {
    "epochs": "equal epochs: subsets are trained for as many epochs as the full set, so for fewer steps",
    "steps": "equal steps: subsets are trained for as many steps as the full set, so for more epochs",
}


def subset_sentences(records: Sequence[RunRecord]) -> list[str]:
    """Return the training budgets of subsets."""
    ways = distinct(record.spec.recipe.equal for record in records)
    text = "; ".join(SUBSET_DESCRIPTIONS[way] for way in ways if way is not None)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def validation_sentences(records: Sequence[RunRecord]) -> list[str]:
    """Return the sizes of the validation sets, with the standard error of an accuracy."""
    sizes = distinct(record.spec.dataset.num_validation for record in records if record.spec.protocol == "holdout")
    return [
        f"Validation: {size:,} image{'' if size == 1 else 's'}; standard error of an accuracy of 80 %: "
        f"±{100 * (0.8 * 0.2 / size) ** 0.5:.1f} points."
        for size in sizes
    ]


def speed_sentences(speeds: Iterable[Throughput]) -> list[str]:
    """Return the conditions of the throughput measurements."""
    ways = distinct(
        f"inference, batch {speed.batch_size}, {speed.precision}, {plural(speed.threads, 'thread')}, "
        f"median of {speed.n} interleaved rounds, on an otherwise idle {speed.device_name}"
        for speed in speeds
    )
    return [f"Images/s: {'; '.join(ways)}."] if ways else []
