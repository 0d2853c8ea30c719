"""Number of concurrent jobs per device: the fastest that fits into memory."""

from collections.abc import Callable, Mapping, Sequence

from slbench import machine
from slbench.errors import InputError
from slbench.grid.estimate import Estimate, ProbeResults, estimate, probe_missing, unprobed
from slbench.grid.slots import Resolved, Slot, free_memory, make_slots
from slbench.recipes import Precision
from slbench.store import Store
from slbench.study import StudyRun

MAX_ON_A_GPU = 4  # jobs at a time
SHARE_OF_MEMORY = 0.9


def candidates(devices: str, *, threads: int) -> list[list[Slot]]:
    """Return the slots of each number of jobs per device to try: 1, 2, 4, 8 and as many as there are cores."""
    single = make_slots(devices, jobs_per_device=1, threads=threads)
    limit = max(1, machine.usable_cores() // threads)
    if any(slot.device.kind != "cpu" for slot in single):
        limit = min(limit, MAX_ON_A_GPU)
    counts = sorted({count for count in (1, 2, 4, 8, limit) if count <= limit})
    return [make_slots(devices, jobs_per_device=count, threads=threads) for count in counts]


def fits(cost: Estimate, slots: Sequence[Slot]) -> bool:
    """Return whether the largest job fits into the free memory on every slot at once."""
    for slot in slots:
        beside = sum(other.device == slot.device for other in slots)
        free = free_memory(slot.device)
        if free and beside * cost.peak_memory_bytes > SHARE_OF_MEMORY * free:
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
    """Return the number of jobs per device with the shortest estimated total time, probing jobs where needed.

    Raises:
        InputError: if no number fits into memory, or none could be probed.
    """
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    seconds: dict[int, float] = {}
    for slots in candidates(devices, threads=threads):
        jobs = sum(slot.device == slots[0].device for slot in slots)
        probe_missing(unprobed(runs, slots, precisions=precisions, probes=probes), slots, store, tell=tell)
        cost = estimate(runs, slots, precisions=precisions, probes=probes)
        if cost is not None and fits(cost, slots):
            seconds[jobs] = cost.wall_seconds
            tell(f"{jobs} at a time on a device: {cost.wall_seconds:.0f} s in all")
    if not seconds:
        raise InputError(
            "--jobs-per-device: auto: no number of jobs could be tried within the memory that is free; "
            "name one, or a smaller recipe.batch_size"
        )
    return min(seconds, key=lambda jobs: seconds[jobs])
