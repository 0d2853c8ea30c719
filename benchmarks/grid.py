"""Eight small jobs run three ways: one after the other with all threads, all at once, and packed by slbench.

make bench-grid
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slbench import __version__, machine
from slbench.grid.local import LocalExecutor
from slbench.grid.slots import Slot, choose, make_slots, resolve_precision
from slbench.store import Store
from slbench.study import Study, make_study

STUDY = {
    "grid": {
        "backbone": [{"name": "vit", "label": "ViT-small", "patch_size": 8, "dim": 96, "depth": 4, "num_heads": 4}],
        "method": ["none", "both"],
        "seed": [0, 1, 2, 3],
    },
    "set": {"recipe.epochs": 1, "recipe.precision": "fp32"},
}


def seconds(study: Study, slots: list[Slot]) -> float:
    """Return the seconds that all runs of a study take on these slots."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        precision = resolve_precision("fp32", slots)
        executor = LocalExecutor(slots, store=store, precisions={"fp32": precision}, on_event=lambda event: None)
        began = time.perf_counter()
        failed = executor.run(study.runs)
        took = time.perf_counter() - began
        assert failed == 0, "a job of the benchmark failed"
        return took


def ways() -> dict[str, Callable[[], list[Slot]]]:
    """Return the slots of each way."""
    cores = machine.usable_cores()
    (cpu,) = choose("cpu")
    return {
        f"one at a time, {cores} threads": lambda: [Slot(0, cpu, cores)],
        f"{cores} at a time, {cores} threads each": lambda: [Slot(i, cpu, cores) for i in range(cores)],
        "slbench": lambda: make_slots("cpu", jobs_per_device=None, threads=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    study = make_study(STUDY, name="bench", where="benchmarks/grid.py")
    taken: dict[str, list[float]] = {name: [] for name in ways()}
    for _ in range(rounds):
        for name, slots in ways().items():
            taken[name].append(seconds(study, slots()))
            print(f"{name}: {taken[name][-1]:.1f} s", flush=True)
    host = machine.host()
    print(
        f"\n{len(study.runs)} jobs on {host.cpu}, {host.cores} cores; slbench {__version__}; {rounds} rounds in turns"
    )
    ours = taken.pop("slbench")
    print(f"slbench, {machine.usable_cores()} at a time, 1 thread each: median {statistics.median(ours):.1f} s")
    for name, others in taken.items():
        ratios = sorted(other / own for other, own in zip(others, ours, strict=True))
        print(f"{name}: {statistics.median(ratios):.2f} times ours ({ratios[0]:.2f} to {ratios[-1]:.2f}, n = {rounds})")


if __name__ == "__main__":
    main()
