"""Training runs until the right verdict: fixed numbers of seeds and the seed rule, at equal family error and margin.

A study has the four methods of the 2x2 on five backbones, hence 15 comparisons with none. Their true gains are the same
or, in one study, those of MIXED. A verdict is right if it says better of a gain above 0 and equivalent of no gain.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.simulated import (
    Array,
    Verdicts,
    differences_like,
    half_width,
    means,
    sequential_verdicts,
    spread_of,
    verdicts,
)
from slbench.stats.sequential import SequentialDesign
from slbench.stats.settings import Statistics
from slbench.stats.simultaneous import MIN_CORRELATION_DF, min_p_level, sidak_level
from slbench.study import SeedRule

BACKBONES, COMPARISONS = 5, 15
RUNS_PER_SEED = 4 * BACKBONES
MARGIN, POWER, LEVEL = 0.5, 0.8, 0.95
FIRST, MOST = 3, 60  # seeds: the rule's first analysis; the largest design
GAINS = (0.0, 1.0, 2.0)
MIXED = (1.0, 0.0, 2.0)  # of spt, lsa and both
AIM = 0.5  # runs, as a share of those of the t tests
RULE = f"seed rule from {FIRST} seeds, moderated"


Gains = float | tuple[float, float, float]


@dataclass(frozen=True)
class Outcome:
    """Verdicts of a design on simulated studies, and their training runs."""

    found: Verdicts
    runs: Array  # of each study

    def right(self, gains: Gains) -> Array:
        """Return the share of right verdicts of each study."""
        found, true = self.found, by_contrast(gains)
        return np.asarray(np.where(true > 0, found.better, found.equivalent).mean(axis=(1, 2)))

    def wrong(self, gains: Gains) -> Array:
        """Return whether each study has any wrong verdict."""
        found, true = self.found, by_contrast(gains)
        errors = found.worse | (found.better & (true == 0)) | (found.equivalent & (true >= MARGIN))
        return np.asarray(errors.any(axis=(1, 2)), dtype=float)


def by_contrast(gains: Gains) -> Array:
    """Return gains of all contrasts, or of each, along the axis of contrasts."""
    return np.reshape(gains, (1, -1, 1))


@dataclass(frozen=True)
class Design:
    """A design with a number of seeds to choose: of every cell, or at most."""

    name: str
    outcome: Callable[[Gains, int], Outcome]  # of gains and a number of seeds
    fewest: int = 2

    def needed(self, gains: Gains, z: float = 0.0) -> int:
        """Return the smallest number of seeds with POWER for the right verdict; MOST + 1 without one.

        Args:
            z: standard errors that are added to the simulated share.
        """
        low, high = self.fewest, MOST + 1
        while low < high:
            middle = (low + high) // 2
            share = self.outcome(gains, middle).right(gains)
            if share.mean() + z * share.std() / len(share) ** 0.5 >= POWER:
                high = middle
            else:
                low = middle + 1
        return low


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated studies, the same for all designs and gains."""

    values: Array = field(repr=False)

    def designs(self) -> list[Design]:
        """Return the comparison, then the designs of slbench."""
        return [
            Design("t tests", self.fixed(moderated=False, one_sided=True)),
            Design("fixed seeds, own", self.fixed(moderated=False)),
            Design("fixed seeds, moderated", self.fixed(moderated=True)),
            Design("fixed seeds, moderated, one-sided equivalence*", self.fixed(moderated=True, one_sided=True)),
            Design(RULE, self.sequential(), FIRST + 1),
            Design(f"{RULE}, one-sided equivalence*", self.sequential(one_sided=True), FIRST + 1),
        ]

    def fixed(self, *, moderated: bool, one_sided: bool = False) -> Callable[[Gains, int], Outcome]:
        """Return the outcomes of a fixed number of seeds.

        Args:
            one_sided: equivalence by two one-sided tests (Schuirmann 1987) at Sidak's level, which is the level of the
                t tests too; else by the simultaneous interval of slbench, with its min-p level from 11 seeds on.
        """

        @cache
        def parts(n: int) -> tuple[Array, Array, Array]:
            used = self.values[..., :n]
            sidak, spread = sidak_level(LEVEL, COMPARISONS), spread_of(used, moderated=moderated)
            equivalence = 2 * sidak - 1 if one_sided else self.joint_levels(n)
            level = sidak if one_sided and not moderated else self.joint_levels(n)
            return means(used), half_width(spread, n, level), half_width(spread, n, equivalence)

        @cache
        def outcome(gains: Gains, n: int) -> Outcome:
            estimate, half, equivalence = parts(n)
            found = verdicts(estimate + by_contrast(gains), half, margin=MARGIN, equivalence_half=equivalence)
            return Outcome(found, np.full(len(estimate), float(RUNS_PER_SEED * n)))

        return outcome

    @cache  # noqa: B019 - lives as long as the program
    def joint_levels(self, n: int) -> Array:
        """Return the level of the intervals of each study, as `slbench.stats.judge.joint_level`."""
        if n <= MIN_CORRELATION_DF:
            return np.full((len(self.values), 1, 1), sidak_level(LEVEL, COMPARISONS))
        families = self.values[..., :n].reshape(len(self.values), COMPARISONS, n)
        return np.array([min_p_level(family.tolist(), level=LEVEL) for family in families])[:, None, None]

    def sequential(self, *, one_sided: bool = False) -> Callable[[Gains, int], Outcome]:
        """Return the outcomes of the seed rule, by its largest number of seeds."""

        @cache
        def outcome(gains: Gains, most: int) -> Outcome:
            level, values = rule_level(most), self.values[..., :most] + by_contrast(gains)[..., None]
            inner = 2 * level - 1 if one_sided else level
            found, stopped = sequential_verdicts(
                values, first=FIRST, level=level, margin=MARGIN, equivalence_level=inner
            )
            return Outcome(found, training_runs(stopped))

        return outcome


@cache
def rule_level(most: int) -> float:
    """Return the level of each analysis of the rule with up to `most` seeds."""
    rule = SeedRule(min=FIRST, max=most, until="decided")
    return SequentialDesign(rule, COMPARISONS, Statistics(margin=MARGIN, level=LEVEL)).interval_level


def training_runs(stopped: Array) -> Array:
    """Return the runs of each study: those of none until the last of its comparisons stops."""
    return np.asarray(stopped.sum(axis=(1, 2)) + stopped.max(axis=1).sum(axis=1))


def simulate(covariance: Array, *, studies: int, seed: int) -> Simulation:
    """Return studies whose accuracies have a covariance over the methods of a seed, in points squared."""
    return Simulation(differences_like(np.random.default_rng(seed), (studies, BACKBONES, MOST), covariance))


def cost_table(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    """Yield rows of the runs that each design needs, by gain: the design that knows the gain beforehand."""
    base = dict[float, float]()
    for design in simulation.designs():
        for gain in GAINS:
            n = design.needed(gain)
            if n > MOST:
                yield design.name, f"{gain:g}", f"over {MOST}", "", "", "", ""
                continue
            outcome = design.outcome(gain, n)
            runs = outcome.runs.mean()
            base.setdefault(gain, runs)
            yield (
                design.name, f"{gain:g}", f"{n} ({design.needed(gain, 1.96)} to {design.needed(gain, -1.96)})",
                with_error(outcome.runs, 0), share(outcome.right(gain)), share(outcome.wrong(gain)),
                f"{runs / base[gain]:.2f}",
            )  # fmt: skip


def one_design_table(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    """Yield rows of the runs of designs whose seeds suffice for each of the gains, since a study does not know its."""
    base = seeds_for_all(simulation.designs()[0]) * RUNS_PER_SEED
    for design in simulation.designs():
        n = seeds_for_all(design)
        found = [design.outcome(gain, n) for gain in GAINS]
        right = [share(each.right(gain)) for gain, each in zip(GAINS, found, strict=True)]
        runs = [f"{with_error(each.runs, 0)} ({each.runs.mean() / base:.2f})" for each in found]
        yield design.name, str(n), *right, *runs, f"{np.mean([each.runs.mean() for each in found]) / base:.2f}"


def seeds_for_all(design: Design, z: float = 0.0) -> int:
    """Return the smallest number of seeds that suffices for each gain; see `Design.needed`."""
    return min(max(design.needed(gain, z) for gain in GAINS), MOST)


def aim_rows(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    """Yield rows of the rule's share of the runs of the t tests, and whether the aim is met.

    The interval has the designs' seeds at the ends of their intervals.
    """
    t_tests, rule = (next(each for each in simulation.designs() if each.name == name) for name in ("t tests", RULE))
    groups: dict[str, tuple[Gains, ...]] = {f"{gain:g}": (gain,) for gain in GAINS}
    groups |= {"mean of the three": GAINS, "1 of spt, 0 of lsa, 2 of both": (MIXED,)}
    for name, gains in groups.items():
        ratio, low, high = (
            float(np.mean([rule.outcome(each, seeds_for_all(rule, z)).runs.mean() for each in gains]))
            / (RUNS_PER_SEED * seeds_for_all(t_tests, -z))
            for z in (0.0, 1.96, -1.96)
        )
        right = np.mean([rule.outcome(each, seeds_for_all(rule)).right(each) for each in gains], axis=0)
        yield name, f"{ratio:.2f} ({low:.2f} to {high:.2f})", share(right), "yes" if ratio <= AIM else "no"


def known_spread_seeds(covariance: Array) -> int:
    """Return the seeds with POWER for "equivalent" of no gain if standard deviations were known.

    By two one-sided normal tests at Sidak's level: about the fewest of any design with a fixed number of seeds.

    Args:
        covariance: of the methods' accuracies, none first.
    """
    stds = [(covariance[0, 0] + covariance[i, i] - 2 * covariance[0, i]) ** 0.5 for i in range(1, len(covariance))]
    bound = ndtri(sidak_level(LEVEL, COMPARISONS))
    return next(
        n
        for n in range(1, MOST)
        if np.mean([max(2 * ndtr(MARGIN * n**0.5 / std - bound) - 1, 0) for std in stds]) >= POWER
    )


def margin_table(simulation: Simulation) -> Iterator[tuple[str, ...]]:
    """Yield rows of what the designs of `one_design_table` say of a gain as large as the margin."""
    for design in simulation.designs():
        n = seeds_for_all(design)
        outcome = design.outcome(MARGIN, n)
        found = outcome.found
        shares = [share(each.mean(axis=(1, 2))) for each in (found.better, found.equivalent, ~found.decided)]
        yield design.name, str(n), *shares, share(outcome.wrong(MARGIN)), with_error(outcome.runs, 0)


def with_error(values: Array, digits: int) -> str:
    """Return a mean with its 95 % interval over the studies."""
    half = 1.96 * values.std() / len(values) ** 0.5
    return f"{values.mean():.{digits}f}" + (f" ± {half:.{digits}f}" if half else "")


def share(values: Array) -> str:
    """Return a mean share of studies with its interval."""
    half = 1.96 * values.std() / len(values) ** 0.5
    return f"{values.mean():.3f} ± {half:.3f}"
