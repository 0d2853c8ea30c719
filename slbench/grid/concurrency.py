"""How many jobs a device is given at a time: as many as finish the grid first and fit into its memory."""

from collections.abc import Callable, Mapping, Sequence

import psutil

from slbench import machine
from slbench.errors import InputError
from slbench.grid.estimate import Estimate, ProbeResults, estimate, probe_missing, unprobed
from slbench.grid.slots import Resolved, Slot, make_slots
from slbench.recipes import Precision
from slbench.store import Store
from slbench.study import StudyRun

MAX_ON_A_GPU = 4  # jobs at a time
SHARE_OF_MEMORY = 0.9


def candidates(devices: str, *, threads: int) -> list[list[Slot]]:
    """The packings that are worth a try: one job a device, two, four, eight, and as many as there are cores for."""
    single = make_slots(devices, jobs_per_device=1, threads=threads)
    most = max(1, machine.usable_cores() // threads)
    if any(slot.device.kind != "cpu" for slot in single):
        most = min(most, MAX_ON_A_GPU)
    counts = sorted({count for count in (1, 2, 4, 8, most) if count <= most})
    return [make_slots(devices, jobs_per_device=count, threads=threads) for count in counts]


def fits(found: Estimate, slots: Sequence[Slot]) -> bool:
    """Whether the largest job, on every slot at once, fits into the memory that is free now."""
    for slot in slots:
        beside = sum(other.device == slot.device for other in slots)
        free = slot.device.memory_bytes if slot.device.kind == "cuda" else psutil.virtual_memory().available
        if free and beside * found.peak_memory_bytes > SHARE_OF_MEMORY * free:
            return False
    return True


def choose(
    runs: Sequence[StudyRun],
    devices: str,
    *,
    threads: int,
    precisions: Mapping[Precision, Resolved],
    store: Store,
    tell: Callable[[str], None],
) -> int:
    """The number of jobs a device with which the runs would end first, by probes, made where they are missing.

    Raises:
        InputError: if no number fits into memory, or none could be probed.
    """
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    walls: dict[int, float] = {}
    for slots in candidates(devices, threads=threads):
        jobs = sum(slot.device == slots[0].device for slot in slots)
        probe_missing(unprobed(runs, slots, precisions=precisions, probes=probes), slots, store, tell=tell)
        found = estimate(runs, slots, precisions=precisions, probes=probes)
        if found is not None and fits(found, slots):
            walls[jobs] = found.wall_seconds
            tell(f"{jobs} at a time on a device: {found.wall_seconds:.0f} s in all")
    if not walls:
        raise InputError(
            "--jobs-per-device auto: no number of jobs could be tried within the memory that is free: "
            "name one, or a smaller recipe.batch_size"
        )
    return min(walls, key=lambda jobs: walls[jobs])
