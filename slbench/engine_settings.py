"""Settings of the engines that start workers elsewhere: of a study file, of a user's file and of flags."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from slbench.errors import InputError
from slbench.text import CONTROLS, shown
from slbench.toml_text import read_toml
from slbench.validation import checked

SET_BY_SLBENCH = (
    "array", "chdir", "error", "job-name", "nodes", "no-requeue", "ntasks", "open-mode", "output", "parsable",
    "requeue", "signal", "test-only", "wrap",
)  # fmt: skip
RAY_OWN = ("CPU", "GPU", "memory", "object_store_memory")
OPTION = re.compile(r"[a-z][a-z0-9-]*")
SBATCH_TIME = re.compile(r"(?:(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?)|(?P<n>\d+(?::\d+){0,2})")
NO_LIMIT = ("unlimited", "infinite")


def one_line(text: str) -> str:
    """Return a text that can stand in a line of a job script. Raises InputError for any other."""
    if not text or "\n" in text or CONTROLS.search(text):
        raise InputError(f"must be one line of text (got {shown(text)})")
    return text


def sbatch_time(text: str) -> str:
    """Return a time in a format of sbatch. Raises InputError for any other."""
    seconds_of(text)
    return text


def sbatch_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return further options of sbatch. Raises InputError for one that slbench sets, or that is none."""
    for name in options:
        if name in SET_BY_SLBENCH:
            raise InputError(f"{name}: is set by slbench; leave it out")
        if not OPTION.fullmatch(name):
            raise InputError(f"must be the long names of options of sbatch (got {shown(name)})")
    return options


def ray_resources(resources: dict[str, float]) -> dict[str, float]:
    """Return custom resources of Ray. Raises InputError for a name that has a setting of its own."""
    for name in resources:
        if name in RAY_OWN:
            raise InputError(f"{name}: is no custom resource; use num_cpus and num_gpus")
        one_line(name)
    return resources


Line = Annotated[str, AfterValidator(one_line)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Options = Annotated[dict[str, bool | int | Line], AfterValidator(sbatch_options)]


class Settings(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)


class WorkerSettings(Settings):
    """What the workers of every engine have."""

    setup: list[Line] = []  # lines of shell before a worker starts: "module load cuda"
    jobs_per_device: Annotated[int, Field(ge=1)] | None = None  # runs at once on a GPU, or on the processor
    threads: Annotated[int, Field(ge=1)] = 1  # CPU threads of a run
    max_num_timeout: Annotated[int, Field(ge=0)] = 10  # times that a worker is started again after a time limit
    idle_timeout_s: Annotated[int, Field(ge=1)] = 300  # seconds without a run after which a worker ends

    @property
    def concurrent_jobs(self) -> int | None:
        """Runs at once on a GPU or on the processor; None: as a worker finds them on its node."""
        return self.jobs_per_device

    def check(self, where: str) -> None:
        """Raise InputError for limits that contradict each other."""


class SlurmSettings(WorkerSettings):
    """What every worker gets, by the names of sbatch; then how it ends."""

    partition: Line | None = None  # as of sbatch
    account: Line | None = None  # as of sbatch
    qos: Line | None = None  # as of sbatch
    constraint: Line | None = None  # features of nodes, as of sbatch
    time: Annotated[str, AfterValidator(sbatch_time)] | None = None  # limit: minutes, H:M:S or D-H:M:S
    gpus_per_node: Annotated[int, Field(ge=0)] | Line | None = None  # of a worker, which uses one node
    cpus_per_task: Annotated[int, Field(ge=1)] | None = None  # of a worker
    mem: Line | None = None  # of a worker, as of sbatch: "32G"
    exclude: Line | None = None  # nodes not to use, as of sbatch
    options: Options = {}  # any other long options of sbatch, without dashes; true: an option without a value
    signal_delay_s: Annotated[int, Field(ge=10, le=3600)] = 90  # seconds before the limit at which a worker stops

    @property
    def seconds(self) -> int | None:
        """The time limit; None without one."""
        return None if self.time is None else seconds_of(self.time)

    def check(self, where: str) -> None:
        """Raise InputError for limits that contradict each other."""
        if self.seconds is not None and self.seconds <= self.signal_delay_s:
            raise InputError(
                f"{where}: time: must be above signal_delay_s, {self.signal_delay_s} s, at which a worker stops "
                f"(got {shown(self.time)})"
            )


class RaySettings(WorkerSettings):
    """What every worker gets, by the names of Ray; where the cluster is."""

    address: Line | None = None  # of a cluster to join, HOST:PORT; default: a cluster on this machine for the command
    num_cpus: Annotated[int, Field(ge=1)] = 1  # of a worker
    num_gpus: Annotated[float, Field(ge=0, le=1024)] = 0  # of a worker; below 1: a share of a GPU
    resources: Annotated[dict[str, Amount], AfterValidator(ray_resources)] = {}  # custom ones of a worker: {a100 = 1}
    exclude: Line | None = None  # hosts not to use: "n1,n2"

    @property
    def concurrent_jobs(self) -> int | None:
        """Runs at once; on the processor as many as the CPUs of the worker hold, which Ray does not enforce."""
        if self.jobs_per_device is None and not self.num_gpus:
            return self.num_cpus // self.threads
        return self.jobs_per_device

    @property
    def excluded(self) -> list[str]:
        """Names of the hosts not to use."""
        return [name.strip() for name in (self.exclude or "").split(",") if name.strip()]

    @property
    def needs(self) -> dict[str, float]:
        """The resources of a worker by name."""
        gpus = {"GPU": float(self.num_gpus)} if self.num_gpus else {}
        return {"CPU": float(self.num_cpus), **gpus, **self.resources}

    def check(self, where: str) -> None:
        """Raise InputError for limits that contradict each other."""
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise InputError(f"{where}: num_gpus: must be a whole number above 1 (got {self.num_gpus:g})")
        jobs = 1 if self.num_gpus else self.jobs_per_device or 1
        if jobs * self.threads > self.num_cpus:
            raise InputError(
                f"{where}: num_cpus: must be at least jobs_per_device x threads = {jobs * self.threads} "
                f"(got {self.num_cpus})"
            )


class EngineTables(Settings):
    """Tables of engines."""

    slurm: SlurmSettings | None = None  # workers of `slbench submit --engine slurm`
    ray: RaySettings | None = None  # workers of `slbench submit --engine ray`


Engine = Literal["slurm", "ray"]
S = TypeVar("S", SlurmSettings, RaySettings)


def seconds_of(time: str) -> int | None:
    """Return the seconds of a time limit of sbatch; None for no limit.

    Raises:
        InputError: for anything else.
    """
    if time.lower() in NO_LIMIT:
        return None
    match = SBATCH_TIME.fullmatch(time)
    if match is None:
        raise InputError(f"must be a time limit of sbatch (got {shown(time)}); allowed: 90, 90:00, 1:30:00, 1-12:00:00")
    if match["d"]:
        days, hours, minutes, seconds = (int(match[name] or 0) for name in ("d", "dh", "dm", "ds"))
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    parts = [int(part) for part in match["n"].split(":")]
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def user_file() -> Path:
    """Return the path of the user's settings of engines."""
    import platformdirs

    return platformdirs.user_config_path("slbench") / "engines.toml"


def settings_of(kind: type[S], study: EngineTables | None, flags: Mapping[str, Any], *, where: str) -> S:
    """Return the settings of an engine: of the user's file, under those of a study, under flags.

    Args:
        flags: by name of the setting.
        where: name of the study in errors.
    Raises:
        InputError: for an invalid user's file or flag.
    """
    path, name = user_file(), "slurm" if kind is SlurmSettings else "ray"
    try:
        user: EngineTables | None = checked(EngineTables, read_toml(path), where=str(path))
    except FileNotFoundError:
        user = None
    tables: list[S | None] = [None if each is None else getattr(each, name) for each in (user, study)]
    given: S = checked(kind, dict(flags), where="slbench submit")
    layers = [each.model_dump(exclude_unset=True) for each in (*tables, given) if each is not None]
    merged = {key: value for layer in layers for key, value in layer.items()}
    for key in {"options", "resources"} & merged.keys():  # tables, joined
        merged[key] = {entry: value for layer in layers for entry, value in layer.get(key, {}).items()}
    settings: S = checked(kind, merged, where=where)
    settings.check(f"{where}: engine.{name}")
    return settings
