"""What a reader of a table must know before comparing: what is missing, what was left out, what is mixed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from slbench.methods import model_title
from slbench.provenance import commit_text, device_text
from slbench.record import RunRecord
from slbench.report.inputs import ReportInputs
from slbench.report.metrics import missing_logits
from slbench.table_spec import METRICS
from slbench.text import plural

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Note:
    """A line under a table."""

    text: str
    mark: str = ""  # that rows carry which it is about; empty if it is about the whole table
    run_ids: frozenset[str] = frozenset()  # of those rows

    @property
    def line(self) -> str:
        return f"{self.mark}: {self.text}" if self.mark else self.text


def footnotes(gathered: ReportInputs, *, shown_columns: Collection[str]) -> list[Note]:
    """All notes of a table; marks count from a."""
    notes = [*map(Note, missing(gathered)), *map(Note, failed(gathered)), *map(Note, left_out(gathered))]
    notes += list(mixed(gathered.records, "commits", lambda record: commit_text(record.code)))
    notes += list(mixed(gathered.records, "devices", device_text))
    if any(METRICS[name].from_logits for name in shown_columns if name in METRICS):
        without = missing_logits(gathered.folders, [record.run_id for record in gathered.records])
        if without:
            nouns = " and ".join(metric.noun or metric.head for metric in METRICS.values() if metric.from_logits)
            text = f"Without readable test logits, and so without {nouns}: {plural(len(without), 'run')}"
            notes.append(Note(f"{text}, such as {without[0]}.", "?", frozenset(without)))
    letters = iter(LETTERS)
    return [Note(note.text, next(letters) if note.mark else "", note.run_ids) for note in notes]


def marked(notes: Sequence[Note], records: Sequence[RunRecord]) -> tuple[str, ...]:
    """Marks of the notes that are about any of some runs."""
    ids = {record.run_id for record in records}
    return tuple(note.mark for note in notes if note.mark and note.run_ids & ids)


def missing(gathered: ReportInputs) -> Iterator[str]:
    """Which runs are not finished."""
    done = {record.run_id for record in gathered.records}
    left = [run for run in gathered.runs if run.spec.run_id not in done]
    if not left:
        return
    finished = len(gathered.runs) - len(left)
    yield (
        f"Unfinished: {finished} of {len(gathered.runs)} runs. Cells marked (n of N) lack seeds and are not comparable."
    )
    seeds = defaultdict[str, list[str]](list)
    for run in left:
        seeds[f"{model_title(run.labels.backbone, run.labels.method)} on {run.labels.dataset}"].append(
            str(run.spec.seed)
        )
    for name, numbers in seeds.items():
        yield f"Missing: {name}, seed {', '.join(dict.fromkeys(numbers))}."


def failed(gathered: ReportInputs) -> Iterator[str]:
    """Of those that are not finished, why the last attempt failed; those together that died the same way."""
    groups = defaultdict[str, list[str]](list)
    for run in gathered.runs:
        failure = gathered.failures.get(run.spec.run_id)
        if failure is not None:
            name = (
                f"{model_title(run.labels.backbone, run.labels.method)} on {run.labels.dataset}, seed {run.spec.seed}"
            )
            groups[failure.cause].append(f"{name}\0{failure.reason}")
    for group in groups.values():
        name, _, reason = group[0].partition("\0")
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        yield f"Failed: {name}{more}: {reason}"


def left_out(gathered: ReportInputs) -> Iterator[str]:
    """Records that are there and could not be read."""
    if gathered.unread:
        yield f"Left out: {plural(len(gathered.unread), 'record')} that cannot be read."
        yield from gathered.unread


def mixed(records: Sequence[RunRecord], what: str, of: Callable[[RunRecord], str]) -> Iterator[Note]:
    """A note for each value but the most common one, where runs that stand in one table differ in it."""
    counts = Counter(of(record) for record in records)
    if len(counts) < 2:
        return
    (usual, most), *_ = counts.most_common(1)
    for value, count in counts.items():
        if value != usual:
            ids = frozenset(record.run_id for record in records if of(record) == value)
            text = f"Mixed {what}: {plural(count, 'run')} with {value}; {most} of the {len(records)} with {usual}."
            yield Note(text, "?", ids)
