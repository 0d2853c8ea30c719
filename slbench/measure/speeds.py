"""What a measured speed is filed under, so that it is found again. Free of torch."""

import dataclasses
import json
from typing import Literal

from slbench.measure.network import BATCH_SIZE, Network
from slbench.spec import digest
from slbench.store import RunRecord

Mode = Literal["inference", "train"]


def network_key(
    network: Network,
    *,
    device_kind: str,
    threads: int,
    precision: str,
    mode: Mode = "inference",
    batch_size: int = BATCH_SIZE,
) -> str:
    """Everything that decides the speed of a network but the machine."""
    content = json.loads(json.dumps(dataclasses.asdict(network)))
    how = {"device": device_kind, "threads": threads, "precision": precision, "batch_size": batch_size, "mode": mode}
    return digest({"network": content, "how": how})


def record_key(record: RunRecord) -> str:
    """The key of a finished run's network, on the kind of device, threads and precision it was trained with."""
    kind = record.device.partition(":")[0]
    return network_key(Network.of(record.spec), device_kind=kind, threads=record.threads, precision=record.precision)
