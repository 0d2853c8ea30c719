"""Caption of a table: data, training, metrics, devices; what docs/report.md says of every table is left out."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from slbench.measurement_records import Throughput
from slbench.methods import PAPER_PREFIXES, PAPER_SUFFIXES
from slbench.provenance import provenance_texts
from slbench.published.reproduction import published_note
from slbench.record import RunRecord
from slbench.report.columns import (
    EXPLORATORY,
    Column,
    CostColumn,
    GainColumn,
    ImagesColumn,
    MetricColumn,
    PublishedColumn,
)
from slbench.stats.contrast import METHODS_2X2
from slbench.study import SeedRule
from slbench.table_spec import METRICS
from slbench.text import distinct, plural, sentence

if TYPE_CHECKING:
    from slbench.report.inputs import ReportInputs
    from slbench.report.verdicts import Verdicts

DOCUMENTATION = "docs/judging.md"  # how slbench judges
DEFAULT_PROTOCOL = "holdout"
SELECTED = "selected"  # metric that depends on the validation images


def caption(inputs: "ReportInputs", columns: Sequence[Column], verdicts: "Mapping[str, Verdicts]") -> list[str]:
    """Return the caption as sentences.

    Args:
        verdicts: by metric.
    """
    records, title = inputs.records, inputs.title
    metrics = distinct(column.name for column in columns if isinstance(column, MetricColumn))
    if not records:
        return [sentence(title)] if title else []
    epochs = distinct(
        f"{plural(record.spec.recipe.epochs, 'epoch')} = {record.steps:,} steps = {record.samples_seen:,} images"
        for record in records
    )
    seeds = sorted({record.spec.seed for record in records})
    devices, codes = provenance_texts(records)
    sentences = [
        sentence(title) if title else "",
        f"Only runs with {inputs.query}." if inputs.query else "",
        f"Data: {', '.join(data_texts(records))}; {protocol_text(records)}{'; '.join(epochs)}.",
        *subset_sentences(records),
        *(validation_sentences(records) if SELECTED in metrics else ()),
        f"Top-1 in %: {'; '.join(metric_descriptions(metrics, accuracies=True))}; "
        f"mean ± SD (n) over seeds {', '.join(map(str, seeds))}."
        if any(METRICS[name].is_accuracy for name in metrics)
        else f"Mean ± SD (n) over seeds {', '.join(map(str, seeds))}.",
        *(f"{description}." for description in metric_descriptions(metrics, accuracies=False)),
        prefix_sentence(records),
        gain_sentence(verdicts) if shows(columns, GainColumn) else "",
        IMAGES_NOTE if shows(columns, ImagesColumn) else "",
        "" if inputs.seeds is None else seed_rule_sentence(inputs.seeds),
        published_note(level=inputs.statistics.level)
        if any(isinstance(column, PublishedColumn) for column in columns)
        else "",
        f"Trained on {'; '.join(devices)}; {'; '.join(codes)}.",
        *(
            (*speed_sentences(inputs.speeds.values(), records), *shift_sentences(inputs))
            if shows_speeds(columns)
            else ()
        ),
    ]
    return [each for each in sentences if each]


def protocol_text(records: Sequence[RunRecord]) -> str:
    """Return "protocol full; ", empty for the default protocol alone."""
    names = distinct(record.spec.protocol for record in records)
    return "" if names == (DEFAULT_PROTOCOL,) else f"protocol {', '.join(names)}; "


def shows(columns: Sequence[Column], kind: type[Column]) -> bool:
    """Return whether there is a column of this kind."""
    return any(isinstance(column, kind) for column in columns)


def shows_speeds(columns: Sequence[Column]) -> bool:
    """Return whether there is a column of images per second."""
    return any(isinstance(column, CostColumn) and column.name == "images_per_second" for column in columns)


def metric_descriptions(metrics: Sequence[str], *, accuracies: bool) -> list[str]:
    """Return descriptions such as "final: test accuracy of the last epoch"."""
    chosen = [name for name in metrics if METRICS[name].is_accuracy is accuracies]
    return [f"{name if accuracies else METRICS[name].head}: {METRICS[name].description}" for name in chosen]


def data_texts(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return each data set with its number of test images, over which the numbers do not generalise."""
    return distinct(f"{record.labels.dataset} ({record.spec.dataset.num_test:,} test images)" for record in records)


def prefix_sentence(records: Sequence[RunRecord]) -> str:
    """Return "T-: temperature-only.": the methods that titles name by a prefix alone, but for those of the 2x2."""
    short = PAPER_PREFIXES.keys() - PAPER_SUFFIXES.keys() - set(METHODS_2X2)
    methods = distinct(record.labels.method for record in records if record.labels.method in short)
    return f"{'; '.join(f'{PAPER_PREFIXES[name]}: {name}' for name in methods)}." if methods else ""


def gain_sentence(verdicts: "Mapping[str, Verdicts]") -> str:
    """Return the definition of a gain and its interval."""
    text = f"Gain: over the plain backbone in points, simultaneous interval ({DOCUMENTATION})."
    exploratory = any(each.has_exploratory_gain for each in verdicts.values())
    return f"{text} {EXPLORATORY}: exploratory." if exploratory else text


def seed_rule_sentence(rule: SeedRule) -> str:
    """Return the description of a rule of seeds."""
    return (
        f"Seeds: {rule.min}, then one more at a time up to {rule.max} until each question is decided: sequential, on "
        "test accuracy; the error holds for all questions and looks together."
    )


IMAGES_NOTE = (
    "Gain, other images: interval of the gain at the same level over seeds and test images, as if both were samples; "
    "gains and verdicts are for these test images."
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


def speed_sentences(speeds: Iterable[Throughput], records: Iterable[RunRecord]) -> list[str]:
    """Return the conditions of the throughput measurements; device, threads and precision unless they are the runs'."""
    runs = {(record.device_name, record.threads, record.precision) for record in records}
    ways = distinct(
        f"inference, batch {speed.batch_size}"
        + ("" if runs == {(speed.device_name, speed.threads, speed.precision)} else f", {conditions(speed)}")
        for speed in speeds
    )
    return [f"Images/s: {'; '.join(ways)}."] if ways else []


def shift_sentences(inputs: "ReportInputs") -> Iterator[str]:
    """Yield the effect of SPT on images per second by kind of image, over pairs of networks measured alike.

    Without a network that has SPT alone, the effect of SPT with LSA.
    """
    plain = {
        pairing(record): inputs.speeds[record.run_id].median
        for record in measured(inputs)
        if record.spec.method.is_plain
    }
    for name, has_attention in (("SPT", False), ("SPT with LSA", True)):
        changes = defaultdict[str, set[float]](set)
        for record in measured(inputs):
            if shifts(record, with_attention=has_attention) and pairing(record) in plain:
                change = inputs.speeds[record.run_id].median / plain[pairing(record)] - 1
                changes[record.spec.dataset.shape.kind].add(change)
        if changes:
            texts = (f"{range_text(values)} on {kind}" for kind, values in changes.items())
            yield f"{name} changes images/s by {'; '.join(texts)}."
            return


def range_text(changes: Collection[float]) -> str:
    """Return "−12 to −7 %"."""
    ends = dict.fromkeys(f"{100 * change:+.0f}" for change in (min(changes), max(changes)))
    return f"{' to '.join(ends).replace('-', '−')} %"


def measured(inputs: "ReportInputs") -> Iterator[RunRecord]:
    """Yield the runs with a measured speed."""
    return (record for record in inputs.records if record.run_id in inputs.speeds)


def shifts(record: RunRecord, *, with_attention: bool) -> bool:
    """Return whether a method changes SPT, with any shift, and nothing else, or its attention besides."""
    method = record.spec.method
    return method.shift != "none" and method.changes_attention is with_attention and not method.additions


def pairing(record: RunRecord) -> tuple[object, ...]:
    """Return what runs share whose speeds are compared."""
    shape, how = record.spec.dataset.shape, (record.device_name, record.threads, record.precision)
    return record.labels.backbone, shape.size, shape.channels, record.host.machine_id, *how


def conditions(speed: Throughput) -> str:
    """Return "fp32, 1 thread, Intel(R) Xeon(R) Processor"."""
    return f"{speed.precision}, {plural(speed.threads, 'thread')}, {speed.device_name}"
