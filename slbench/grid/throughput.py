"""Measure the throughput of the networks of a grid after it, in one worker that has the machine to itself."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from slbench import machine
from slbench.grid.events import Event, Measuring, ThroughputDisturbed, ThroughputFailed
from slbench.grid.failures import failure
from slbench.grid.messages import SpeedTest
from slbench.grid.processes import spawn, stop, worker_device
from slbench.grid.slots import Device
from slbench.measure.network import Network
from slbench.measure.throughput_keys import network_key, record_key
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun


def missing_tests(
    runs: Sequence[StudyRun], store: Store, devices: Sequence[Device], *, disturbed: bool = False
) -> list[tuple[Device, SpeedTest]]:
    """Return the throughput tests that a report on these runs lacks, by device, threads and precision.

    Only finished runs of this machine count, on kinds of device among `devices`.

    Args:
        disturbed: repeat those during which other processes used the machine.
    """
    by_kind = {device.kind: device for device in reversed(devices)}
    here = machine.host().machine_id
    networks: dict[tuple[str, int, str], dict[str, Network]] = defaultdict(dict)
    unmeasured = set()
    for record in store.records(run.spec.run_id for run in runs):
        kind = record.device.partition(":")[0]
        if record.host.machine_id == here and kind in by_kind:
            setting = (kind, record.threads, record.precision)
            networks[setting][record_key(record)] = Network.of(record.spec)
            known = store.throughput(here, record_key(record))
            if known is None or (disturbed and known.is_disturbed):
                unmeasured.add(setting)
    # speeds are compared, so all networks of a setting are measured in turns, or none
    return [
        (by_kind[setting[0]], speed_test(setting, networks[setting], store, by_kind))
        for setting in networks
        if setting in unmeasured
    ]


def speed_test(
    setting: tuple[str, int, str], networks: dict[str, Network], store: Store, by_kind: dict[str, Device]
) -> SpeedTest:
    kind, threads, precision = setting
    device = by_kind[kind]
    return SpeedTest(
        networks=tuple(networks.values()),
        store=str(store.root),
        device=worker_device(device),
        device_label=device.label,
        device_name=device.name,
        threads=threads,
        precision="bf16" if precision == "bf16" else "fp32",
    )


def measure_missing(
    runs: Sequence[StudyRun],
    store: Store,
    devices: Sequence[Device],
    *,
    on_event: Callable[[Event], None],
    disturbed: bool = False,
) -> None:
    """Measure the throughput that a report on these runs lacks, and add it to the store.

    Args:
        disturbed: as in `missing_tests`.
    """
    for device, test in missing_tests(runs, store, devices, disturbed=disturbed):
        on_event(Measuring(len(test.networks)))
        log_path = store.root / "throughput" / RunPaths.log
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            with log_path.open("wb") as log:
                process = spawn(test, device, threads=test.threads, log=log)
        except OSError as error:
            on_event(ThroughputFailed(f"{log_path}: {error.strerror}"))
            return
        try:
            process.wait()
        finally:
            stop([process])
        if process.returncode != 0:
            on_event(ThroughputFailed(failure(process.returncode, log_path).reason))
            continue
        key = network_key(test.networks[0], device_kind=device.kind, threads=test.threads, precision=test.precision)
        measured = store.throughput(machine.host().machine_id, key)
        if measured is not None and measured.is_disturbed:
            on_event(ThroughputDisturbed(measured.other_load or 0.0, measured.cores or 0))
