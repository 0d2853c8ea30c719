"""Notes below a table: missing, failed and unreadable runs; mixed commits and devices."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from slbench.methods import model_title
from slbench.provenance import commit_text, device_text, version_text
from slbench.record import Labels, RunRecord
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import unusable_outputs
from slbench.report.verdicts import CONDITIONS, DECIDED_BY, asked_for
from slbench.run_paths import RunPaths
from slbench.study import StudyRun
from slbench.table_spec import METRICS
from slbench.text import plural

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_MIXED = 26  # notes on one kind of difference; more are counted in one


@dataclass(frozen=True)
class Note:
    """A line under a table."""

    text: str
    mark: str = ""  # on the rows that it is about; empty: the whole table
    run_ids: frozenset[str] = frozenset()  # of the marked rows

    @property
    def line(self) -> str:
        return f"{self.mark}: {self.text}" if self.mark else self.text


def footnotes(
    inputs: ReportInputs, *, shown_columns: Collection[str], limited_gains: Mapping[str, frozenset[str]] = {}
) -> list[Note]:
    """Return the notes of a table, with marks from a.

    Args:
        limited_gains: ids of the runs behind gains whose runs were made under different conditions, by what differs.
    """
    notes = [*map(Note, missing(inputs)), *map(Note, failed(inputs)), *map(Note, unreadable(inputs))]
    notes += list(mixed(inputs.records, "commits", lambda record: commit_text(record.code)))
    notes += list(mixed(inputs.records, "devices", partial(device_text, without=differing_on_purpose(inputs))))
    notes += list(mixed(inputs.records, "torch versions", lambda record: version_text(record.code, "torch")))
    notes += [Note(f"Gain: {text}.", "?", ids) for text, ids in limited_gains.items()]
    needs_logits = any(METRICS[name].from_outputs for name in shown_columns if name in METRICS)
    records = [record for record in inputs.records if record.run_id in inputs.folders]
    unusable = unusable_outputs(records, inputs.folders, logits=needs_logits)
    if unusable and needs_logits:
        nouns = " and ".join(metric.noun or metric.head for metric in METRICS.values() if metric.from_outputs)
        text = f"No readable test logits (for {nouns}): {plural(len(unusable), 'run')}"
        notes.append(Note(f"{text}, such as {next(iter(unusable))}.", "?", frozenset(unusable)))
    absent = {run_id for run_id in unusable if not RunPaths(inputs.folders[run_id]).logits.exists()}
    notes += [Note(f"Left out: {line}") for run_id, line in unusable.items() if run_id not in absent]
    notes += disturbed(inputs) if "images_per_second" in shown_columns else []
    notes += searched(inputs)
    marks = marks_from_a()
    return [Note(note.text, next(marks) if note.mark else "", note.run_ids) for note in notes]


def differing_on_purpose(inputs: ReportInputs) -> set[str]:
    """Return the compared fields of which all runs with one value have one outcome: not "auto" on unlike devices."""
    found = set[str]()
    for field in DECIDED_BY.keys() & {question.field for question in inputs.contrasts or ()}:
        text = CONDITIONS[DECIDED_BY[field]]
        outcomes = {(asked_for(record)[field], text(record)) for record in inputs.records}
        if len(outcomes) == len({asked for asked, _ in outcomes}):
            found.add(field)
    return found


def marks_from_a() -> Iterator[str]:
    """Yield a, b, ..., z, aa, ab, ..."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(LETTERS, repeat=length))


def marks_of(notes: Sequence[Note], records: Sequence[RunRecord]) -> tuple[str, ...]:
    """Return the marks of the notes about any of the records."""
    ids = {record.run_id for record in records}
    return tuple(note.mark for note in notes if note.mark and note.run_ids & ids)


def experiment(labels: Labels, settings: Sequence[str]) -> str:
    """Return the name of a run without its seed: "SL-ViT on cifar10, lr=0.003".

    Args:
        settings: of the run on other axes of its study.
    """
    return ", ".join([f"{model_title(labels.backbone, labels.method)} on {labels.dataset}", *settings])


def missing(inputs: ReportInputs) -> Iterator[str]:
    """Yield notes on unfinished runs; `failed` names those that failed."""
    done = {outcome.run_id for outcome in inputs.outcomes}
    unfinished = [run for run in inputs.runs if run.spec.run_id not in done]
    if not unfinished:
        return
    yield (
        f"Unfinished: {len(unfinished)} of {len(inputs.runs)} runs. "
        "Cells marked (n of N) lack seeds and are not comparable."
    )
    for name in with_seeds(run for run in unfinished if run.spec.run_id not in inputs.failures):
        yield f"Missing: {name}."


def with_seeds(runs: Iterable[StudyRun]) -> list[str]:
    """Return the name of each experiment with the seeds of its runs: "SL-ViT on cifar10, lr=0.003, seed 0, 2"."""
    seeds = defaultdict[str, list[str]](list)
    for run in runs:
        seeds[experiment(run.labels, run.settings)].append(str(run.spec.seed))
    return [f"{name}, seed {', '.join(dict.fromkeys(numbers))}" for name, numbers in seeds.items()]


def failed(inputs: ReportInputs) -> Iterator[str]:
    """Yield the reasons of diverged runs, then of failed ones, grouped by cause."""
    settings = {run.spec.run_id: run.settings for run in inputs.runs}
    for outcome in inputs.diverged:
        name = f"{experiment(outcome.labels, settings.get(outcome.run_id, ()))}, seed {outcome.spec.seed}"
        yield f"Diverged: {name}, in epoch {outcome.epoch}: {outcome.reason}"
    groups = defaultdict[str, list[StudyRun]](list)
    for run in inputs.runs:
        if (failure := inputs.failures.get(run.spec.run_id)) is not None:
            groups[failure.cause].append(run)
    for group in groups.values():
        yield f"Failed: {'; '.join(with_seeds(group))}: {inputs.failures[group[0].spec.run_id].reason}"


def disturbed(inputs: ReportInputs) -> list[Note]:
    """Return a note on speeds that were measured while other processes used the machine."""
    speeds = {run_id: speed for run_id, speed in inputs.speeds.items() if speed.is_disturbed}
    if not speeds:
        return []
    loads = [speed.other_load or 0.0 for speed in speeds.values()]
    low, high = min(loads), max(loads)
    cores = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    of = next(iter(speeds.values())).cores
    text = f"Images/s may be too low: other processes used {cores} of {of} cores meanwhile; --measure repeats it."
    return [Note(text, "?", frozenset(speeds))]


def searched(inputs: ReportInputs) -> Iterator[Note]:
    """Yield notes on runs of searches, which no study asks for."""
    if inputs.left_out:
        yield Note(f"Means leave out {plural(len(inputs.left_out), 'run')} of searches: no study asks for these seeds.")
    alone = frozenset(id_ for id_, kind in inputs.kinds.items() if kind == "tuning") - inputs.left_out
    if alone.intersection(outcome.run_id for outcome in inputs.outcomes):
        yield Note("Runs of searches, chosen on validation images: not judged.", "?", alone)


def unreadable(inputs: ReportInputs) -> Iterator[str]:
    """Yield notes on unreadable records."""
    if inputs.unread:
        yield f"Skipped: {plural(len(inputs.unread), 'unreadable record')}."
        yield from inputs.unread


def mixed(records: Sequence[RunRecord], noun: str, value_of: Callable[[RunRecord], str]) -> Iterator[Note]:
    """Yield a note for each value except the most common one; of very many values, one note on all others."""
    counts = Counter(value_of(record) for record in records)
    if len(counts) < 2:
        return
    (usual, most), *others = counts.most_common()
    rest = f"; {most} of the {len(records)} with {usual}."
    ids = {record.run_id: value_of(record) for record in records}
    if len(others) > MAX_MIXED:
        text = f"Mixed {noun}: {plural(len(records) - most, 'run')} with {len(others)} others{rest}"
        yield Note(text, "?", frozenset(run_id for run_id, value in ids.items() if value != usual))
        return
    for value, count in counts.items():
        if value != usual:
            text = f"Mixed {noun}: {plural(count, 'run')} with {value}{rest}"
            yield Note(text, "?", frozenset(run_id for run_id, other in ids.items() if other == value))
