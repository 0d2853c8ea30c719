"""Progress display of a search: validation accuracies, never test accuracies."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from slbench.cli.terminal import CutColumn, bar_width, elapsed_column
from slbench.cli.views import log_line
from slbench.grid.events import (
    AlreadyFinished,
    Diverged,
    Failed,
    Finished,
    JobCancelled,
    JobPruned,
    Progressed,
    Started,
)
from slbench.text import duration, plural
from slbench.tuning.record import setting_words
from slbench.tuning.run import Comparing, Corrected, PreparedSearch, Searching, TimedOut, TuningEvent
from slbench.tuning.search import TrialOutcome


class TuneView(Protocol):
    """Display of a search; a context manager around all events."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: TuningEvent) -> None: ...


class SearchProgress:
    """Progress of a search: trials ended, pruned, running, the best so far, remaining time."""

    def __init__(self, tuning: PreparedSearch) -> None:
        self.many = len(tuning.targets) > 1
        self.total = self.before = self.over = self.pruned = self.failed = 0
        self.running = set[str]()
        self.best: dict[str, TrialOutcome] = {}
        self.comparing: int | None = None
        self.compared = 0
        self.started = time.monotonic()

    def see(self, event: TuningEvent) -> None:
        if isinstance(event, Searching):
            for outcome in event.finished:
                self._add(outcome)
            self.total, self.before, self.over, self.started = event.total, len(event.finished), 0, time.monotonic()
        elif isinstance(event, Comparing):
            self.comparing, self.started = event.runs, time.monotonic()
        elif isinstance(event, TrialOutcome):
            self._add(event)
        elif isinstance(event, Started):
            self.running.add(event.run.spec.run_id)
        elif isinstance(event, Finished | Diverged | Failed | JobCancelled | JobPruned | AlreadyFinished):
            self.running.discard(event.run.spec.run_id)
            self.compared += self.comparing is not None and isinstance(event, Finished)

    def _add(self, outcome: TrialOutcome) -> None:
        self.over += 1
        self.pruned += outcome.state == "pruned"
        self.failed += outcome.state == "failed"
        best = self.best.get(outcome.method)
        if outcome.state == "complete" and (best is None or (outcome.value or 0) > (best.value or 0)):
            self.best[outcome.method] = outcome

    def remaining(self) -> float | None:
        """Return the remaining seconds at the speed of this process; None before its first trial has ended."""
        total, over = self.total - self.before, self.over
        if self.comparing is not None:
            total, over = self.comparing, self.compared
        return (time.monotonic() - self.started) / over * max(0, total - over) if over else None

    def summary(self) -> str:
        """Return "7 of 20 trials, 3 pruned, 2 running, best 84.20 % (initial_temperature 0.71), 3:10 left"."""
        if self.comparing is not None:
            parts = [f"comparison: {self.compared} of {self.comparing} runs"]
        else:
            parts = [f"{self.before + self.over} of {self.total} trials"]
            parts += [f"{count} {name}" for count, name in ((self.pruned, "pruned"), (self.failed, "failed")) if count]
        parts += [f"{len(self.running)} running"] if self.running else []
        for method, outcome in self.best.items():
            label = f" {method}" if self.many else ""
            parts.append(f"best{label} {outcome.value:.2f} % ({setting_words(outcome.setting)})")
        left = self.remaining()
        return ", ".join([*parts, *([f"{duration(left)} left"] if left is not None else [])])


def trial_line(trial: TrialOutcome, *, many: bool) -> str:
    """Return the line of an ended trial."""
    method = f" {trial.method}" if many else ""
    value = "" if trial.value is None else f"validation top-1 {trial.value:.2f} %, "
    return f"{trial.state:<9}trial {trial.number}{method}: {value}{setting_words(trial.setting)}"


def event_line(event: TuningEvent, *, many: bool) -> str | None:
    """Return the permanent line of an event, or None. A run's end has none: it would show a test accuracy."""
    if isinstance(event, TrialOutcome):
        return trial_line(event, many=many)
    if isinstance(event, Corrected):
        return f"note: {event.line}"
    if isinstance(event, Comparing):
        return f"comparing on the test images with fresh seeds: {plural(event.runs, 'run')}"
    if isinstance(event, Searching):
        return f"resuming: {len(event.finished)} of {event.total} trials already done" if event.finished else None
    if isinstance(event, TimedOut):
        return f"--timeout reached: {plural(event.remaining, 'trial')} not run; the same command without it runs them"
    return None if isinstance(event, Finished | AlreadyFinished) else log_line(event)


class PlainTuneView:
    """A line per ended trial with the progress of the search."""

    def __init__(self, console: Console, tuning: PreparedSearch) -> None:
        self.console, self.search = console, SearchProgress(tuning)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: TuningEvent) -> None:
        self.search.see(event)
        line = event_line(event, many=self.search.many)
        if line is not None:
            tail = f"  [{self.search.summary()}]" if isinstance(event, TrialOutcome) else ""
            self.console.print(line + tail, markup=False, highlight=False, soft_wrap=True)


class LiveTuneView:
    """A bar for the search with the best so far, and one per run; ended trials scroll above them."""

    def __init__(self, console: Console, tuning: PreparedSearch) -> None:
        self.search = SearchProgress(tuning)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=bar_width(console)),
            CutColumn("{task.fields[detail]}"),
            elapsed_column(),
            console=console,
        )
        self._search = self.progress.add_task("search", total=None, detail="starting")
        self._slots: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: TuningEvent) -> None:
        self.search.see(event)
        if isinstance(event, Started):
            part = event.run.trial.partition(" of ")[0]  # "trial 3"
            title = (
                f"{event.slot.device.label} {part and f'{part}, '}{event.run.labels.method} seed {event.run.spec.seed}"
            )
            steps = event.run.spec.recipe.epochs * event.run.spec.steps_per_epoch
            self._slots[event.slot.index] = self.progress.add_task(escape(title), total=steps, detail="starting")
        elif isinstance(event, Progressed):
            top1 = "" if event.progress.val_top1 is None else f" validation top-1 {event.progress.val_top1:.1f}"
            detail = f"epoch {event.progress.epoch}/{event.progress.epochs} loss {event.progress.loss:.3f}{top1}"
            self.progress.update(self._slots[event.slot.index], completed=event.progress.step, detail=detail)
        elif (
            isinstance(event, Finished | Diverged | Failed | JobCancelled | JobPruned)
            and event.slot.index in self._slots
        ):
            self.progress.remove_task(self._slots.pop(event.slot.index))
        line = event_line(event, many=self.search.many)
        if line is not None:
            self.progress.console.print(line, markup=False, highlight=False)
        search = self.search
        total, done = (search.total, search.before + search.over)
        if search.comparing is not None:
            total, done = search.comparing, search.compared
        self.progress.update(self._search, total=total or None, completed=done, detail=search.summary())


def make_view(console: Console, tuning: PreparedSearch) -> TuneView:
    """Return bars if the console is a terminal, else plain lines."""
    return LiveTuneView(console, tuning) if console.is_terminal else PlainTuneView(console, tuning)
