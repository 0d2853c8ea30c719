"""`slbench doctor`: what this machine can do, what is wrong with it, and how to mend it."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slbench import machine
from slbench.cli import options
from slbench.data import DATASETS, load, paths
from slbench.data.published_cache import state_of
from slbench.data.specs import short
from slbench.errors import SlbenchError
from slbench.grid.slots import choose, make_slots, resolve_precision
from slbench.grid.slots import devices as all_devices
from slbench.store import Store


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at."""

    what: str
    found: str
    cure: str = ""  # what to do about it; empty if it is well


def doctor(
    store: options.StoreFolder = Path("results"),
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    data_root: options.DataRoot = None,
    selftest: Annotated[
        bool, typer.Option("--run_gpu_check", help="Also compare each GPU with the processor, and time it (minutes).")
    ] = False,
) -> None:
    """Check versions, devices, slots, precision, data and store. Exit code 1 if something is wrong."""
    options.use_data_root(data_root)
    console = Console(highlight=False, markup=False)
    unwell = False
    for finding in examine(store, threads):
        unwell = unwell or bool(finding.cure)
        console.print(f"{'WRONG' if finding.cure else 'ok':<6}{finding.what:<12}{finding.found}", soft_wrap=True)
        if finding.cure:
            console.print(f"      {'':<12}to mend it: {finding.cure}", soft_wrap=True)
    if selftest:
        unwell = not test_gpus(console, devices) or unwell
    if unwell:
        raise typer.Exit(1)


def test_gpus(console: Console, wanted: str) -> bool:
    """Print the self-test of every GPU asked for; whether all was run, and well."""
    from slbench.gpu_check import run_gpu_check

    chosen = [device for device in choose(wanted) if device.kind == "cuda"]
    console.print("\nself-test of GPUs")
    if not chosen:
        console.print("NOT RUN: this machine has no GPU that could be used; nothing of it was tested.")
        return False
    passed = True
    for device in chosen:
        console.print(f"{device.label}: {device.name}", soft_wrap=True)
        for check in run_gpu_check(device):
            passed = passed and check.passed
            console.print(f"{'ok' if check.passed else 'FAILED':<7}{check.name:<14}{check.result}", soft_wrap=True)
    return passed


def examine(store: Path, threads: int) -> Iterator[CheckResult]:
    """Every finding, cheap ones first."""
    code, host = machine.code(), machine.host()
    versions = ", ".join(f"{name} {number}" for name, number in code.versions.items())
    yield CheckResult("versions", f"python {code.python}, {versions}")
    yield CheckResult(
        "commit",
        "not run from its repository"
        if code.commit is None
        else f"{code.commit[:12]}{' (changed)' if code.dirty else ''}",
    )
    yield CheckResult(
        "machine", f"{host.cpu}, {host.cores} cores usable, {host.memory_bytes / 2**30:.1f} GiB, {platform.system()}"
    )
    yield from examine_torch()
    for device in all_devices().values():
        yield CheckResult(
            "device", f"{device.label}: {device.name}, {'bf16' if device.computes_bf16 else 'no native bf16'}"
        )
    yield from examine_data()
    yield from examine_store(store)
    try:
        slots = make_slots("auto", jobs_per_device=None, threads=threads)
    except SlbenchError as error:
        yield CheckResult("slots", str(error), f"give --threads {host.cores} or fewer")
        return
    names = ", ".join(slot.device.label for slot in slots)
    yield CheckResult("slots", f"{len(slots)} with --devices auto and --threads {threads}: {names}")
    try:
        yield CheckResult("precision", f"'auto' is {resolve_precision('auto', slots)} here")
    except SlbenchError as error:
        yield CheckResult("precision", str(error), "name the precision in the study, or the devices with --devices")


def examine_torch() -> Iterator[CheckResult]:
    try:
        import torch
    except ImportError as error:
        yield CheckResult("torch", f"cannot be imported: {error}", "make install, or pip install 'torch>=2.9'")
        return
    seen, there = torch.cuda.device_count(), len(machine.gpus())
    if there and not seen:
        yield CheckResult(
            "torch",
            f"{torch.__version__} sees none of {there} GPUs",
            "install a CUDA build of torch that fits the driver (nvidia-smi)",
        )
    else:
        yield CheckResult("torch", f"{torch.__version__} imports, {seen} CUDA devices")


def examine_data() -> Iterator[CheckResult]:
    """Where data are kept, which sets are here, and that those that ship with slbench hold what their hash says."""
    root, states = paths.data_root(), list[str]()
    try:
        paths.check_writable(root)
        yield CheckResult("data root", str(root))
    except SlbenchError as error:
        yield CheckResult("data root", str(error), "set SLBENCH_DATA, or give --data-root")
    for name, entry in DATASETS.items():
        if entry.archives:
            states.append(f"{name} {state_of(name, entry.archives)}")
            continue
        try:
            load(entry.spec)
            yield CheckResult("data", f"{name}: {short(entry.spec.content)} verified")
        except (SlbenchError, OSError) as error:
            yield CheckResult("data", f"{name}: {error}", "reinstall slbench: make install")
    yield CheckResult("data", ", ".join(states))


def examine_store(store: Path) -> Iterator[CheckResult]:
    try:
        Store(store).check(writing=True)
    except SlbenchError as error:
        yield CheckResult("store", str(error), "give a folder that can be written to with --store DIR")
        return
    damaged = []
    finished = 0
    for folder in Store(store).ids().values():
        if (folder / "record.json").exists():
            try:
                list(Store(store).records([folder.name.rsplit("-", 1)[-1]]))
                finished += 1
            except SlbenchError as error:
                damaged.append(str(error))
    if damaged:
        yield CheckResult("store", damaged[0], "delete the folder of that run; the next grid makes it again")
    yield CheckResult("store", f"{store}: {finished} finished runs")
