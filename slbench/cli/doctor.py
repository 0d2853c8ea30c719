"""`slbench doctor`: what this machine can do, what is wrong and how to fix it."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from slbench import machine
from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.cli.terminal import Terminal
from slbench.data import DATASETS, DataConfig, verify
from slbench.data.config import check_writable
from slbench.data.sets.local import state_of
from slbench.data.specs import short
from slbench.errors import SlbenchError
from slbench.grid.slots import Device, choose, make_slots, resolve_precision
from slbench.grid.slots import devices as all_devices
from slbench.store import Store
from slbench.store_check import store_problems
from slbench.store_probe import store_faults, what_holds
from slbench.text import plural

CURE = "delete the folder of the run to run it again, or restore the file"  # of a problem in a store


@dataclass(frozen=True)
class CheckResult:
    """Result of one check."""

    what: str
    found: str
    cure: str = ""  # how to fix it; empty if the check passed


def doctor(
    store: options.StoreFolder = Path("results"),
    threads: options.Threads = 1,
    devices: options.Devices = "auto",
    data_root: options.DataRoot = None,
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Also compare each GPU with the CPU and time it (takes minutes).")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Check versions, devices, precision, data and the store.

    Exits with 1 if something is wrong.
    """
    console = Terminal(stderr=as_json, highlight=False, markup=False)
    chosen, findings = choose(devices), list[CheckResult]()
    for finding in examine(store, threads, devices, DataConfig.read(data_root)):
        findings.append(finding)
        console.print(f"{'WRONG' if finding.cure else 'ok':<6}{finding.what:<12}{finding.found}", soft_wrap=True)
        if finding.cure:
            console.print(f"      {'':<12}fix: {finding.cure}", soft_wrap=True)
    tests = test_gpus(console, chosen) if selftest else None
    passed = not any(finding.cure for finding in findings)
    passed = passed and (tests is None or (bool(tests) and all(test["passed"] for test in tests)))
    if as_json:
        checks = [
            {"name": each.what, "passed": not each.cure, "found": each.found, "fix": each.cure or None}
            for each in findings
        ]
        print_json({"passed": passed, "checks": checks, "selftest": tests})
    if not passed:
        raise typer.Exit(1)


def test_gpus(console: Console, devices: Sequence[Device]) -> list[dict[str, Any]]:
    """Print the self-test of every GPU among these; return its checks: none without a GPU."""
    from slbench.gpu_check import run_gpu_check

    chosen = [device for device in devices if device.kind == "cuda"]
    console.print("\nself-test of GPUs")
    if not chosen:
        console.print("NOT RUN: no usable GPU on this machine")
    tests = list[dict[str, Any]]()
    for device in chosen:
        console.print(f"{device.label}: {device.name}", soft_wrap=True)
        for check in run_gpu_check(device):
            tests.append({"device": device.label, "name": check.name, "passed": check.passed, "result": check.result})
            console.print(f"{'ok' if check.passed else 'FAILED':<7}{check.name:<14}{check.result}", soft_wrap=True)
    return tests


def examine(store: Path, threads: int, devices: str, data: DataConfig) -> Iterator[CheckResult]:
    """Yield every check, cheap ones first."""
    code, host = machine.code(), machine.host()
    versions = ", ".join(f"{name} {number}" for name, number in code.versions.items())
    yield CheckResult("versions", f"python {code.python}, {versions}")
    yield CheckResult(
        "commit",
        "not run from a git repository"
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
    yield from examine_data(data)
    yield from examine_store(store)
    try:
        slots = make_slots(devices, jobs_per_device=None, threads=threads)
    except SlbenchError as error:
        yield CheckResult("slots", str(error), f"use --threads {host.cores} or fewer")
        return
    names = ", ".join(slot.device.label for slot in slots)
    yield CheckResult(
        "slots", f"{plural(len(slots), 'slot')} with --devices {devices} and --threads {threads}: {names}"
    )
    try:
        yield CheckResult("precision", f"'auto' is {resolve_precision('auto', slots)} here")
    except SlbenchError as error:
        yield CheckResult("precision", str(error), "set the precision in the study, or select devices with --devices")


def examine_torch() -> Iterator[CheckResult]:
    try:
        import torch
    except ImportError as error:
        yield CheckResult("torch", f"cannot be imported: {error}", "make install, or pip install 'torch>=2.9'")
        return
    visible, present = torch.cuda.device_count(), len(machine.gpus())
    if present and not visible:
        yield CheckResult(
            "torch",
            f"{torch.__version__} sees none of {plural(present, 'GPU')}",
            "install a CUDA build of torch that matches the driver (see nvidia-smi)",
        )
    else:
        yield CheckResult("torch", f"{torch.__version__} imported, {plural(visible, 'CUDA device')}")


def examine_data(config: DataConfig) -> Iterator[CheckResult]:
    """Check the data root, the downloaded sets and the hashes of the bundled ones."""
    states = list[str]()
    try:
        check_writable(config.root)
        yield CheckResult("data root", str(config.root))
    except SlbenchError as error:
        yield CheckResult("data root", str(error), "set SLBENCH_DATA or use --data-root")
    for name, entry in DATASETS.items():
        if not entry.is_bundled:
            states.append(f"{name} {state_of(entry, config)}")
            continue
        try:
            with TemporaryDirectory() as folder:
                verify(entry.spec, config=DataConfig(Path(folder)))
            yield CheckResult("data", f"{name}: {short(entry.spec.content)} verified")
        except (SlbenchError, OSError) as error:
            yield CheckResult("data", f"{name}: {error}", "reinstall slbench: make install")
    yield CheckResult("data", ", ".join(states))


def examine_store(store: Path) -> Iterator[CheckResult]:
    try:
        Store(store).check(writing=True)
    except SlbenchError as error:
        yield CheckResult("store", str(error), "choose a writable folder with --store DIR")
        return
    try:
        faults = store_faults(store)
        shown = "" if faults else what_holds(store)
    except SlbenchError as error:
        faults, shown = [str(error)], ""
    yield from (CheckResult("store", f"{store}: {fault}", "choose a folder of another file system") for fault in faults)
    if shown:
        yield CheckResult("store", f"{store}: {shown}")
    lines = list(store_problems(Store(store)))
    yield from (CheckResult("store", line, CURE) for line in lines)
    found = plural(len(lines), "problem") if lines else "no problem found"
    yield CheckResult("store", f"{store}: {plural(len(Store(store).ids()), 'run')}, {found}")
