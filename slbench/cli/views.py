"""Progress display of a grid: bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from slbench.cli.terminal import CutColumn, bar_width, elapsed_column, remaining_column
from slbench.grid.events import (
    AlreadyFinished,
    Diverged,
    Event,
    Failed,
    Finished,
    GridStopped,
    JobCancelled,
    JobPruned,
    Measuring,
    Progressed,
    SeedAdded,
    SlotsReduced,
    Started,
    ThroughputDisturbed,
    ThroughputFailed,
    WaitingForOthers,
)
from slbench.study import StudyRun
from slbench.text import duration, plural

LINE_SECONDS = 30  # between plain lines of one run
SHOWN_LINES = 6  # of a traceback or log


class View(Protocol):
    """Display of events; a context manager around all of them."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, event: Event) -> None: ...


def log_line(event: Event) -> str | None:
    """Return the permanent line of an event, or None."""
    if isinstance(event, Finished):
        return f"done    {event.run.title}: test top-1 {event.final_test_top1:.2f} % in {duration(event.seconds)}"
    if isinstance(event, Diverged):
        return f"diverged {event.run.title}: {event.reason}"
    if isinstance(event, Failed):
        return failed(event)
    if isinstance(event, AlreadyFinished):
        return f"found   {event.run.title}: finished by another launcher"
    if isinstance(event, SeedAdded):
        return f"added   {event.run.title}: undecided after {event.run.spec.seed} seeds"
    if isinstance(event, WaitingForOthers):
        return f"{plural(event.runs, 'run')} left, all claimed by other launchers; waiting"
    if isinstance(event, SlotsReduced):
        return f"{event.device.label}: reduced to {plural(event.jobs, 'concurrent job')}"
    if isinstance(event, GridStopped):
        return f"stopped: {event.reason}" + (f"; {plural(event.waiting, 'run')} not started" if event.waiting else "")
    if isinstance(event, Measuring):
        return f"measuring images/s of {plural(event.networks, 'network')} in turns, with no other job"
    if isinstance(event, ThroughputDisturbed):
        return (
            f"warning: other processes used {event.load:.1f} of {plural(event.cores, 'core')} while images/s were "
            "measured; repeat on an idle machine: slbench report STUDY --measure"
        )
    if isinstance(event, ThroughputFailed):
        return f"images/s not measured: {event.reason}"
    return None


def started(event: Started) -> str:
    """Return the line of a job that has started: where, and from which epoch if it is resumed."""
    run, where = event.run, f"on {event.slot.device.label}, slot {event.slot.index}"
    if event.resumes_at is None:
        return f"start   {run.title} {where}"
    return f"resume  {run.title} {where}, at {epoch_text(run, event.resumes_at)}"


def epoch_text(run: StudyRun, epoch: int) -> str:
    """Return "epoch 35 of 150"."""
    return f"epoch {epoch} of {run.spec.recipe.epochs}"


def will_retry(event: Event) -> bool:
    """Return whether a failed run is retried."""
    return isinstance(event, Failed) and event.will_retry


def failed(event: Failed) -> str:
    """Return the cause of a failure, and the end of its traceback or log."""
    failure = event.failure
    again = "; retrying" if event.will_retry else ""
    tail = failure.traceback.rstrip().splitlines()[-SHOWN_LINES:] or list(failure.last_lines)[-SHOWN_LINES:]
    if failure.kind == "disk full":
        tail = []
    kind = "" if failure.reason.startswith(failure.kind) else f"{failure.kind}: "  # "killed by SIGKILL" says it
    first = f"FAILED  {event.run.title}: {kind}{failure.reason}{again}; log: {event.log}"
    return "\n".join([first, *(f"        | {line}" for line in tail)])


class Totals:
    """Progress of a grid in steps, and the remaining time."""

    def __init__(self, runs: list[StudyRun]) -> None:
        self.steps, self.done = dict[str, int](), dict[str, int]()
        self.before = dict[str, int]()  # steps done when a run was first seen
        for run in runs:
            self._add(run)
        self.seen = set[str]()
        self.ended = 0
        self.started = time.monotonic()

    def _add(self, run: StudyRun) -> None:
        self.steps[run.spec.run_id] = run.spec.recipe.epochs * run.spec.steps_per_epoch
        self.done[run.spec.run_id] = self.before[run.spec.run_id] = 0

    def see(self, event: Event) -> None:
        if isinstance(event, SeedAdded):
            self._add(event.run)
        elif isinstance(event, Progressed):
            self._first(event.run, event.progress.step - 1)
            self.done[event.run.spec.run_id] = event.progress.step
        elif isinstance(event, Finished | AlreadyFinished | Diverged | Failed) and not will_retry(event):
            if isinstance(event, AlreadyFinished):
                self._first(event.run, self.steps[event.run.spec.run_id])
            self.done[event.run.spec.run_id] = self.steps[event.run.spec.run_id]
            self.ended += 1

    def _first(self, run: StudyRun, step: int) -> None:
        if run.spec.run_id not in self.seen:
            self.seen.add(run.spec.run_id)
            self.before[run.spec.run_id] = step

    def remaining(self) -> float | None:
        """Return the remaining seconds at the speed so far; None before the first step."""
        done, total = sum(self.done.values()), sum(self.steps.values())
        steps = done - sum(self.before.values())
        return (time.monotonic() - self.started) / steps * (total - done) if steps > 0 else None


class PlainView:
    """Lines for a file or a pipe: starts, ends, and progress every half minute."""

    def __init__(self, console: Console, runs: list[StudyRun]) -> None:
        self.console, self.totals = console, Totals(runs)
        self._last: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self.totals.see(event)
        if isinstance(event, Started):
            self._last[event.run.spec.run_id] = time.monotonic()
            self._print(started(event))
        elif isinstance(event, Progressed):
            self._progressed(event)
        elif (line := log_line(event)) is not None:
            left = self.totals.remaining()
            ended = isinstance(event, Finished | AlreadyFinished | Diverged | Failed)
            tail = f"  [{self.totals.ended} of {len(self.totals.steps)}, {duration(left or 0)} left]" if ended else ""
            self._print(line + tail)

    def _progressed(self, event: Progressed) -> None:
        now = time.monotonic()
        if now - self._last[event.run.spec.run_id] < LINE_SECONDS:
            return
        self._last[event.run.spec.run_id] = now
        progress, accuracy = event.progress, event.progress.top1
        top1 = "" if accuracy is None else f", top-1 {accuracy:.1f} %"
        self._print(
            f"        {event.run.title}: epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}{top1}, "
            f"{progress.images_per_second:.0f} images/s"
        )

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A bar per slot and one for the grid; ended runs scroll above them."""

    def __init__(self, console: Console, runs: list[StudyRun]) -> None:
        self.totals = Totals(runs)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=bar_width(console)),
            CutColumn("{task.fields[detail]}"),
            elapsed_column(),
            TextColumn("eta"),
            remaining_column(),
            console=console,
        )
        self._grid = self.progress.add_task("grid", total=sum(self.totals.steps.values()), detail=f"0 of {len(runs)}")
        self._slots: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        self.totals.see(event)
        if isinstance(event, Started):
            self._slots[event.slot.index] = self.progress.add_task(
                escape(f"{event.slot.device.label} {event.run.name}"),
                total=self.totals.steps[event.run.spec.run_id],
                detail="starting" if event.resumes_at is None else "resuming",
            )
        elif isinstance(event, Progressed):
            progress, accuracy = event.progress, event.progress.top1
            top1 = "" if accuracy is None else f" top-1 {accuracy:.1f}"
            speed = f"{progress.images_per_second:.0f} img/s"
            detail = f"epoch {progress.epoch}/{progress.epochs} loss {progress.loss:.3f}{top1} {speed}"
            self.progress.update(self._slots[event.slot.index], completed=progress.step, detail=detail)
        elif isinstance(event, Finished | Diverged | Failed | JobCancelled | JobPruned):
            self.progress.remove_task(self._slots.pop(event.slot.index))
        line = log_line(event)
        if isinstance(event, Started) and event.resumes_at is not None:
            line = started(event)
        if line is not None:
            self.progress.console.print(line, markup=False, highlight=False)
        detail = f"{self.totals.ended} of {len(self.totals.steps)}"
        total, done = sum(self.totals.steps.values()), sum(self.totals.done.values())
        self.progress.update(self._grid, total=total, completed=done, detail=detail)


def make_view(console: Console, runs: list[StudyRun]) -> View:
    """Return bars if the console is a terminal, else plain lines."""
    return LiveView(console, runs) if console.is_terminal else PlainView(console, runs)
