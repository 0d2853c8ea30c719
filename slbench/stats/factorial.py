"""The 2x2 ablation: main effects of SPT and LSA, and their interaction.

Each effect is a contrast of methods with the same seed, so effects of the seed common to all methods cancel; its
interval is that of a mean over seeds. There are two ways to pool backbones, for two questions: `over_these_backbones`
and `over_backbones_at_large`. A mixed model (random intercept per backbone) is not offered: with three to five
backbones its variance between backbones is often estimated as zero, which makes intervals too narrow, and with equally
many seeds per backbone its mean is that of `over_backbones_at_large`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean

from slbench.stats.intervals import LEVEL, Estimate, Interval, mean_interval, paired_p, spread_of, t_interval

METHODS_2X2 = ("none", "spt", "lsa", "both")
BySeed = Mapping[int, float]  # accuracies, or a contrast of them, in points


@dataclass(frozen=True)
class Effect(Estimate):
    """An effect of a 2x2, or a mean over backbones."""

    over: str  # unit of its values: "seed" or "backbone"


@dataclass(frozen=True)
class Factorial:
    """The effects of a 2x2 ablation, in points of accuracy."""

    spt: Effect  # with SPT minus without, averaged over LSA: ((spt - none) + (both - lsa)) / 2
    lsa: Effect  # with LSA minus without, averaged over SPT: ((lsa - none) + (both - spt)) / 2
    interaction: Effect  # gain of SPT with LSA minus gain without: both - lsa - spt + none


@dataclass(frozen=True)
class Contrasts:
    """Effects of a 2x2 ablation by seed, over the common seeds of the four methods."""

    spt: BySeed
    lsa: BySeed
    interaction: BySeed


Pool = Callable[..., Effect]  # of contrasts by backbone, and a level


def contrasts(by_method: Mapping[str, BySeed]) -> Contrasts:
    """Return the effects of each seed.

    The interaction is not halved, as in some textbooks: it is the difference of two gains in points. It is positive if
    SPT and LSA together gain more than the sum of their separate gains.

    Args:
        by_method: accuracies by seed of "none", "spt", "lsa", "both"; other methods are ignored.
    Raises:
        ValueError: if a method is missing, or without a common seed.
    """
    missing = [method for method in METHODS_2X2 if method not in by_method]
    if missing:
        raise ValueError(f"a 2x2 needs the methods {', '.join(METHODS_2X2)}: {', '.join(missing)} missing")
    none, spt, lsa, both = (by_method[method] for method in METHODS_2X2)
    seeds = sorted(none.keys() & spt.keys() & lsa.keys() & both.keys())
    if not seeds:
        raise ValueError("the four methods share no seed")
    return Contrasts(
        spt={seed: ((spt[seed] - none[seed]) + (both[seed] - lsa[seed])) / 2 for seed in seeds},
        lsa={seed: ((lsa[seed] - none[seed]) + (both[seed] - spt[seed])) / 2 for seed in seeds},
        interaction={seed: both[seed] - lsa[seed] - spt[seed] + none[seed] for seed in seeds},
    )


def gain(one: BySeed, other: BySeed) -> dict[int, float]:
    """Return one - other over the common seeds."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def factorial(
    by_method: Mapping[str, BySeed], *, level: float = LEVEL, interval: Callable[..., Interval] = mean_interval
) -> Factorial:
    """Return the effects of one backbone on one data set, over the common seeds of the four methods.

    Each squared t statistic is the F of a repeated-measures analysis of variance, with seeds as subjects.

    Args:
        by_method: as in `contrasts`, which also describes the errors.
        level, interval: as in `slbench.stats.intervals.paired_difference`.
    """
    by_effect = contrasts(by_method)
    return Factorial(
        *(
            effect(list(by_seed.values()), over="seed", level=level, interval=interval)
            for by_seed in (by_effect.spt, by_effect.lsa, by_effect.interaction)
        )
    )


def factorial_over(by_backbone: Mapping[str, Mapping[str, BySeed]], *, pool: Pool, level: float = LEVEL) -> Factorial:
    """Return the effects pooled over backbones on one data set.

    Args:
        by_backbone: for each backbone the argument of `contrasts`.
        pool: `over_these_backbones` or `over_backbones_at_large`.
    """
    by_effect = {backbone: contrasts(by_method) for backbone, by_method in by_backbone.items()}
    return Factorial(
        spt=pool({backbone: contrast.spt for backbone, contrast in by_effect.items()}, level=level),
        lsa=pool({backbone: contrast.lsa for backbone, contrast in by_effect.items()}, level=level),
        interaction=pool({backbone: contrast.interaction for backbone, contrast in by_effect.items()}, level=level),
    )


def over_these_backbones(
    by_backbone: Mapping[str, BySeed], *, level: float = LEVEL, interval: Callable[..., Interval] = mean_interval
) -> Effect:
    """Return the mean of a contrast over these backbones, equally weighted, with its interval over seeds.

    Contrasts are first averaged over the backbones within each seed. The result is about these networks only, not about
    others. The paper's "mean gain over five backbones" is this mean of the contrast `gain`.

    Args:
        by_backbone: a contrast by seed for each backbone: a main effect, an interaction, or a gain.
    Raises:
        ValueError: without backbones, or without a common seed.
    """
    all_backbones = list(by_backbone.values())
    shared = set.intersection(*(set(by_seed) for by_seed in all_backbones)) if all_backbones else set()
    if not shared:
        raise ValueError("the backbones share no seed" if all_backbones else "no backbone to pool")
    means = [mean(by_seed[seed] for by_seed in all_backbones) for seed in sorted(shared)]
    return effect(means, over="seed", level=level, interval=interval)


def over_backbones_at_large(by_backbone: Mapping[str, BySeed], *, level: float = LEVEL) -> Effect:
    """Return the mean of a contrast over backbones as a random sample of backbones.

    Uses one number per backbone, its mean over seeds, and Student's t over the backbones, which are assumed to be
    independent. Works with one seed per backbone, as in the paper.

    Raises:
        ValueError: without backbones, or for a backbone without seeds.
    """
    if not by_backbone or not all(by_backbone.values()):
        raise ValueError("no backbone to pool" if not by_backbone else "a backbone has no seed")
    return effect(
        [mean(by_seed.values()) for by_seed in by_backbone.values()], over="backbone", level=level, interval=t_interval
    )


def effect(values: list[float], *, over: str, level: float, interval: Callable[..., Interval]) -> Effect:
    """Return the mean of values with spread, interval and p value."""
    n, spread = len(values), spread_of(values)
    return Effect(
        estimate=mean(values),
        std=spread,
        n=n,
        over=over,
        interval=interval(values, level=level) if n > 1 else None,
        p_value=paired_p(values) if spread else None,
    )
