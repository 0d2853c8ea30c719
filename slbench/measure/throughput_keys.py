"""What a measured speed is filed under, so that it is found again. Free of torch."""

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
    """How long networks are timed. Each round goes through all of them."""

    name: str
    warmup: int  # passes of each network before the first round
    rounds: int
    passes: int  # of a network in a round, at least
    seconds: float  # that a network's turn lasts, at least


TIMINGS: dict[str, Timing] = {
    "short": Timing(name="short", warmup=2, rounds=9, passes=1, seconds=0.25),
    # The paper's 200 and 1000 passes (its script; one network after the other there, ten turns each here).
    "paper": Timing(name="paper", warmup=200, rounds=10, passes=100, seconds=0.0),
}
PAPER_SETTING = {"batch size": BATCH_SIZE, "precision": "fp32", "image size": 64}


def choose_timing(
    wanted: str, *, device_kind: str, batch_size: int, precision: str, image_size: tuple[int, int]
) -> Timing:
    """The timing of a name; for "auto" the paper's where it is the paper's setting on a GPU, else the short one.

    Raises:
        InputError: for an unknown name, or "paper" with another batch size, precision or image size.
    """
    side = image_size[0] if image_size[0] == image_size[1] else image_size
    asked = {"batch size": batch_size, "precision": precision, "image size": side}
    others = {name: value for name, value in asked.items() if value != PAPER_SETTING[name]}
    if wanted == "auto":
        return TIMINGS["paper" if device_kind == "cuda" and not others else "short"]
    timing = lookup(TIMINGS, wanted, "timing")
    if wanted == "paper" and others:
        name, value = next(iter(others.items()))
        raise InputError(
            f"--timing paper: the paper's {name} is {PAPER_SETTING[name]}, and {value} was asked for: "
            "drop that flag, or take --timing short"
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
    """Everything that decides the speed of a network but the machine."""
    how = {"device": device_kind, "threads": threads, "precision": precision, "batch_size": batch_size, "mode": mode}
    return digest({"network": identity_dict(network), "how": how})


def record_key(record: RunRecord) -> str:
    """The key of a finished run's network, on the kind of device, threads and precision it was trained with."""
    kind = record.device.partition(":")[0]
    return network_key(Network.of(record.spec), device_kind=kind, threads=record.threads, precision=record.precision)
