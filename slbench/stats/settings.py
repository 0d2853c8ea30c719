"""How contrasts are judged: the table [statistics] of a study."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

VarianceKind = Literal["moderated", "robust", "own"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Statistics(BaseModel):
    """Margin, variance, failures and level of a study's verdicts; see `slbench.contrasts`."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    margin: Positive = 0.5  # largest difference without practical meaning, in points of accuracy
    variance: VarianceKind = "moderated"  # of a contrast: shared with other cells, or each its own
    failures: Literal["withhold", "chance"] = "withhold"  # diverged runs: no verdict, or the accuracy of guessing
    level: Annotated[float, Field(gt=0, le=0.9999)] = 0.95  # confidence of all intervals of a family together
    spread: Positive | None = None  # standard deviation of differences over seeds, for the plan


DEFAULT_STATISTICS = Statistics.model_construct()  # `Statistics()` without building its schema
