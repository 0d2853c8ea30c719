"""Measurements of a network or a job, stored by machine."""

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
    timing: str  # name of one of slbench.measure.throughput_keys.TIMINGS
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
    median: int  # bytes: resident set of a dedicated process, or the allocator's peak on a GPU
    lowest: int
    highest: int
    n: int  # processes
    idle: int  # bytes of such a process before the network is built (interpreter and torch); 0 on a GPU
    measured_at: str


class JobCost(BaseModel):
    """Cost of the parts of a job, measured for some seconds. See slbench.train.job_probe."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    data: Literal["its own", "random"]  # "random" if the data set is not on the machine
    startup_seconds: float  # of a process, before its first job
    load_seconds: float  # data and network
    step_seconds: float  # median
    steps: int  # number of timed steps
    evaluation_seconds: float  # per image
    save_seconds: float  # per checkpoint
    finish_seconds: float  # counting multiply-adds and writing the last weights
    params: int
    peak_memory_bytes: int


class Probe(JobCost):
    """Cost of a job beside as many jobs as in the grid, with the conditions of the measurement."""

    key: str
    title: str
    machine_id: str
    device_kind: str
    device_name: str
    computes_bf16: bool
    threads: int
    precision: str
    jobs: int  # concurrent on the device
    measured_at: str
