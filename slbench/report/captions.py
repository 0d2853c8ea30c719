"""The words above a table: what was trained on what, how, with what, and which accuracy is shown."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from slbench.measurement_records import Throughput
from slbench.provenance import provenance_texts
from slbench.record import RunRecord
from slbench.report.columns import Column, GainColumn, MetricColumn, PublishedColumn
from slbench.stats.intervals import LEVEL
from slbench.stats.sequential import confidence, sequential_level
from slbench.study import SeedRule
from slbench.table_spec import METRICS
from slbench.text import distinct, plural

if TYPE_CHECKING:
    from slbench.report.inputs import ReportInputs

AccuracyName = Literal["final", "selected", "best"]


def caption(gathered: "ReportInputs", columns: Sequence[Column]) -> list[str]:
    """What was done, with what, on what, as sentences."""
    records, title = gathered.records, gathered.title
    measures = distinct(column.name for column in columns if isinstance(column, MetricColumn))
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
        f"Only runs with {gathered.query}." if gathered.query else "",
        f"Data: {', '.join(distinct(record.labels.dataset for record in records))}; "
        f"protocol {', '.join(distinct(record.spec.protocol for record in records))}; {'; '.join(epochs)}.",
        *subset_sentences(records),
        *validation_sentences(records),
        f"Top-1 in %: {'; '.join(measure_words(measures, accuracies=True))}; "
        f"mean ± sample standard deviation (n) over seeds {', '.join(map(str, seeds))}."
        if any(METRICS[name].is_accuracy for name in measures)
        else f"Mean ± sample standard deviation (n) over seeds {', '.join(map(str, seeds))}.",
        *(f"{words}." for words in measure_words(measures, accuracies=False)),
        gain_sentence(confidence(gathered.seeds)) if any(isinstance(column, GainColumn) for column in columns) else "",
        "" if gathered.seeds is None else rule_words(gathered.seeds),
        PUBLISHED if any(isinstance(column, PublishedColumn) for column in columns) else "",
        f"Trained on {'; '.join(devices)}; {'; '.join(codes)}.",
        *speed_sentences(gathered.speeds.values()),
        "MACs: multiply-adds of one image, counted with fvcore. Bold: the best mean, which is no test.",
    ]
    return [sentence for sentence in sentences if sentence]


def measure_words(measures: Sequence[str], *, accuracies: bool) -> list[str]:
    """What measures are: of top-1 accuracies "final: test accuracy of the last epoch", of the others by their heads."""
    chosen = [name for name in measures if METRICS[name].is_accuracy is accuracies]
    return [f"{name if accuracies else METRICS[name].head}: {METRICS[name].words}" for name in chosen]


def gain_sentence(level: float) -> str:
    """What a gain is, and how far it is to be trusted."""
    return (
        f"Gain: mean difference to the plain backbone over the seeds that both have, in points, with its "
        f"{100 * level:.3g} % interval (paired by seed, not corrected for the number of comparisons)."
    )


def rule_words(rule: SeedRule) -> str:
    """What a caption says of a rule."""
    level = sequential_level(rule.min, rule.max)
    return (
        f"Seeds: {rule.min}, and one more at a time up to {rule.max} where a row and its plain backbone were not told "
        f"apart. Each look is a paired t test at {level:.4f}, so that all {rule.max - rule.min + 1} together err in "
        f"{100 * (1 - LEVEL):.0f} of 100 studies; the {100 * (1 - level):.4g} % intervals hold the truth in "
        f"{100 * LEVEL:.0f} of 100 studies however the sampling stopped (repeated confidence intervals, Pocock's "
        "boundary)."
    )


PUBLISHED = (
    "Published: the paper's number, which is the best test accuracy of one run's epochs. Reproduced: it lies inside "
    "the 95 % prediction interval for one further run of ours; undecided: that interval is wider than the gain it "
    "should judge; lower, higher: ours is."
)


SUBSET_WORDS = {
    "epochs": "equal epochs: subsets train for as many epochs as the whole set, so for fewer steps",
    "steps": "equal steps: subsets train for as many steps as the whole set, so on each image more often",
}


def subset_sentences(records: Sequence[RunRecord]) -> list[str]:
    """What runs on parts of a data set share with runs on all of it."""
    ways = distinct(record.spec.recipe.equal for record in records)
    said = "; ".join(SUBSET_WORDS[way] for way in ways if way is not None)
    return [f"{said[0].upper()}{said[1:]}."] if said else []


def validation_sentences(records: Sequence[RunRecord]) -> list[str]:
    """How far chance alone moves an accuracy on the validation images, which select epochs and settings."""
    sizes = distinct(record.spec.dataset.num_validation for record in records if record.spec.protocol == "holdout")
    return [
        f"Validation: {size:,} image{'' if size == 1 else 's'}; the standard error of an accuracy of 80 % there is "
        f"±{100 * (0.8 * 0.2 / size) ** 0.5:.1f} points."
        for size in sizes
    ]


def speed_sentences(speeds: Iterable[Throughput]) -> list[str]:
    """How the images/s were measured."""
    ways = distinct(
        f"inference, batch {speed.batch_size}, {speed.precision}, {plural(speed.threads, 'thread')}, "
        f"median of {speed.n} interleaved rounds, on {speed.device_name} with no job beside"
        for speed in speeds
    )
    return [f"Images/s: {'; '.join(ways)}."] if ways else []
