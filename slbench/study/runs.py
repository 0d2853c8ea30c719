"""A checked study, its runs and its comparisons."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slbench.data.config import DataConfig
from slbench.differing import flat
from slbench.engine_settings import EngineTables
from slbench.errors import InputError
from slbench.methods import model_title
from slbench.record import Labels
from slbench.spec import RunSpec, to_dict
from slbench.stats.cells import FRACTION
from slbench.stats.contrast import Contrast
from slbench.stats.settings import DEFAULT_STATISTICS, Statistics
from slbench.table_spec import DEFAULT_TABLE, TableSpec

MAX_SEEDS = 100  # limit of a seed rule


class SeedRule(BaseModel):
    """Seeds 0 to min - 1 for every cell; more, one at a time, while a question of the study is undecided."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    min: Annotated[int, Field(ge=2)]  # seeds of every cell
    max: Annotated[int, Field(le=MAX_SEEDS)]  # seeds of a cell at most; above min
    until: Literal["decided"]  # add seeds until better, worse or equivalent is decided

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max <= self.min:
            raise InputError(f"max must be above min (got min = {self.min}, max = {self.max})")
        return self


@dataclass(frozen=True)
class StudyRun:
    """One run of a study and its labels."""

    spec: RunSpec
    labels: Labels
    data: DataConfig | None = dataclasses.field(default=None, compare=False)  # None: as the environment says
    settings: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # on other axes that vary: "lr=0.003"
    trial: str = dataclasses.field(default="", compare=False)  # "trial 3 of vit-cifar10"; empty: of no search

    @property
    def cell(self) -> str:
        """Name without the seed: "ViT-small both fashion-mnist-12k lr=0.003"."""
        labels = self.labels
        return " ".join(part for part in (labels.backbone, labels.method, labels.dataset, *self.settings) if part)

    @property
    def name(self) -> str:
        """Name: "ViT-small both fashion-mnist-12k lr=0.003 seed 0", with the trial of a search behind it."""
        return f"{self.cell} seed {self.spec.seed}{self.trial and f', {self.trial}'}"

    def value(self, path: str) -> Any:
        """Return the resolved value of a field such as "recipe.lr"; None if the run has no such field."""
        column, data = path.replace(".", "_"), self.spec.dataset
        if column == FRACTION and data.fraction is None and data.per_class is None:
            return 1.0  # the whole data set
        return flat(to_dict(self.spec)).get(column)

    @property
    def title(self) -> str:
        """Title: "ViT-small both fashion-mnist-12k lr=0.003 seed 0 (1a2b3c4d5e6f)"."""
        return f"{self.name} ({self.spec.run_id})"

    def at(self, seed: int) -> "StudyRun":
        """Return the run of the same cell with another seed."""
        return dataclasses.replace(self, spec=dataclasses.replace(self.spec, seed=seed))


@dataclass(frozen=True)
class Comparison:
    """A contrast in one cell: the runs of its sides with seed 0, equal in all other settings."""

    contrast: Contrast
    runs: tuple[StudyRun, ...]  # in the order of contrast.sides
    settings: tuple[str, ...]  # of the grid's other axes: "lr=0.003"

    @property
    def title(self) -> str:
        """Title: "SL-ViT on cifar100, lr=0.003" against "none"; else with the name of the contrast."""
        labels = self.runs[0].labels
        against_none = self.contrast.method is not None and self.contrast.reference == "none"
        is_one_method = against_none or self.contrast.field is not None
        subject = model_title(labels.backbone, labels.method) if is_one_method else labels.backbone
        title = ", ".join([f"{subject} on {labels.dataset}", *self.settings])
        return title if against_none else f"{self.contrast.name}, {title}"


@dataclass(frozen=True)
class Study:
    """A checked study: its runs in file order, duplicates merged.

    With a seed rule, its runs are those of the first `min` seeds; slbench.grid.adaptive_seeds adds others.
    """

    name: str
    title: str
    source: str
    runs: tuple[StudyRun, ...]
    notes: tuple[str, ...]  # on automatic choices
    table_spec: TableSpec = DEFAULT_TABLE  # of its table
    seeds: SeedRule | None = None
    comparisons: tuple[Comparison, ...] = ()  # decided by the seed rule; empty without one
    contrasts: tuple[Contrast, ...] | None = None  # declared questions; None: each method against "none"
    statistics: Statistics = DEFAULT_STATISTICS
    engines: EngineTables | None = None  # settings of `slbench submit`
