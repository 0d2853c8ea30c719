"""Seeds needed and smallest effects, against the noncentral t distribution of scipy, by integration and by hand."""

import pytest
from scipy.integrate import quad
from scipy.stats import chi, nct, norm, t, wilcoxon

from slbench.stats.power import rank_test_sentence, seeds_needed, smallest_effect, smallest_rank_p
from tests.support import missing, naming


def power(effect: float, n: int) -> float:
    """Return the power of a t test of n values at 0.05 for an effect in standard deviations."""
    bound, moved = t.ppf(0.975, n - 1), effect * n**0.5
    return float(nct.sf(bound, n - 1, moved) + nct.cdf(-bound, n - 1, moved))


@pytest.mark.parametrize(("std", "effect"), [(1.0, 0.5), (0.5, 0.5), (2.0, -1.0), (0.2, 1.0)])
def test_seeds_needed_is_the_smallest_number_with_power_0_8(std: float, effect: float) -> None:
    needed = seeds_needed(std, effect)
    assert needed is not None
    assert power(abs(effect) / std, needed) >= 0.8
    assert needed == 2 or power(abs(effect) / std, needed - 1) < 0.8


def test_an_effect_of_many_standard_deviations_needs_two_seeds() -> None:
    assert seeds_needed(1.0, 12.0) == seeds_needed(1.0, 500.0) == 2
    assert seeds_needed(1.0, 8.0) == 3  # power 0.62 with two: scipy has no number for the wrong side


def test_seeds_needed_is_none_above_a_thousand() -> None:
    assert seeds_needed(1.0, 0.09) == 971
    assert seeds_needed(1.0, 0.08) is None


@pytest.mark.parametrize("n", [3, 5, 10, 25])
def test_the_smallest_effect_has_power_0_8(n: int) -> None:
    assert power(smallest_effect(0.7, n) / 0.7, n) == pytest.approx(0.8, rel=1e-5)


@pytest.mark.parametrize("n", [2, 3, 4, 11])
@pytest.mark.parametrize("level", [0.95, 0.983, 0.999])
def test_the_smallest_effect_has_power_0_8_by_integration(n: int, level: float) -> None:
    """Integrate the power over the distribution of the sample standard deviation."""
    bound = t.ppf((1 + level) / 2, n - 1) / (n - 1) ** 0.5
    shift = smallest_effect(1.0, n, level=level) * n**0.5

    def passed(spread: float) -> float:
        return float(chi.pdf(spread, n - 1) * (norm.sf(bound * spread - shift) + norm.cdf(-bound * spread - shift)))

    assert quad(passed, 0, 12, limit=500, points=[shift / bound])[0] == pytest.approx(0.8, abs=5e-4)


def test_the_smallest_effect_of_two_seeds_by_hand() -> None:
    # t = (z + shift) / |z'| above 12.706 with power 0.8: nearly P(|z'| < shift / 12.706) = 0.8, shift = 12.706 x 1.2816
    assert smallest_effect(1.0, 2) == pytest.approx(12.706 * 1.2816 / 2**0.5, rel=0.01)
    with pytest.raises(ValueError, match=naming("two", "1")):
        smallest_effect(1.0, 1)


@pytest.mark.parametrize(("std", "n"), [(1.0, 4), (0.3, 7), (2.5, 12)])
def test_seeds_needed_is_the_inverse_of_smallest_effect(std: float, n: int) -> None:
    shown = smallest_effect(std, n)
    assert seeds_needed(std, shown * 1.001) == n
    assert seeds_needed(std, shown * 0.999) == n + 1


def test_the_smallest_p_value_of_a_rank_test_of_five_seeds_is_0_0625() -> None:
    assert smallest_rank_p(5) == 0.0625
    assert not missing(rank_test_sentence(5), "5 paired seeds", "p = 0.0625")
    assert not missing(rank_test_sentence(6), "6 paired seeds", "p = 0.03125")
    assert not missing(rank_test_sentence(1), "1 paired seed", "p = 1")


@pytest.mark.parametrize("n", [2, 5, 6])
def test_the_smallest_p_value_of_a_rank_test_equals_that_of_scipy(n: int) -> None:
    assert wilcoxon([1.0 + 0.1 * i for i in range(n)], method="exact").pvalue == smallest_rank_p(n)
