"""What a study can decide before it has results: family, seeds, and the smallest difference."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slbench.record import RunRecord
from slbench.report.tidy import tidy
from slbench.stats.contrasts import Answer
from slbench.stats.judge import judge, sharing
from slbench.stats.power import MIN_DF, POWER, Design, detectable_effect
from slbench.stats.sequential import SequentialDesign
from slbench.stats.settings import Statistics
from slbench.stats.simultaneous import sidak_level
from slbench.study import SeedRule, Study
from slbench.study.planned import planned_answers
from slbench.text import distinct, plural

SEEDS = (2, 3, 5, 10, 20)  # of the table of seeds against difference
Place = tuple[str, str]  # backbone, data set


@dataclass(frozen=True)
class Planned:
    """Contrasts that the finished study will judge together, and the standard deviations known so far."""

    answers: tuple[Answer, ...]  # over seeds, with invented values; one for each contrast and cell
    family_size: int  # with answers over backbones at large
    level: float  # of a family
    moderated: bool
    rule: SeedRule | None
    statistics: Statistics
    spreads: dict[Place, float]  # of contrasts over seeds but trends, in points

    @property
    def seeds(self) -> list[int]:
        """The different numbers of seeds of the contrasts, ascending; of a seed rule the most."""
        return sorted({len(answer.values) for answer in self.answers}) if self.rule is None else [self.rule.max]

    def detectable(self, n: int) -> float | None:
        """Return the difference in SD that n seeds, or a rule of at most n, decide; None up to the rule's first."""
        if self.rule is None:
            return detectable_effect(n, Design(sidak_level(self.level, self.family_size), self.cells))
        if n <= self.rule.min:
            return None
        rule = SeedRule(min=self.rule.min, max=n, until=self.rule.until)
        level = SequentialDesign(rule, self.family_size, self.statistics).interval_level
        return detectable_effect(n, Design(level, self.cells, first=rule.min))

    @property
    def cells(self) -> int:
        """Cells of the contrast that is seen in fewest, whose variances are moderated towards each other."""
        groups = [sharing(answer) for answer in self.answers]
        return min(1 if group is None else groups.count(group) for group in groups) if self.moderated else 1

    def table(self, counts: Iterable[int]) -> dict[int, float]:
        """Return the detectable differences by number of seeds."""
        found = {number: self.detectable(number) for number in counts}
        return {number: effect for number, effect in found.items() if effect is not None}


def plan(study: Study, records: Iterable[RunRecord]) -> Planned | None:
    """Return what a study will judge; None without a contrast over two or more seeds.

    Args:
        records: of its finished runs.
    """
    family = planned_answers(study)
    found = [answer for answer in family if answer.contrast.over != "backbones at large"]
    if not any(len(answer.values) > 1 for answer in found):
        return None
    settings = study.statistics
    known = known_spreads(study, list(records))
    places = distinct((answer.backbone, answer.dataset) for answer in found if answer.contrast.trend is None)
    if settings.spread is not None:
        known = {place: known.get(place, settings.spread) for place in places}
    moderated = settings.variance != "own"
    return Planned(tuple(found), len(family), settings.level, moderated, study.seeds, settings, known)


def known_spreads(study: Study, records: Sequence[RunRecord]) -> dict[Place, float]:
    """Return the largest standard deviation of a contrast of each backbone and data set, from finished runs.

    Only of contrasts with MIN_DF degrees of freedom or more.
    """
    if not records:
        return {}
    results = judge(tidy(records), study.contrasts, statistics=study.statistics, strict=False)
    spreads = dict[Place, float]()
    for result in results:
        if result.family == "primary" and result.df >= MIN_DF and result.answer.contrast.trend is None:
            place = result.answer.backbone, result.answer.dataset
            spreads[place] = max(result.std, spreads.get(place, 0.0))
    return spreads


def power_lines(planned: Planned | None) -> list[str]:
    """Return what a study decides, and a table of seeds against the difference that they decide."""
    if planned is None:
        return ["decides: nothing: no contrast of its runs has two seeds or more"]
    counts = [number for number in planned.seeds if number > 1]
    jointly = f"{plural(planned.family_size, 'contrast')} jointly at {100 * planned.level:.4g} %"
    effects = list(planned.table(counts).values())
    seeds = " or ".join(map(str, counts))
    decided = " or ".join(f"{effect:.2f}" for effect in effects)
    most = "" if planned.rule is None else "at most "
    lines = [f"decides with probability {POWER:g}: a true difference of {decided} SD ({jointly}, {most}{seeds} seeds)"]
    trends = sum(answer.contrast.trend is not None for answer in planned.answers)
    if not planned.spreads and trends < len(planned.answers):
        lines[0] += f"; SD unknown: no finished runs with {MIN_DF} degrees of freedom, and no statistics.spread"
    for (backbone, dataset), spread in planned.spreads.items():
        points = " or ".join(f"{effect * spread:.2f}" for effect in effects)
        lines.append(f"        {backbone} on {dataset}: {points} points (SD of a contrast {spread:.2f})")
    if trends:
        lines.append(f"        {plural(trends, 'trend')}: in SD of the slope over seeds, which no plan knows in points")
    table = [f"{number}: {effect:.2f}" for number, effect in planned.table(SEEDS).items()]
    return [*lines, f"        by {most and 'largest number of '}seeds, in SD: {', '.join(table)}"]


def power_document(planned: Planned | None) -> dict[str, Any] | None:
    """Return `power_lines` as JSON: differences in SD by number of seeds, and known SDs in points."""
    if planned is None:
        return None
    counts = sorted({*SEEDS, *(number for number in planned.seeds if number > 1)})
    return {
        "power": POWER,
        "contrasts": planned.family_size,
        "level": planned.level,
        "seeds": planned.seeds,
        "decided_sd": {str(number): effect for number, effect in planned.table(counts).items()},
        "sd_points": {f"{backbone} on {dataset}": spread for (backbone, dataset), spread in planned.spreads.items()},
    }
