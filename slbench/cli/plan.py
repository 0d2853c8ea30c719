"""What a plan says of the cost of a grid before it runs."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slbench.errors import InputError
from slbench.grid.estimate import Estimate, ProbeResults, setting_of, unprobed
from slbench.grid.launch import PreparedGrid
from slbench.grid.status import GridStatus
from slbench.stats.intervals import t_bound
from slbench.stats.sequential import confidence
from slbench.study import SeedRule, StudyRun
from slbench.text import duration, megabytes


def check_plan_flags(*, plan: bool, probe: bool, speeds: Path | None, save_speeds: Path | None) -> None:
    """Raises InputError for flags of a plan without it, or against each other."""
    if not plan and (probe or speeds or save_speeds):
        raise InputError("--probe, --speeds and --save-speeds belong to a plan: add --plan")
    if save_speeds is not None and (save_speeds.is_dir() or not save_speeds.absolute().parent.is_dir()):
        raise InputError(f"--save-speeds {save_speeds}: must be a file in a folder that is there")
    if probe and speeds:
        raise InputError("--probe measures here, and --speeds brings what another machine measured: choose one")


def plan_lines(
    grid: PreparedGrid,
    probes: ProbeResults,
    cost: Estimate | None,
    standing: GridStatus,
    *,
    rule: SeedRule | None = None,
) -> Iterator[str]:
    """Work, time and space of the runs that are not finished, and what their seeds can show.

    Args:
        rule: of the study's seeds, which may add runs to these.
    """
    todo = grid.todo
    if not todo:
        return
    from slbench.measure.compute_budget import total

    work = total(run.spec for run in todo)
    yield (
        f"to do: {len(todo)} runs, {work.images:,} training images, {work.macs:.3g} multiply-adds "
        "(training and evaluation; backward counted as twice forward)"
    )
    if cost is None:
        missing = len(unprobed(todo, grid.slots, precisions=grid.precisions, probes=probes))
        yield f"time: not known for {missing} kind{'' if missing == 1 else 's'} of job: --plan --probe measures"
    else:
        yield from time_lines(grid, probes, cost)
    if rule is not None:
        yield f"seeds: one more at a time, up to {rule.max}, where a comparison with the plain row is undecided"
    yield smallest_effect(standing, level=confidence(rule))


def time_lines(grid: PreparedGrid, probes: ProbeResults, cost: Estimate) -> Iterator[str]:
    """The time of each kind of job, and of all of them."""
    kinds = defaultdict[tuple[str, str, str], list[float]](list)
    for run in grid.todo:
        kinds[run.labels.backbone, run.labels.method, run.labels.dataset].append(cost.job_seconds[run.spec.run_id])
    for names, seconds in kinds.items():
        yield f"        {' '.join(names)}: {len(seconds)} x {duration(statistics.mean(seconds))}"
    first = grid.slots[0]
    probe = probes.get(
        grid.todo[0].spec, setting_of(first, grid.slots, grid.precisions[grid.todo[0].spec.recipe.precision])
    )
    assert probe is not None, "the cost was estimated from it"
    devices = ", ".join(dict.fromkeys(slot.device.label for slot in grid.slots))
    random = "; with random images, for the data are not here" if probe.data == "random" else ""
    yield (
        f"time: {duration(cost.wall_seconds)} with {len(grid.slots)} jobs at a time on {devices}, "
        f"images/s not included (probed on {probe.device_name}{random}); "
        f"{megabytes(cost.disk_bytes, digits=0)} on the disk; "
        f"{cost.peak_memory_bytes / 1e9:.2f} GB of memory for the largest job"
    )


def smallest_effect(standing: GridStatus, *, level: float = 0.95) -> str:
    """How large a difference between two rows must be for a paired t test of all seeds to tell it from none."""
    seeds = len({run.spec.seed for run in standing.runs})
    if seeds == 1:
        return "smallest effect: with one seed no difference between rows can be told from noise"
    times = t_bound(seeds - 1, level) / seeds**0.5
    spread = paired_spread(standing)
    at = f"(t, {100 * level:.4g} %) above {times:.2f} times"
    words = f"smallest effect: with {seeds} seeds a paired difference shows {at}"
    if spread is None:
        return f"{words} its standard deviation over seeds, which no finished runs tell yet"
    return f"{words} its standard deviation over seeds; as finished so far {spread:.2f} points, so {times * spread:.2f}"


def paired_spread(standing: GridStatus) -> float | None:
    """Standard deviation over seeds of the difference of two rows, pooled, in points; None with too few runs."""
    cells = defaultdict[tuple[str, ...], dict[int, float]](dict)
    for run in standing.runs:
        record = standing.records.get(run.spec.run_id)
        if record is not None:
            cells[cell_of(run)][run.spec.seed] = record.final_test_top1
    squares, freedom = 0.0, 0
    rows = list(cells)
    for i, one in enumerate(rows):
        for other in rows[i + 1 :]:
            if one[1:] != other[1:]:
                continue
            pairs = [cells[one][seed] - cells[other][seed] for seed in cells[one].keys() & cells[other].keys()]
            if len(pairs) > 1:
                squares += statistics.variance(pairs) * (len(pairs) - 1)
                freedom += len(pairs) - 1
    return (squares / freedom) ** 0.5 if freedom else None


def cell_of(run: StudyRun) -> tuple[str, ...]:
    """The row, and then what two rows must share to be compared."""
    return (run.labels.method, run.labels.backbone, run.labels.dataset, repr(run.spec.recipe), run.spec.protocol)


def compared(cost: Estimate, took: float) -> str:
    """The plan beside the truth."""
    return (
        f"planned {duration(cost.wall_seconds)}, took {duration(took)} ({100 * (took / cost.wall_seconds - 1):+.0f} %)"
    )


def plan_document(grid: PreparedGrid, cost: Estimate | None) -> dict[str, Any]:
    """What a plan adds to `--json`."""
    from slbench.measure.compute_budget import total

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
        }
    }
