"""`slbench show`: one run in a terminal."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.cli.text_layout import terminal_width
from slbench.differing import flat
from slbench.errors import StoreError
from slbench.grid.status import GridStatus
from slbench.history import EpochMetrics, read_history
from slbench.record import DivergedRecord, Outcome, RunRecord
from slbench.run_paths import RunPaths
from slbench.spec import to_dict
from slbench.store import Store, read_ended, read_spec
from slbench.study import StudyRun
from slbench.text import duration, megabytes, plural

ROWS, MAX_COLUMNS = 8, 72  # of a curve
INDENT = "  "


def show(
    run: Annotated[str, typer.Argument(help="Id of a run, or the beginning of one; or its folder.")],
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    as_json: options.Json = False,
) -> None:
    """Show a run: state, results, the command that reproduces it, versions, settings and learning curve."""
    from slbench.cli.status import line, named_apart

    results = Store(store)
    results.check(writing=False)
    run_id, folder = results.find(run)
    spec = read_spec(folder)
    if spec is None or isinstance(spec, str):
        raise StoreError(spec or f"{RunPaths(folder).spec}: no such file; slbench doctor names what is damaged")
    outcome = read_ended(folder)
    begun = [StudyRun(begun, launch.labels, trial=launch.trial) for begun, launch in results.begun()]
    runs = [each for each in named_apart(begun, results) if each.spec.run_id == run_id]
    standing = GridStatus.of(runs, results)
    history = read_curve(folder)
    command = reproducing_command(runs[0], outcome, standing)
    if as_json:
        document = {
            "run_id": run_id,
            "folder": str(folder),
            "state": standing.states[run_id],
            "command": command,
            "spec": spec.as_dict(),
            "record": None if outcome is None else outcome.model_dump(mode="json"),
            "epochs": [vars(metrics) for metrics in history],
        }
        print_json(document)
        return
    print(line(runs[0], standing))
    parts = {
        "results": [] if outcome is None else result_lines(outcome),
        "trained": [] if outcome is None else origin_lines(outcome),
        "command": [command or "none: its flags, files, data or numerics are not those of this version"],
        "settings": setting_lines(runs[0]),
        "curve": curve_lines(history, shows_test=spec.protocol == "paper", width=terminal_width()),
        "folder": [str(folder)],
    }
    for title, lines in parts.items():
        if lines:
            print(f"\n{title}")
            print("\n".join(f"{INDENT}{each}" for each in lines))


def reproducing_command(run: StudyRun, outcome: Outcome | None, standing: GridStatus) -> str | None:
    """Return the command that trains an ended run again, or continues another; None if there is none."""
    from slbench.study.command import train_command

    pause = standing.paused.get(run.spec.run_id)
    if outcome is None and pause is not None and pause.command:
        return pause.command
    return train_command(run.spec, run.labels)


def read_curve(folder: Path) -> list[EpochMetrics]:
    """Return the epochs of a run so far; empty if they are not readable."""
    try:
        return read_history(RunPaths(folder).history)
    except (OSError, ValueError):
        return []


def result_lines(outcome: Outcome) -> list[str]:
    """Return the results of an ended run. The best epoch on the test images is shown only where it selects."""
    if isinstance(outcome, DivergedRecord):
        return [f"diverged in epoch {outcome.epoch}: {outcome.reason}"]
    found = [
        f"final test top-1 {outcome.final_test_top1:.2f} %, top-5 {outcome.final_test_top5:.2f} %, "
        f"loss {outcome.final_test_loss:.4f}"
    ]
    if outcome.selected_epoch is not None:
        found.append(
            f"final validation top-1 {outcome.final_val_top1:.2f} %; epoch {outcome.selected_epoch}, the best of "
            f"validation: test top-1 {outcome.selected_test_top1:.2f} %"
        )
    if outcome.spec.protocol == "paper":
        found.append(f"best test top-1 {outcome.best_test_top1:.2f} % in epoch {outcome.best_test_epoch}")
    return [
        *found,
        f"{outcome.macs / 1e6:,.1f} M multiply-adds, {outcome.params / 1e6:,.2f} M parameters",
        f"{duration(outcome.seconds)} in all, {outcome.train_images_per_second:,.0f} images/s while training beside "
        f"other jobs, {megabytes(outcome.peak_memory_bytes)} of memory",
    ]


def origin_lines(outcome: Outcome) -> list[str]:
    """Return device, versions and data of an ended run."""
    code = outcome.code
    commit = "no commit" if code.commit is None else f"commit {code.commit[:9]}{', changed' if code.dirty else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in code.versions.items())
    lines = [
        f"{outcome.started_at} on {outcome.device} ({outcome.device_name}) of {outcome.host.hostname}, "
        f"{plural(outcome.threads, 'thread')}, {outcome.precision}{', compiled' if outcome.compiled else ''}",
        *([f"not compiled: {outcome.not_compiled}"] if outcome.not_compiled else []),
        f"{versions}, Python {code.python}, {commit}",
        f"data sha256 {outcome.data_sha256[:12]}",
    ]
    kept = [outcome.weights_sha256] if isinstance(outcome, RunRecord) else []
    return [*lines, *(f"weights sha256 {sha256[:12]}" for sha256 in kept)]


def setting_lines(run: StudyRun) -> list[str]:
    """Return the settings of a run, a line for each of its parts."""
    lines = []
    for head, value in to_dict(run.spec).items():
        if isinstance(value, dict):
            given = {name: each for name, each in flat(value).items() if each not in (None, "")}
            lines.append(f"{head:<9}{', '.join(f'{name} {text_of(each)}' for name, each in given.items())}")
        elif head not in ("seed", "schema"):
            lines.append(f"{head:<9}{text_of(value)}")
    return lines


def text_of(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def curve_lines(history: list[EpochMetrics], *, shows_test: bool, width: int) -> list[str]:
    """Return the curves of a run as text: accuracy on the validation images, if there are any, and training loss.

    Args:
        shows_test: the accuracy is that on the test images, as the protocol of the run selects by it.
        width: of the terminal, in characters.
    """
    if len(history) < 2:
        return []
    name = "test" if shows_test else "validation"
    accuracies = [metrics.test_top1 if shows_test else metrics.val_top1 for metrics in history]
    values = [value for value in accuracies if value is not None]
    lines = plotted(values, title=f"{name} top-1 in %", width=width) if len(values) == len(history) else []
    return [*lines, *plotted([metrics.train_loss for metrics in history], title="training loss", width=width)]


def plotted(values: list[float], *, title: str, width: int) -> list[str]:
    """Return a plot of values by epoch in plain characters, its axes with the first and last numbers."""
    columns = max(2, min(len(values), MAX_COLUMNS, width - 14))
    shown = [values[round(column * (len(values) - 1) / (columns - 1))] for column in range(columns)]
    low, high = min(shown), max(shown)
    levels = [round((value - low) / (high - low) * (ROWS - 1)) if high > low else 0 for value in shown]
    lines = [f"{title}, by epoch"]
    for row in reversed(range(ROWS)):
        mark = f"{high:>8.2f}" if row == ROWS - 1 else f"{low:>8.2f}" if row == 0 else " " * 8
        lines.append(f"{mark} |{''.join('*' if level == row else ' ' for level in levels)}".rstrip())
    return [*lines, f"{'1':>10}{len(values):>{columns - 1}}"]
