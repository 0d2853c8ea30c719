"""Content of a study file and of the command line, before names are looked up."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from slbench.data.config import DataConfig
from slbench.engine_settings import EngineTables
from slbench.record import Keep
from slbench.spec import Protocol
from slbench.stats.settings import DEFAULT_STATISTICS, Statistics
from slbench.table_spec import DEFAULT_TABLE, TableSpec

Value = Any  # of a TOML key
Tables = Annotated[list[dict[str, Value]], Field(max_length=1000)]


class StudyFile(BaseModel):
    """The keys of a study file, before names are looked up."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    title: str = ""  # of the report
    source: str = ""  # of published numbers for the same table: "arXiv:2112.13492 Table 5"
    plugins: list[str] = []  # Python files of yours that register models, methods, data sets or augmentations
    recipe: str = "quick"  # how a network is trained
    protocol: Protocol = "holdout"  # holdout: a tenth of the training images validates; full, paper: none does
    precision: str | None = None  # short for set.recipe.precision
    keep: Keep = "last"  # which weights stay: of the last epoch, of the best on the validation images, or none
    report: TableSpec = DEFAULT_TABLE  # rows and columns of its table
    seeds: Value = None  # a SeedRule, in place of grid.seed
    grid: dict[str, Value] = {}  # axes: one value or a list of values for each; a run for every combination
    set: dict[str, Value] = {}  # fields of every run, by dotted path
    method: Tables = []  # methods of your own, by name
    exclude: Tables = []  # cells to leave out: all that have these values on these axes
    contrast: Tables = []  # the questions of the study; default: each method against "none"
    statistics: Statistics = DEFAULT_STATISTICS  # how they are judged
    engine: EngineTables | None = None  # settings of the engines of `slbench submit`


@dataclass(frozen=True)
class Flags:
    """Overrides of a study by the command line."""

    grid: Mapping[str, list[Value]] = dataclasses.field(default_factory=dict)  # axes, in place of the file's
    set: Mapping[str, Value] = dataclasses.field(default_factory=dict)  # dotted paths
    recipe: str | None = None
    protocol: str | None = None
    plugins: Sequence[str] = ()  # files, besides those of the study
    data: DataConfig | None = None  # None: as the environment says
