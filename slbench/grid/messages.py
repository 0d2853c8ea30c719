"""Messages between a launcher and its workers. Plain JSON, free of torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from slbench import user_files
from slbench.data.config import DataConfig
from slbench.measure.network import Network
from slbench.record import Kind, Labels
from slbench.spec import RunSpec
from slbench.train.progress import Progress
from slbench.train.tracking import Tracking


class Job(BaseModel):
    """A run with its device and settings."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    spec: RunSpec
    labels: Labels
    name: str = ""  # in the log
    store: str
    device: str  # torch's name in the worker
    device_label: str  # name in the record
    device_name: str
    threads: int
    precision: Literal["bf16", "fp32"]
    compiled: bool = False  # compile the training steps
    log: str = ""  # file for all output; empty: unchanged
    cores: tuple[int, ...] = ()  # CPU affinity; empty: any core
    checkpoint_seconds: float = 300.0  # between two checkpoints within an epoch
    tracking: Tracking | None = None
    data: DataConfig | None = None  # None: as the environment says
    files: tuple[str, ...] = Field(default_factory=user_files.paths)  # that the user named; a worker runs no other


class SpeedTest(BaseModel):
    """Networks whose throughput is measured in turns, on a device that does nothing else."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    networks: tuple[Network, ...]
    store: str
    device: str
    device_label: str
    device_name: str
    threads: int
    precision: Literal["bf16", "fp32"]
    files: tuple[str, ...] = Field(default_factory=user_files.paths)  # that the user named; a worker runs no other


class ProbeTask(BaseModel):
    """A job to probe for some seconds."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    job: Job
    key: str
    title: str
    machine_id: str
    computes_bf16: bool
    share: float  # of the training time of one such job that the probe may take
    jobs: int
    seconds: float
    asked_at: float  # by the monotonic clock of this machine, when the launcher started the worker


class JobFailed(BaseModel):
    """Last message of a worker that is ended by an exception."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    kind: Kind
    message: str  # one line
    traceback: str


class JobFinished(BaseModel):
    """Message of a worker that has finished its job and waits for the next one."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    run_id: str


class JobStopped(BaseModel):
    """Message of a worker that has stopped its job on request, after a checkpoint, and waits for the next one."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    stopped_run_id: str


Message = Progress | JobFailed | JobFinished | JobStopped
Line: TypeAdapter[Message] = TypeAdapter(Message, config=ConfigDict(defer_build=True))
