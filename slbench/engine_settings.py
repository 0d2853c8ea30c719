"""Settings of the engines that start workers elsewhere: of a study file, of a user's file and of flags."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from slbench.errors import InputError
from slbench.text import CONTROLS, shown
from slbench.toml_text import read_toml
from slbench.validation import checked

SET_BY_SLBENCH = (
    "array", "chdir", "error", "job-name", "nodes", "no-requeue", "ntasks", "open-mode", "output", "parsable",
    "requeue", "signal", "test-only", "wrap",
)  # fmt: skip
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


Line = Annotated[str, AfterValidator(one_line)]
Options = Annotated[dict[str, bool | int | Line], AfterValidator(sbatch_options)]


class Settings(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)


class SlurmSettings(Settings):
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
    setup: list[Line] = []  # lines of shell before a worker starts: "module load cuda"
    jobs_per_device: Annotated[int, Field(ge=1)] | None = None  # runs at once on a GPU, or on the processor
    threads: Annotated[int, Field(ge=1)] = 1  # CPU threads of a run
    signal_delay_s: Annotated[int, Field(ge=10, le=3600)] = 90  # seconds before the limit at which a worker stops
    max_num_timeout: Annotated[int, Field(ge=0)] = 10  # times that a worker is requeued at its limit
    idle_timeout_s: Annotated[int, Field(ge=1)] = 300  # seconds without a run after which a worker ends

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


class EngineTables(Settings):
    """Tables of engines."""

    slurm: SlurmSettings | None = None  # workers of `slbench submit --engine slurm`


Engine = Literal["slurm"]


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


def slurm_settings(study: EngineTables | None, flags: Mapping[str, Any], *, where: str) -> SlurmSettings:
    """Return the settings of SLURM: of the user's file, under those of a study, under flags.

    Args:
        flags: by name of the setting.
        where: name of the study in errors.
    Raises:
        InputError: for an invalid user's file or flag.
    """
    path = user_file()
    try:
        user: EngineTables | None = checked(EngineTables, read_toml(path), where=str(path))
    except FileNotFoundError:
        user = None
    tables = [None if each is None else each.slurm for each in (user, study)]
    given: SlurmSettings = checked(SlurmSettings, dict(flags), where="slbench submit")
    layers = [each.model_dump(exclude_unset=True) for each in (*tables, given) if each is not None]
    merged = {name: value for layer in layers for name, value in layer.items()}
    merged["options"] = {name: value for layer in layers for name, value in layer.get("options", {}).items()}
    settings: SlurmSettings = checked(SlurmSettings, merged, where=where)
    settings.check(f"{where}: engine.slurm")
    return settings
