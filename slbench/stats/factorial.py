"""The 2x2 question answered directly: what SPT gives, what LSA gives, and whether together they give more or less.

Each answer is a contrast of rows that share a seed, so what a seed does to all rows alike cancels, and its interval is
that of a mean over seeds. Two ways lead from contrasts of several backbones to one number, and they answer different
questions: see `over_these_backbones` and `over_backbones_at_large`. A mixed model (a random intercept by backbone)
is not offered: with three to five backbones its variance between them is often estimated as zero, where its intervals
are too narrow, and with as many seeds for each backbone its mean is the second of the two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean

from slbench.stats.intervals import LEVEL, Estimate, Interval, mean_interval, paired_p, spread_of, t_interval

ROWS = ("none", "spt", "lsa", "both")
BySeed = Mapping[int, float]  # accuracies, or a contrast of them, in points


@dataclass(frozen=True)
class Effect(Estimate):
    """An effect of a 2x2, or a mean over backbones."""

    over: str  # what its values are: "seed" or "backbone"

    @property
    def words(self) -> str:
        """The effect in a sentence without its end, with what it rests on."""
        number = f"{self.n} {self.over}{'' if self.n == 1 else 's'}"
        if self.interval is None:
            return f"{self.estimate:+.2f} points ({number}: cannot be told from noise)"
        low, high, level = self.interval.low, self.interval.high, 100 * self.interval.level
        p = "" if self.p_value is None else f", p = {self.p_value:.2g}"
        return f"{self.estimate:+.2f} points, {level:.4g} % interval {low:+.2f} to {high:+.2f} ({number}{p})"


@dataclass(frozen=True)
class Factorial:
    """The effects of a 2x2 ablation, in points of accuracy."""

    spt: Effect  # with SPT less without, the mean of both states of LSA: ((spt - none) + (both - lsa)) / 2
    lsa: Effect  # with LSA less without, the mean of both states of SPT: ((lsa - none) + (both - spt)) / 2
    interaction: Effect  # what SPT gives beside LSA less what it gives alone: both - lsa - spt + none


@dataclass(frozen=True)
class Contrasts:
    """The effects of a 2x2 ablation seed by seed, over the seeds that all four rows have."""

    spt: BySeed
    lsa: BySeed
    interaction: BySeed


Pool = Callable[..., Effect]  # from contrasts by backbone, and a level


def contrasts(by_row: Mapping[str, BySeed]) -> Contrasts:
    """The effects of each seed.

    The interaction is not halved, as it is in some books: it is the difference between two gains, in points. Above
    zero SPT and LSA give more together than the sum of what each gives alone.

    Args:
        by_row: accuracies of the rows "none", "spt", "lsa", "both", by seed; others are ignored.
    Raises:
        ValueError: if a row is missing, or if the four share no seed.
    """
    missing = [row for row in ROWS if row not in by_row]
    if missing:
        raise ValueError(f"a 2x2 needs the rows {', '.join(ROWS)}: {', '.join(missing)} missing")
    none, spt, lsa, both = (by_row[row] for row in ROWS)
    seeds = sorted(none.keys() & spt.keys() & lsa.keys() & both.keys())
    if not seeds:
        raise ValueError("the four rows share no seed")
    return Contrasts(
        spt={seed: ((spt[seed] - none[seed]) + (both[seed] - lsa[seed])) / 2 for seed in seeds},
        lsa={seed: ((lsa[seed] - none[seed]) + (both[seed] - spt[seed])) / 2 for seed in seeds},
        interaction={seed: both[seed] - lsa[seed] - spt[seed] + none[seed] for seed in seeds},
    )


def gain(one: BySeed, other: BySeed) -> dict[int, float]:
    """The plain contrast of two rows: one less the other, over the seeds that both have."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def factorial(
    by_row: Mapping[str, BySeed], *, level: float = LEVEL, interval: Callable[..., Interval] = mean_interval
) -> Factorial:
    """The 2x2 question for one backbone on one data set, over the seeds that all four rows have.

    Each squared t statistic is the F of a repeated-measures analysis of variance, with seeds as subjects.

    Args:
        by_row, and what raises: as `contrasts` has it.
        level, interval: as `slbench.stats.intervals.paired_difference` has them.
    """
    found = contrasts(by_row)
    return Factorial(
        *(
            effect(list(by_seed.values()), over="seed", level=level, interval=interval)
            for by_seed in (found.spt, found.lsa, found.interaction)
        )
    )


def factorial_over(by_backbone: Mapping[str, Mapping[str, BySeed]], *, pool: Pool, level: float = LEVEL) -> Factorial:
    """The 2x2 question for several backbones on one data set.

    Args:
        by_backbone: of each what `contrasts` takes.
        pool: `over_these_backbones` or `over_backbones_at_large`.
    """
    found = {backbone: contrasts(by_row) for backbone, by_row in by_backbone.items()}
    return Factorial(
        spt=pool({backbone: each.spt for backbone, each in found.items()}, level=level),
        lsa=pool({backbone: each.lsa for backbone, each in found.items()}, level=level),
        interaction=pool({backbone: each.interaction for backbone, each in found.items()}, level=level),
    )


def over_these_backbones(
    by_backbone: Mapping[str, BySeed], *, level: float = LEVEL, interval: Callable[..., Interval] = mean_interval
) -> Effect:
    """The mean of a contrast over just these backbones, all counting alike, with its interval over seeds.

    Each seed's contrast is averaged over the backbones first, so it does not matter what a seed does to several of
    them alike. It answers: is the mean gain of *these* networks more than the luck of the seeds? It says nothing of
    a network that is not among them. The paper's "mean gain over five backbones" is this with the contrast `gain`.

    Args:
        by_backbone: a contrast by seed of each backbone, whatever it is: a main effect, an interaction, a gain.
    Raises:
        ValueError: if there is none, or if they share no seed.
    """
    every = list(by_backbone.values())
    shared = set.intersection(*(set(by_seed) for by_seed in every)) if every else set()
    if not shared:
        raise ValueError("the backbones share no seed" if every else "no backbone to pool")
    means = [mean(by_seed[seed] for by_seed in every) for seed in sorted(shared)]
    return effect(means, over="seed", level=level, interval=interval)


def over_backbones_at_large(by_backbone: Mapping[str, BySeed], *, level: float = LEVEL) -> Effect:
    """The mean of a contrast over backbones, taken as a sample of what backbones there may be.

    One number a backbone, its mean over its seeds, and Student's t over the backbones. It answers: would a network
    like these gain? Its spread holds what differs between networks and what the seeds leave of noise; backbones are
    taken to be independent. It works with one seed each, as the paper has it.

    Raises:
        ValueError: if there is no backbone, or one without a seed.
    """
    if not by_backbone or not all(by_backbone.values()):
        raise ValueError("no backbone to pool" if not by_backbone else "a backbone has no seed")
    return effect(
        [mean(by_seed.values()) for by_seed in by_backbone.values()], over="backbone", level=level, interval=t_interval
    )


def effect(values: list[float], *, over: str, level: float, interval: Callable[..., Interval]) -> Effect:
    """The mean of values, with what can be said of it."""
    n, spread = len(values), spread_of(values)
    return Effect(
        estimate=mean(values),
        std=spread,
        n=n,
        over=over,
        interval=interval(values, level=level) if n > 1 else None,
        p_value=paired_p(values) if spread else None,
    )
