"""Timings and storage keys of throughput measurements. Free of torch."""

from dataclasses import dataclass
from typing import Literal

from slbench.errors import InputError
from slbench.measure.network import BATCH_SIZE, Network
from slbench.names import lookup
from slbench.record import RunRecord
from slbench.spec import digest, identity_dict

Mode = Literal["inference", "train"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Lengths of warm-up, rounds and turns. Each round goes through all networks."""

    name: str
    warmup: int  # passes of each network before the first round
    rounds: int
    passes: int  # minimum per turn
    seconds: float  # minimum per turn


TIMINGS: dict[str, Timing] = {
    "short": Timing(name="short", warmup=2, rounds=9, passes=1, seconds=0.25),
    # the 200 and 1000 passes of the paper's script, which times one network after another; ten turns each here
    "paper": Timing(name="paper", warmup=200, rounds=10, passes=100, seconds=0.0),
}
PAPER_SETTING = {"batch size": BATCH_SIZE, "precision": "fp32", "image size": 64}


def choose_timing(
    requested: str, *, device_kind: str, batch_size: int, precision: str, image_size: tuple[int, int]
) -> Timing:
    """Return the timing of a name; for "auto" the paper's in the paper's setting on a GPU, else the short one.

    Raises:
        InputError: for an unknown name, or "paper" with another batch size, precision or image size.
    """
    side = image_size[0] if image_size[0] == image_size[1] else image_size
    setting = {"batch size": batch_size, "precision": precision, "image size": side}
    others = {name: value for name, value in setting.items() if value != PAPER_SETTING[name]}
    if requested == "auto":
        return TIMINGS["paper" if device_kind == "cuda" and not others else "short"]
    timing = lookup(TIMINGS, requested, "timing", where="--timing")
    if requested == "paper" and others:
        name, value = next(iter(others.items()))
        raise InputError(
            f"--timing: paper: needs the paper's {name} {PAPER_SETTING[name]} (got {value}); use --timing short"
        )
    return timing


def network_key(
    network: Network,
    *,
    device_kind: str,
    threads: int,
    precision: str,
    mode: Mode = "inference",
    batch_size: int = BATCH_SIZE,
) -> str:
    """Return the digest of all that decides the speed of a network on one machine."""
    how = {"device": device_kind, "threads": threads, "precision": precision, "batch_size": batch_size, "mode": mode}
    return digest({"network": identity_dict(network), "how": how})


def record_key(record: RunRecord) -> str:
    """Return the key of a finished run's network, for its kind of device, threads and precision."""
    kind = record.device.partition(":")[0]
    return network_key(Network.of(record.spec), device_kind=kind, threads=record.threads, precision=record.precision)
