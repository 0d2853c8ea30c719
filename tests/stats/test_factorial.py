"""The 2x2 effects: by hand, against an analysis of variance, and pooled over backbones."""

import numpy as np
import pytest
from scipy.stats import f, ttest_1samp

from slbench.stats.factorial import (
    METHODS_2X2,
    contrasts,
    factorial,
    factorial_over,
    gain,
    over_backbones_at_large,
    over_these_backbones,
)
from slbench.stats.intervals import t_interval
from tests.support import naming

# Two seeds and a third that "both" lacks.
BY_HAND = {
    "none": {0: 70.0, 1: 71.0, 2: 50.0},
    "spt": {0: 74.0, 1: 73.0, 2: 50.0},
    "lsa": {0: 71.0, 1: 73.0, 2: 50.0},
    "both": {0: 76.0, 1: 78.0},
}


def drawn(seeds: int, *, draw: int = 0) -> dict[str, dict[int, float]]:
    noise = np.random.default_rng(draw).normal(0, 1, (4, seeds))
    return {method: dict(enumerate(80 + values)) for method, values in zip(METHODS_2X2, noise, strict=True)}


def test_the_effects_of_two_seeds_by_hand() -> None:
    result = contrasts(BY_HAND)
    assert result.spt == {0: (4 + 5) / 2, 1: (2 + 5) / 2}
    assert result.lsa == {0: (1 + 2) / 2, 1: (2 + 5) / 2}
    assert result.interaction == {0: 5 - 4, 1: 5 - 2}
    effects = factorial(BY_HAND)
    assert (effects.spt.estimate, effects.lsa.estimate, effects.interaction.estimate) == (4.0, 2.5, 2.0)
    assert (effects.spt.n, effects.spt.over) == (2, "seed")
    assert effects.interaction.std == pytest.approx(2**0.5)
    # t of two values is mean / half their distance: 4 / 0.5 = 8, and with one degree of freedom p = 1 - 2/pi atan(8)
    assert effects.spt.p_value == pytest.approx(1 - 2 / np.pi * np.arctan(8))
    assert effects.spt.verdict == "undecided"


def test_additive_effects_have_no_interaction() -> None:
    accuracies = {
        "none": {0: 70.0, 1: 60.0},
        "spt": {0: 73.0, 1: 64.0},
        "lsa": {0: 71.0, 1: 61.0},
        "both": {0: 74.0, 1: 65.0},
    }
    result = factorial(accuracies)
    assert (result.spt.estimate, result.lsa.estimate, result.interaction.estimate) == (3.5, 1.0, 0.0)
    assert (result.lsa.std, result.lsa.p_value, result.lsa.verdict) == (0.0, None, "undecided")


def test_one_seed_gives_effects_without_intervals() -> None:
    result = factorial({method: {7: accuracy[0]} for method, accuracy in BY_HAND.items()})
    assert (result.spt.estimate, result.spt.std, result.spt.interval, result.spt.p_value) == (4.5, None, None, None)


def test_a_missing_method_is_named() -> None:
    with pytest.raises(ValueError, match=naming("none", "spt", "lsa, both")):
        factorial({"none": {0: 1.0}, "spt": {0: 1.0}})
    with pytest.raises(ValueError, match=naming("seed")):
        factorial({method: {seed: 1.0} for seed, method in enumerate(METHODS_2X2)})


def test_squared_t_statistics_are_the_f_of_a_repeated_measures_analysis_of_variance() -> None:
    """Sums of squares of the factors, and of their interactions with the seeds as errors."""
    accuracies = drawn(7)
    result = factorial(accuracies)
    top1 = np.array(
        [[accuracies[method][seed] for method in ("none", "lsa", "spt", "both")] for seed in range(7)]
    ).reshape(7, 2, 2)
    for effect, over in ((result.spt, (2,)), (result.lsa, (1,)), (result.interaction, ())):
        part = top1.mean(axis=over, keepdims=True)  # of each seed, less what the other factor adds
        for axis in {1, 2} - set(over):
            part = part - part.mean(axis=axis, keepdims=True)
        of_factor = 7 * (part.mean(axis=0) ** 2).sum()
        of_error = ((part - part.mean(axis=0)) ** 2).sum() / 6
        assert effect.std is not None
        statistic = effect.estimate / effect.std * 7**0.5
        assert statistic**2 == pytest.approx(of_factor / of_error, rel=1e-9)
        assert effect.p_value == pytest.approx(f.sf(of_factor / of_error, 1, 6), rel=1e-9)


def test_over_these_backbones_each_seed_is_averaged_first() -> None:
    gains = {"ViT": {0: 3.0, 1: 5.0, 2: 99.0}, "Swin": {0: 1.0, 1: -1.0}}  # both means are 2
    result = over_these_backbones(gains)
    assert (result.estimate, result.std, result.n, result.over) == (2.0, 0.0, 2, "seed")
    gains = {"ViT": {0: 3.0, 1: 5.0, 4: 4.0}, "Swin": {0: 1.0, 1: 2.0, 4: 0.0}}
    result = over_these_backbones(gains)
    theirs = ttest_1samp([2.0, 3.5, 2.0], 0.0)
    assert result.interval is not None
    low, high = theirs.confidence_interval()
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
    assert result.p_value == pytest.approx(theirs.pvalue)


def test_over_backbones_at_large_each_backbone_is_one_observation() -> None:
    # Gains of SL over the plain backbone on Tiny-ImageNet: arXiv:2112.13492, Table 2; their mean is the paper's 2.96.
    paper = {"ViT": {0: 4.00}, "T2T": {0: 1.26}, "CaiT": {0: 2.81}, "PiT": {0: 2.66}, "Swin": {0: 4.08}}
    result = over_backbones_at_large(paper)
    assert result.estimate == pytest.approx(2.96, abs=0.005)
    assert (result.n, result.over) == (5, "backbone")
    assert result.interval is not None
    low, high = ttest_1samp([4.00, 1.26, 2.81, 2.66, 4.08], 0.0).confidence_interval()
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
    assert over_these_backbones(paper).interval is None  # one seed


def test_pooling_refuses_missing_seeds_and_backbones() -> None:
    with pytest.raises(ValueError, match=naming("seed")):
        over_these_backbones({"ViT": {0: 1.0}, "Swin": {1: 1.0}})
    for pool in (over_these_backbones, over_backbones_at_large):
        with pytest.raises(ValueError, match=naming("backbone")):
            pool({})
    with pytest.raises(ValueError, match=naming("seed")):
        over_backbones_at_large({"ViT": {0: 1.0}, "Swin": {}})


def test_the_2x2_effects_over_backbones_are_pooled_contrasts() -> None:
    grids = {"ViT": drawn(5, draw=1), "PiT": drawn(5, draw=2), "Swin": drawn(5, draw=3)}
    result = factorial_over(grids, pool=over_these_backbones, level=0.9)
    mean_of_grids = {
        method: {s: float(np.mean([grids[b][method][s] for b in grids])) for s in range(5)} for method in METHODS_2X2
    }
    expected = factorial(mean_of_grids, level=0.9)
    assert result.interaction.estimate == pytest.approx(expected.interaction.estimate)
    assert result.lsa.std == pytest.approx(expected.lsa.std)
    assert result.lsa.interval is not None and result.lsa.interval.level == 0.9
    at_large = factorial_over(grids, pool=over_backbones_at_large)
    assert at_large.spt.estimate == pytest.approx(result.spt.estimate)
    assert (at_large.spt.n, at_large.spt.over) == (3, "backbone")


def test_a_gain_is_over_shared_seeds_and_its_interval_is_students_on_request() -> None:
    assert gain({0: 3.0, 1: 5.0, 9: 1.0}, {1: 2.0, 0: 2.0}) == {0: 1.0, 1: 3.0}
    many = {seed: float(seed % 7) for seed in range(30)}
    methods = [
        effect.interval.method
        for effect in (over_these_backbones({"ViT": many}), over_these_backbones({"ViT": many}, interval=t_interval))
        if effect.interval is not None
    ]
    assert methods == ["bootstrap", "t"]
