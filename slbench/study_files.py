"""Files of the studies of a store, `<store>/studies/<study>.json`: what a study asks, its runs, its interim analyses.

Records are free of it, since a run may belong to several studies. A file follows from the study and the outcomes of its
runs, so that several launchers write the same; a damaged one is written again by the next launch. Launches of parts of
a study (`--dataset`, `--method`) add to its file as long as questions, statistics and seed rule are the same.
"""

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.files import dump_json, read_regular, write_atomic
from slbench.stats.settings import Statistics
from slbench.store import Store, safe
from slbench.study import Comparison, SeedRule, Study
from slbench.study.planned import answers_beside_rule

if TYPE_CHECKING:
    from slbench.stats.sequential import InterimAnalysis, SequentialDesign

FOLDER = "studies"
DIGITS = 6  # of stored numbers, so that machines agree


class Stored(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")


class Look(Stored):
    """The latest interim analysis of a comparison."""

    title: str
    contrast: str
    runs: dict[str, str]  # id of the run with seed 0 by side of the contrast: method, or value of its field
    state: Literal["decided", "undecided", "waiting", "withheld"]
    seeds: int  # requested of all its methods
    n: int  # analyzed; 0 before the first analysis, and then no numbers
    verdict: str
    estimate: float | None  # in points
    adjusted: float | None  # estimate adjusted for stopping; None while it waits
    low: float | None  # of the repeated confidence interval
    high: float | None

    @classmethod
    def of(cls, comparison: Comparison, analysis: "InterimAnalysis") -> "Look":
        """Return the stored form of an analysis."""
        sides = zip(comparison.contrast.sides, comparison.runs, strict=True)
        return cls(
            title=comparison.title,
            contrast=comparison.contrast.name,
            runs={side: run.spec.run_id for side, run in sides},
            state=analysis.state,
            seeds=analysis.seeds,
            n=analysis.n,
            verdict=analysis.verdict,
            estimate=stored_number(analysis.estimate),
            adjusted=stored_number(analysis.adjusted),
            low=stored_number(analysis.low),
            high=stored_number(analysis.high),
        )

    @property
    def key(self) -> tuple[str, ...]:
        return (self.contrast, *self.runs.values())


class StoredStudy(Stored):
    """A study of a store."""

    name: str
    contrasts: list[dict[str, Any]] | None  # keys of `[[contrast]]`; None: each method against "none"
    statistics: Statistics
    seeds: SeedRule | None
    runs: list[str]  # ids, sorted
    looks: list[Look] = []  # of a seed rule, one per comparison
    beside: list[str] = []  # answers of the family that the rule does not decide: `answers_beside_rule`

    @property
    def design(self) -> "SequentialDesign | None":
        """Levels of the analyses of its seed rule; None without one."""
        from slbench.stats.sequential import SequentialDesign

        return (
            None
            if self.seeds is None
            else SequentialDesign(self.seeds, len(self.looks) + len(self.beside), self.statistics)
        )

    @property
    def question(self) -> tuple[Any, ...]:
        """What it asks, and how it answers; equal for launches of its parts."""
        return self.contrasts, self.statistics, self.seeds

    def with_parts(self, other: "StoredStudy") -> "StoredStudy":
        """Return it with the runs and analyses of another launch that asks the same; its own analyses win."""
        if self.question != other.question:
            return self
        looks = {look.key: look for look in (*other.looks, *self.looks)}
        runs = sorted({*self.runs, *other.runs})
        beside = sorted({*self.beside, *other.beside})
        parts = {"runs": runs, "looks": [looks[key] for key in sorted(looks)], "beside": beside}
        return self.model_copy(update=parts)


def stored_number(value: float) -> float | None:
    """Return a number as it is stored; None for NaN."""
    return None if math.isnan(value) else round(value, DIGITS)


def path_of(store: Store, name: str) -> Path:
    return store.root / FOLDER / f"{safe(name)}.json"


def write_study(store: Store, study: Study, looks: Iterable[Look] = ()) -> None:
    """Write the file of a study unless it is up to date. A disk that refuses is left to the runs to report."""
    path, now = path_of(store, study.name), stored(study, looks)
    earlier = read_study(path)
    if isinstance(earlier, StoredStudy):
        now = now.with_parts(earlier)
    if now != earlier:
        with contextlib.suppress(OSError):
            write_atomic(path, dump_json(now.model_dump(mode="json")))


def stored(study: Study, looks: Iterable[Look] = ()) -> StoredStudy:
    """Return a study as its file has it."""
    contrasts = study.contrasts
    return StoredStudy(
        name=study.name,
        contrasts=None if contrasts is None else [without_none(asdict(contrast)) for contrast in contrasts],
        statistics=study.statistics,
        seeds=study.seeds,
        runs=sorted(run.spec.run_id for run in study.runs),
        looks=sorted(looks, key=lambda look: look.key),
        beside=[] if study.seeds is None else list(answers_beside_rule(study)),
    )


def without_none(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}


def read_study(path: Path) -> StoredStudy | str | None:
    """Return the study of a file, or in one line why it is not readable; None without one."""
    try:
        return StoredStudy.model_validate_json(read_regular(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        return f"{path}: {key}: damaged or of another version; the next launch of the study rewrites it"


def studies_of(store: Store) -> tuple[list[StoredStudy], list[str]]:
    """Return the studies of a store by name, and a line for each file that is not readable."""
    found = [read_study(path) for path in sorted((store.root / FOLDER).glob("*.json"))]
    return [each for each in found if isinstance(each, StoredStudy)], [each for each in found if isinstance(each, str)]


def grid_run_ids(studies: Iterable[StoredStudy]) -> frozenset[str]:
    """Return the ids of the runs that studies ask for; a search may have made them too."""
    return frozenset(run for study in studies for run in study.runs)


def look_at(
    studies: Iterable[StoredStudy], contrast: str, run_ids: Iterable[str]
) -> "tuple[Look, SequentialDesign] | None":
    """Return the latest analysis of a comparison by a seed rule, and its design; None if no rule analyzes it.

    Args:
        contrast: its name, such as "spt against none".
        run_ids: of its runs in one cell, all seeds.
    """
    wanted = set(run_ids)
    for study in studies:
        design = study.design
        for look in study.looks:
            if design is not None and look.contrast == contrast and wanted.issuperset(look.runs.values()):
                return look, design
    return None


def design_of_runs(studies: Sequence[StoredStudy], run_ids: Iterable[str]) -> "SequentialDesign | None":
    """Return the design under which runs were added seed by seed; None if no seed rule has any of them.

    Their intervals need its `interval_level`: at a fixed-sample level the intervals of samples that were stopped by
    their results would err too often. Of several rules the one with the highest level is returned.
    """
    wanted = set(run_ids)
    designs = [study.design for study in studies if study.seeds is not None and wanted.intersection(study.runs)]
    return max((design for design in designs if design is not None), key=lambda each: each.interval_level, default=None)
