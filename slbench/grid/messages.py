"""What a launcher hands to its child, and what the child says back. Plain JSON, free of torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from slbench.measure.network import Network
from slbench.record import Kind, Labels
from slbench.spec import RunSpec


class Job(BaseModel):
    """One run, and where and how to do it."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    spec: RunSpec
    labels: Labels
    store: str
    device: str  # as torch names it in the child
    device_label: str  # as the record names it
    device_name: str
    threads: int
    precision: Literal["bf16", "fp32"]
    log: str = ""  # file that gets what is printed; empty for where it goes already
    cores: tuple[int, ...] = ()  # that the child keeps to; empty for any
    checkpoint_seconds: float = 300.0  # between two within an epoch
    tensorboard: str | None = None  # where its folders of runs are


class SpeedTest(BaseModel):
    """Networks whose speed is to be measured against each other, on a device that does nothing else."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    networks: tuple[Network, ...]
    store: str
    device: str
    device_label: str
    device_name: str
    threads: int
    precision: Literal["bf16", "fp32"]


class ProbeTask(BaseModel):
    """A job that is to be tried for some seconds."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    job: Job
    key: str
    title: str
    machine_id: str
    computes_bf16: bool
    jobs: int
    seconds: float
    asked_at: float  # seconds since 1970, when the launcher started the child


class ProgressMessage(BaseModel):
    """A line from the child: how far it is."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", ser_json_inf_nan="constants")

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    val_top1: float | None
    test_top1: float | None
    images_per_second: float

    @property
    def top1(self) -> float | None:
        """Accuracy in % to show while a run goes on: validation if there is one."""
        return self.test_top1 if self.val_top1 is None else self.val_top1


class JobFailed(BaseModel):
    """The last line from a child that an exception ends."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    kind: Kind
    message: str  # one line
    traceback: str


class JobFinished(BaseModel):
    """A line from a child that has finished its job, and waits for another."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    run_id: str


class JobStopped(BaseModel):
    """A line from a child that has left its job when it was asked to, after a checkpoint, and waits for another."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    ceased: str  # the run's id


Line: TypeAdapter[ProgressMessage | JobFailed | JobFinished | JobStopped] = TypeAdapter(
    ProgressMessage | JobFailed | JobFinished | JobStopped, config=ConfigDict(defer_build=True)
)
