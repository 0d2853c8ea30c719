"""What a measured speed is filed under, so that it is found again. Free of torch."""

from slbench.spec import RunSpec, digest
from slbench.store import RunRecord

BATCH_SIZE = 128  # images, of random values; the paper's


def network_key(run: RunSpec, *, device_kind: str, threads: int, precision: str) -> str:
    """Everything that decides the speed of a run's network but the machine."""
    content = run.as_dict()
    network = {part: content[part] for part in ("backbone", "method", "numerics")}
    images = {field: content["dataset"][field] for field in ("image_size", "in_channels", "num_classes")}
    how = {"device": device_kind, "threads": threads, "precision": precision, "batch_size": BATCH_SIZE}
    return digest({"network": network, "images": images, "how": how, "mode": "inference"})


def record_key(record: RunRecord) -> str:
    """The key of the network of a finished run, on the kind of device, threads and precision it was trained with."""
    kind = record.device.partition(":")[0]
    return network_key(record.spec, device_kind=kind, threads=record.threads, precision=record.precision)
