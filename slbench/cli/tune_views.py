"""What a person sees while a search runs: validation accuracies, never one of the test images."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from slbench.cli.views import log_line
from slbench.grid.events import AlreadyFinished, Failed, Finished, JobCancelled, JobPruned, Progressed, Started
from slbench.text import duration
from slbench.tuning.record import setting_words
from slbench.tuning.run import Comparing, PreparedSearch, Searching, TimedOut, TuningEvent
from slbench.tuning.search import TrialOutcome


class TuneView(Protocol):
    """Shows what a search does; entered before the first event and left after the last."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: TuningEvent) -> None: ...


class SearchProgress:
    """How far a search is: trials over, pruned, running, the best so far, and how long the rest may take."""

    def __init__(self, tuning: PreparedSearch) -> None:
        self.many = len(tuning.targets) > 1
        self.wanted = self.before = self.over = self.pruned = self.failed = 0
        self.running = set[str]()
        self.best: dict[str, TrialOutcome] = {}
        self.comparing: int | None = None
        self.compared = 0
        self.started = time.monotonic()

    def see(self, event: TuningEvent) -> None:
        if isinstance(event, Searching):
            for told in event.finished:
                self._told(told)
            self.wanted, self.before, self.over, self.started = event.total, len(event.finished), 0, time.monotonic()
        elif isinstance(event, Comparing):
            self.comparing, self.started = event.runs, time.monotonic()
        elif isinstance(event, TrialOutcome):
            self._told(event)
        elif isinstance(event, Started):
            self.running.add(event.run.spec.run_id)
        elif isinstance(event, Finished | Failed | JobCancelled | JobPruned | AlreadyFinished):
            self.running.discard(event.run.spec.run_id)
            self.compared += self.comparing is not None and isinstance(event, Finished)

    def _told(self, told: TrialOutcome) -> None:
        self.over += 1
        self.pruned += told.state == "pruned"
        self.failed += told.state == "failed"
        best = self.best.get(told.method)
        if told.state == "complete" and (best is None or (told.value or 0) > (best.value or 0)):
            self.best[told.method] = told

    def remaining(self) -> float | None:
        """Seconds, if those to come take as long as those of this process; None before the first is over."""
        wanted, over = self.wanted - self.before, self.over
        if self.comparing is not None:
            wanted, over = self.comparing, self.compared
        return (time.monotonic() - self.started) / over * max(0, wanted - over) if over else None

    def words(self) -> str:
        """ "7 of 20 trials, 3 pruned, 2 running, best 84.20 % (initial_temperature 0.71), 3:10 left"."""
        if self.comparing is not None:
            parts = [f"comparison: {self.compared} of {self.comparing} runs"]
        else:
            parts = [f"{self.before + self.over} of {self.wanted} trials"]
            parts += [f"{count} {name}" for count, name in ((self.pruned, "pruned"), (self.failed, "failed")) if count]
        parts += [f"{len(self.running)} running"] if self.running else []
        for method, told in self.best.items():
            row = f" {method}" if self.many else ""
            parts.append(f"best{row} {told.value:.2f} % ({setting_words(told.setting)})")
        left = self.remaining()
        return ", ".join([*parts, *([f"{duration(left)} left"] if left is not None else [])])


def told_words(told: TrialOutcome, *, many: bool) -> str:
    """What a trial came to."""
    row = f" {told.method}" if many else ""
    value = "" if told.value is None else f"validation top-1 {told.value:.2f} %, "
    return f"{told.state:<9}trial {told.number}{row}: {value}{setting_words(told.setting)}"


def lasting_words(event: TuningEvent, *, many: bool) -> str | None:
    """The line that stays after an event. A run's own end leaves none: it would tell a test accuracy."""
    if isinstance(event, TrialOutcome):
        return told_words(event, many=many)
    if isinstance(event, Comparing):
        return f"comparing on the test images, with fresh seeds: {event.runs} runs"
    if isinstance(event, Searching):
        return f"{len(event.finished)} of {event.total} trials were made before: going on" if event.finished else None
    if isinstance(event, TimedOut):
        return f"--timeout: {event.remaining} trials are not made; the same command without it makes them"
    return None if isinstance(event, Finished | AlreadyFinished) else log_line(event)


class PlainTuneView:
    """A line for each trial that is over, with where the search stands."""

    def __init__(self, console: Console, tuning: PreparedSearch) -> None:
        self.console, self.standings = console, SearchProgress(tuning)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: TuningEvent) -> None:
        self.standings.see(event)
        line = lasting_words(event, many=self.standings.many)
        if line is not None:
            tail = f"  [{self.standings.words()}]" if isinstance(event, TrialOutcome) else ""
            self.console.print(line + tail, markup=False, highlight=False, soft_wrap=True)


class LiveTuneView:
    """A bar for the search with the best so far, and one for each run; trials that are over scroll above them."""

    def __init__(self, console: Console, tuning: PreparedSearch) -> None:
        self.standings = SearchProgress(tuning)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
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
        self.standings.see(event)
        if isinstance(event, Started):
            title = f"{event.slot.device.label} {event.run.labels.method} seed {event.run.spec.seed}"
            steps = event.run.spec.recipe.epochs * event.run.spec.steps_per_epoch
            self._slots[event.slot.index] = self.progress.add_task(escape(title), total=steps, detail="starting")
        elif isinstance(event, Progressed):
            top1 = "" if event.progress.val_top1 is None else f" validation top-1 {event.progress.val_top1:.1f}"
            detail = f"{event.progress.epoch}/{event.progress.epochs} loss {event.progress.loss:.3f}{top1}"
            self.progress.update(self._slots[event.slot.index], completed=event.progress.step, detail=detail)
        elif isinstance(event, Finished | Failed | JobCancelled | JobPruned) and event.slot.index in self._slots:
            self.progress.remove_task(self._slots.pop(event.slot.index))
        line = lasting_words(event, many=self.standings.many)
        if line is not None:
            self.progress.console.print(line, markup=False, highlight=False)
        standings = self.standings
        total, done = (standings.wanted, standings.before + standings.over)
        if standings.comparing is not None:
            total, done = standings.comparing, standings.compared
        self.progress.update(self._search, total=total or None, completed=done, detail=standings.words())


def make_view(console: Console, tuning: PreparedSearch) -> TuneView:
    """Bars if the console is a terminal, else lines."""
    return LiveTuneView(console, tuning) if console.is_terminal else PlainTuneView(console, tuning)
