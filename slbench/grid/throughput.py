"""After a grid: the speed of its networks, each machine setting measured in a child that has the machine alone."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from slbench import machine
from slbench.grid.events import Event, Measuring, ThroughputFailed
from slbench.grid.failures import failure
from slbench.grid.messages import SpeedTest
from slbench.grid.processes import LOG, in_child, spawn, stop
from slbench.grid.slots import Device
from slbench.measure.network import Network
from slbench.measure.throughput_keys import record_key
from slbench.store import Store
from slbench.study import StudyRun


def missing_tests(runs: Sequence[StudyRun], store: Store, devices: Sequence[Device]) -> list[tuple[Device, SpeedTest]]:
    """What is left to measure for a report on these runs, by device, threads and precision.

    Only finished runs of this machine count, on kinds of device that are at hand.
    """
    at_hand = {device.kind: device for device in reversed(devices)}
    here = machine.host().machine_id
    networks: dict[tuple[str, int, str], dict[str, Network]] = defaultdict(dict)
    unmeasured = set()
    for record in store.records(run.spec.run_id for run in runs):
        kind = record.device.partition(":")[0]
        if record.host.machine_id == here and kind in at_hand:
            setting = (kind, record.threads, record.precision)
            networks[setting][record_key(record)] = Network.of(record.spec)
            if store.throughput(here, record_key(record)) is None:
                unmeasured.add(setting)
    # A setting is measured whole or not at all: speeds are compared, so they are taken in turns.
    return [
        (at_hand[setting[0]], speed_test(setting, networks[setting], store, at_hand))
        for setting in networks
        if setting in unmeasured
    ]


def speed_test(
    setting: tuple[str, int, str], networks: dict[str, Network], store: Store, at_hand: dict[str, Device]
) -> SpeedTest:
    kind, threads, precision = setting
    device = at_hand[kind]
    return SpeedTest(
        networks=tuple(networks.values()),
        store=str(store.root),
        device=in_child(device),
        device_label=device.label,
        device_name=device.name,
        threads=threads,
        precision="bf16" if precision == "bf16" else "fp32",
    )


def measure_missing(
    runs: Sequence[StudyRun], store: Store, devices: Sequence[Device], *, on_event: Callable[[Event], None]
) -> None:
    """Measure what a report on these runs lacks, and file it in the store by machine."""
    for device, test in missing_tests(runs, store, devices):
        on_event(Measuring(len(test.networks)))
        log_path = store.root / "throughput" / LOG
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
