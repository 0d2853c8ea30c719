"""What a grid costs besides training: packing of jobs, the rest of an epoch, the start of a job, the waste of a grid.

make bench-grid. CPU seconds (user and system, of all processes) disturb each other least beside other programs; wall
time is printed beside them, and only on an idle machine it says how long a grid takes.

ways: eight small jobs one after the other with all threads, all at once, and packed by slbench.
epoch: a whole epoch of a run, against as many bare steps and forward passes on one batch in memory.
start: a job after the first in a slot, from its message to its first step.
waste: a grid of jobs of ten seconds, against the bare steps and forward passes of its jobs, and the share of its slots'
wall time that is neither training steps nor the forward passes of evaluation.
"""

import argparse
import dataclasses
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from slbench import __version__, machine
from slbench.grid.local import LocalExecutor
from slbench.grid.slots import Slot, choose, make_slots
from slbench.store import Store
from slbench.study import Study, StudyRun, make_study

BACKBONE = {"name": "vit", "label": "ViT-small", "patch_size": 8, "dim": 96, "depth": 4, "num_heads": 4}
JOB_SECONDS = 10.0  # of the jobs whose waste is measured
PARTS = ("ways", "epoch", "start", "waste")


@dataclasses.dataclass
class Cost:
    """What a block took."""

    wall: float = 0.0  # s
    cpu: float = 0.0  # s of this process and of those that it has waited for
    steps: float = 0.0  # s of wall time in training steps, of all jobs of a grid


def cpu_seconds() -> float:
    """Return the CPU seconds, user and system, of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def timed() -> Iterator[Cost]:
    """Yield a cost that is complete after the block."""
    cost, wall, cpu = Cost(), time.perf_counter(), cpu_seconds()
    yield cost
    cost.wall, cost.cpu = time.perf_counter() - wall, cpu_seconds() - cpu


def study_of(*, methods: Sequence[str], seeds: int, epochs: int) -> Study:
    """Return a study of small jobs."""
    grid = {"backbone": [BACKBONE], "method": list(methods), "seed": list(range(seeds))}
    settings = {"recipe.epochs": epochs, "recipe.precision": "fp32"}
    return make_study({"grid": grid, "set": settings}, name="bench", where="benchmarks/grid.py")


def run_grid(study: Study, slots: list[Slot]) -> Cost:
    """Return what all runs of a study cost on these slots, with the start and end of their processes."""
    with tempfile.TemporaryDirectory() as folder:
        executor = LocalExecutor(
            slots, store=Store(Path(folder)), precisions={"fp32": "fp32"}, on_event=lambda event: None
        )
        with timed() as cost:
            failed = executor.run(study.runs)
        assert failed == 0, "a job of the benchmark failed"
        for record in executor.store.records(run.spec.run_id for run in study.runs):
            samples = record.spec.recipe.epochs * record.spec.samples_per_epoch
            cost.steps += samples / record.train_images_per_second
        return cost


def ways() -> dict[str, Callable[[], list[Slot]]]:
    """Return the slots of each way."""
    cores = machine.usable_cores()
    (cpu,) = choose("cpu")
    return {
        f"one at a time, {cores} threads": lambda: [Slot(0, cpu, cores)],
        f"{cores} at a time, {cores} threads each": lambda: [Slot(i, cpu, cores) for i in range(cores)],
        "slbench": lambda: make_slots("cpu", jobs_per_device=None, threads=1),
    }


def print_ways(rounds: int) -> None:
    """Print the wall time of the ways, in turns, as multiples of slbench's."""
    study = study_of(methods=("none", "both"), seeds=4, epochs=1)
    taken: dict[str, list[float]] = {name: [] for name in ways()}
    for _ in range(rounds):
        for name, slots in ways().items():
            cost = run_grid(study, slots())
            taken[name].append(cost.wall)
            print(f"{name}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s", flush=True)
    ours = taken.pop("slbench")
    print(f"slbench, {machine.usable_cores()} at a time, 1 thread each: median {statistics.median(ours):.1f} s")
    for name, others in taken.items():
        ratios = sorted(other / own for other, own in zip(others, ours, strict=True))
        print(f"{name}: {statistics.median(ratios):.2f} times ours ({ratios[0]:.2f} to {ratios[-1]:.2f}, n = {rounds})")


@dataclasses.dataclass(frozen=True)
class JobCosts:
    """CPU seconds of a job that ran in this process."""

    start: float  # from its message to the end of its first step, without that step
    epochs: list[float]  # whole epochs: evaluation, metrics, checkpoint, progress, and the steps of the next one
    end: float  # from the last step to the record, with the last evaluation


def job_costs(run: StudyRun, *, step: float) -> JobCosts:
    """Train a run in this process, as a worker does; return the CPU seconds of its parts.

    Args:
        step: CPU seconds of a bare step.
    """
    import torch

    from slbench.grid.messages import Job
    from slbench.train.run import execute

    with tempfile.TemporaryDirectory() as folder:
        store, steps = Store(Path(folder)), run.spec.steps_per_epoch
        store.begin(run.spec, run.labels)
        job = Job(
            spec=run.spec, labels=run.labels, data=run.data, store=folder, device="cpu", device_label="cpu",
            device_name=machine.cpu_name(), threads=1, precision="fp32",
        )  # fmt: skip
        message, marks = job.model_dump_json(), list[tuple[int, float]]()
        began = time.process_time()
        job = Job.model_validate_json(message)
        execute(
            job.spec,
            job.labels,
            data=job.data,
            store=store,
            device=torch.device("cpu"),
            device_label=job.device_label,
            device_name=job.device_name,
            precision=job.precision,
            threads=job.threads,
            on_progress=lambda progress: marks.append((progress.step, time.process_time())),
        )
        ended = time.process_time()
    ends = [at for done, at in marks if done % steps == 0]
    return JobCosts(
        start=marks[0][1] - began - step,
        epochs=[after - before for before, after in pairwise(ends)],
        end=ended - ends[-1],
    )


@dataclasses.dataclass(frozen=True)
class BareCosts:
    """CPU seconds of the work that no run can do without."""

    step: float  # forward, backward, optimizer, on one batch in memory
    image: float  # forward pass of the evaluation, per image


def bare_costs(run: StudyRun, *, steps: int = 60, passes: int = 4) -> BareCosts:
    """Return the CPU seconds of bare steps and forward passes, after one that is not counted."""
    import torch

    from slbench.data import load
    from slbench.torch_runtime import reproducible
    from slbench.train.loop import EVALUATION_BATCH
    from slbench.train.run import prepare

    with reproducible(1):
        splits = load(run.spec.dataset, "", run.data)
        training, network = prepare(
            run.spec, splits, device=torch.device("cpu"), precision="fp32", on_progress=lambda progress: None
        )
        batch = next(iter(training.training.training(run.spec.recipe, seed=0, epoch=1)))
        images, _ = next(iter(training.test.in_order(EVALUATION_BATCH)))
        network.train()
        training._step([batch], epoch=1, first=0)
        began = time.process_time()
        for _ in range(steps):
            training._step([batch], epoch=1, first=0)
        step = (time.process_time() - began) / steps
        network.eval()
        with torch.no_grad():
            network(images)
            began = time.process_time()
            for _ in range(passes):
                network(images)
        return BareCosts(step=step, image=(time.process_time() - began) / passes / len(images))


def evaluated(run: StudyRun) -> int:
    """Return the images that are evaluated after an epoch."""
    return run.spec.dataset.num_test + run.spec.dataset.num_validation


def print_parts(rounds: int) -> None:
    """Print the share of bare work in an epoch, and the start of the second and later jobs of a process."""
    machine.keep_freed_memory()  # as workers do
    (run,) = study_of(methods=("both",), seeds=1, epochs=2).runs
    job_costs(run, step=0.0)  # the first job, with all imports
    shares, without, starts, rest = list[float](), list[float](), list[float](), list[float]()
    for _ in range(rounds):
        bare = bare_costs(run)
        job = job_costs(run, step=bare.step)
        steps, forward = run.spec.steps_per_epoch * bare.step, evaluated(run) * bare.image
        for epoch in job.epochs:
            shares.append((steps + forward) / epoch)
            without.append(steps / epoch)
        starts.append(job.start)
        rest.append(job.end - forward)
        print(f"step {1e3 * bare.step:.1f} ms, {1 / bare.image:,.0f} images/s evaluated, {job}", file=sys.stderr)
    print(
        f"epoch: bare steps and forward passes of evaluation {spread(shares, percent=True)} of its CPU time, ", end=""
    )
    print(f"bare steps alone {spread(without, percent=True)}")
    print(f"start of a job after the first: {spread(starts)} CPU s; end, without evaluation: {spread(rest)} CPU s")


def print_waste(runs: int) -> None:
    """Print which share of a grid's CPU time is none of the bare work of its jobs."""
    (run,) = study_of(methods=("both",), seeds=1, epochs=1).runs
    bare = bare_costs(run)
    epoch = run.spec.steps_per_epoch * bare.step + evaluated(run) * bare.image
    epochs = max(1, round(JOB_SECONDS / epoch))
    study = study_of(methods=("both",), seeds=runs, epochs=epochs)
    slots = make_slots("cpu", jobs_per_device=None, threads=1)
    cost = run_grid(study, slots)
    again = bare_costs(run)
    steps, image = ((one + other) / 2 for one, other in zip(astuple(bare), astuple(again), strict=True))
    forward = runs * epochs * evaluated(run) * image
    useful = runs * epochs * run.spec.steps_per_epoch * steps + forward
    waste = cost.cpu - useful
    print(
        f"{runs} jobs of {useful / runs:.1f} s in {len(slots)} slots: {cost.cpu:.1f} CPU s, of which waste "
        f"{100 * waste / cost.cpu:.1f} % ({waste / runs:.2f} s a job); {cost.wall:.1f} s of wall time"
    )
    held = len(slots) * cost.wall
    shares = ", ".join(
        f"{name} {100 * seconds / held:.1f} %"
        for name, seconds in {
            "training steps": cost.steps,
            "forward passes of evaluation": forward,
            "waste": held - cost.steps - forward,
        }.items()
    )
    print(f"wall time of the slots, on an idle machine: {shares}")


def astuple(bare: BareCosts) -> tuple[float, float]:
    return bare.step, bare.image


def spread(values: Sequence[float], *, percent: bool = False) -> str:
    """Return median and range."""
    factor, unit, digits = (100, " %", 1) if percent else (1, "", 2)
    low, middle, high = (factor * each for each in (min(values), statistics.median(values), max(values)))
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f}, n = {len(values)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=100, help="of the grid whose waste is measured")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    host = machine.host()
    print(f"{host.cpu}, {host.cores} cores; slbench {__version__}; {options.rounds} rounds in turns\n", flush=True)
    if {"epoch", "start"} & set(options.parts):
        print_parts(options.rounds)
    if "waste" in options.parts:
        print_waste(options.jobs)
    if "ways" in options.parts:
        print_ways(options.rounds)


if __name__ == "__main__":
    main()
