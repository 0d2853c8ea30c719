"""What was measured of a network or a job, as it is filed by machine."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Throughput(BaseModel):
    """Images per second of one network, measured alone. See slbench.measure.throughput."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    key: str
    machine_id: str
    device: str
    device_name: str
    threads: int
    precision: str
    batch_size: int
    timing: str  # which of slbench.measure.timings
    median: float
    q1: float
    q3: float
    n: int  # rounds
    measured_at: str


class TrainingMemory(BaseModel):
    """Peak memory of a training step of one network. See slbench.measure.memory."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    key: str
    machine_id: str
    device: str
    device_name: str
    threads: int
    precision: str
    batch_size: int
    median: int  # bytes: resident set of a process that does nothing else, or what the allocator of a GPU held
    lowest: int
    highest: int
    n: int  # processes
    idle: int  # bytes of such a process before the network is made: the interpreter and torch; 0 on a GPU
    measured_at: str


class Probe(BaseModel):
    """What a job costs, from a short try of it beside as many others as there would be. See slbench.train.job_probe."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    key: str
    title: str
    machine_id: str
    device_kind: str
    device_name: str
    computes_bf16: bool
    threads: int
    precision: str
    jobs: int  # at a time on the device
    data: Literal["its own", "random"]  # random images where the data set is not on the machine
    startup_seconds: float  # of a process, until it can begin with a job
    load_seconds: float  # of a job: data and network
    step_seconds: float  # median
    steps: int  # that were timed
    evaluation_seconds: float  # an image
    save_seconds: float  # a checkpoint
    finish_seconds: float  # counting, last weights
    params: int
    peak_memory_bytes: int
    measured_at: str
