"""Measurements of a network or a job, stored by machine."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
MIN_LOAD = 0.3  # cores; less is the system itself
Bytes = Annotated[int, Field(ge=0, lt=2**63)]  # and other numbers of things


class Throughput(BaseModel):
    """Images per second of one network, measured alone. See slbench.measure.throughput."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    key: str
    machine_id: str
    device: str
    device_name: str
    threads: Number
    precision: str
    batch_size: Number
    timing: str  # name of one of slbench.measure.throughput_keys.TIMINGS
    median: Positive
    q1: Positive
    q3: Positive
    n: Number  # rounds
    measured_at: str
    other_load: Seconds | None = None  # cores that other processes used meanwhile; None: not recorded
    cores: Number | None = None  # of the machine

    @property
    def is_disturbed(self) -> bool:
        """Return whether other processes used so many cores that the speed may be too low."""
        if self.other_load is None or self.cores is None:
            return False
        return self.other_load > max(MIN_LOAD, (self.cores - self.threads) / 2)


class TrainingMemory(BaseModel):
    """Peak memory of a training step of one network. See slbench.measure.memory."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    key: str
    machine_id: str
    device: str
    device_name: str
    threads: Number
    precision: str
    batch_size: Number
    median: Bytes  # bytes: resident set of a dedicated process, or the allocator's peak on a GPU
    lowest: Bytes
    highest: Bytes
    n: Number  # processes
    idle: Bytes  # bytes of such a process before the network is built (interpreter and torch); 0 on a GPU
    measured_at: str


class JobCost(BaseModel):
    """Cost of the parts of a job, measured for some seconds. See slbench.train.job_probe."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    data: Literal["its own", "random"]  # "random" if the data set is not on the machine
    startup_seconds: Seconds  # of a process, before its first job
    load_seconds: Seconds  # data and network
    step_seconds: Seconds  # median
    steps: Number  # number of timed steps
    evaluation_seconds: Seconds  # per image
    save_seconds: Seconds  # per checkpoint
    finish_seconds: Seconds  # counting multiply-adds and writing the last weights
    params: Bytes
    peak_memory_bytes: Bytes


class Probe(JobCost):
    """Cost of a job beside as many jobs as in the grid, with the conditions of the measurement."""

    key: str
    title: str
    machine_id: str
    device_kind: str
    device_name: str
    computes_bf16: bool
    threads: Number
    precision: str
    jobs: Number  # concurrent on the device
    measured_at: str
