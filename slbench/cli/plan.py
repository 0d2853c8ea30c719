"""The cost of a grid before it runs."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slbench.errors import InputError
from slbench.grid.estimate import Estimate, ProbeResults, setting_of, unprobed
from slbench.grid.launch import PreparedGrid
from slbench.grid.status import GridStatus
from slbench.study import Study
from slbench.text import duration, megabytes, plural, shown


def check_plan_flags(*, plan: bool, probe: bool, speeds: Path | None, save_speeds: Path | None) -> None:
    """Raise InputError for plan flags without --plan, or that exclude each other."""
    if not plan and (probe or speeds or save_speeds):
        raise InputError("--probe, --speeds and --save-speeds need --plan")
    if save_speeds is not None and (save_speeds.is_dir() or not save_speeds.absolute().parent.is_dir()):
        raise InputError(f"--save-speeds: must be a file in an existing folder (got {shown(save_speeds)})")
    if probe and speeds:
        raise InputError(
            "--probe and --speeds cannot be combined; --probe measures here, --speeds reads results of another machine"
        )


def plan_lines(
    grid: PreparedGrid,
    probes: ProbeResults,
    cost: Estimate | None,
    standing: GridStatus,
    *,
    study: Study,
) -> Iterator[str]:
    """Yield work, time and disk space of the unfinished runs, and the differences that the study decides."""
    from slbench.measure.compute_budget import total
    from slbench.report.planned import plan, power_lines

    todo, rule = grid.todo, study.seeds
    if not todo:
        return

    work = total(run.spec for run in todo)
    yield (
        f"to do: {plural(len(todo), 'run')}, {work.images:,} training images, {work.macs:.3g} multiply-adds "
        "(training and evaluation; backward counted as twice forward)"
    )
    if cost is None:
        missing = len(unprobed(todo, grid.slots, precisions=grid.precisions, probes=probes))
        yield f"time: unknown for {plural(missing, 'kind')} of job; measure with --plan --probe"
    else:
        yield from time_lines(grid, probes, cost)
    if rule is not None:
        yield f"seeds: one more at a time, up to {rule.max}, until the study's questions are decided"
    yield from power_lines(plan(study, standing.records.values()))


def time_lines(grid: PreparedGrid, probes: ProbeResults, cost: Estimate) -> Iterator[str]:
    """Yield the time of each kind of job, and the total."""
    cells = defaultdict[str, list[float]](list)
    for run in grid.todo:
        cells[run.cell].append(cost.job_seconds[run.spec.run_id])
    for name, seconds in cells.items():
        yield f"        {name}: {len(seconds)} x {duration(statistics.mean(seconds))}"
    first = grid.slots[0]
    probe = probes.get(
        grid.todo[0].spec, setting_of(first, grid.slots, grid.precisions[grid.todo[0].spec.recipe.precision])
    )
    assert probe is not None, "the cost was estimated from it"
    devices = ", ".join(dict.fromkeys(slot.device.label for slot in grid.slots))
    random = "; on random images, as the data are not on this machine" if probe.data == "random" else ""
    yield (
        f"time: {duration(cost.wall_seconds)} with {plural(len(grid.slots), 'job')} at a time on {devices}, "
        f"without measuring images/s (probed on {probe.device_name}{random}); "
        f"{megabytes(cost.disk_bytes, digits=0)} on the disk; "
        f"{cost.peak_memory_bytes / 1e9:.2f} GB of memory for the largest job"
    )


def compared(cost: Estimate, took: float) -> str:
    """Return the planned time beside the measured time."""
    return (
        f"planned {duration(cost.wall_seconds)}, took {duration(took)} ({100 * (took / cost.wall_seconds - 1):+.0f} %)"
    )


def plan_document(grid: PreparedGrid, cost: Estimate | None, standing: GridStatus, *, study: Study) -> dict[str, Any]:
    """Return what a plan adds to `--json`."""
    from slbench.measure.compute_budget import total
    from slbench.report.planned import plan, power_document

    work = total(run.spec for run in grid.todo)
    return {
        "plan": {
            "runs": len(grid.todo),
            "training_images": work.images,
            "macs": work.macs,
            "slots": [slot.device.label for slot in grid.slots],
            "wall_seconds": None if cost is None else cost.wall_seconds,
            "job_seconds": None if cost is None else dict(cost.job_seconds),
            "disk_bytes": None if cost is None else cost.disk_bytes,
            "peak_memory_bytes": None if cost is None else cost.peak_memory_bytes,
            "power": power_document(plan(study, standing.records.values())),
        }
    }
