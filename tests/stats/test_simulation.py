"""Coverage, family error and power of verdicts, by the simulated studies of `benchmarks`, and reference results."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.measured import measured
from benchmarks.simulated import (
    CONTRASTS,
    LAWS,
    Array,
    differences,
    half_width,
    means,
    own_spread,
    prior_of,
    sequential_verdicts,
    spread_of,
    verdicts,
)
from benchmarks.verdict import covered, wilson
from benchmarks.verdict_cost import training_runs
from slbench import contrasts
from slbench.stats.contrast import Contrast
from slbench.stats.moderation import PLAIN_WEIGHT, Variance, estimate_prior
from slbench.stats.sequential import SequentialDesign, interim_analyses
from slbench.stats.settings import Statistics
from slbench.stats.simultaneous import sidak_level
from slbench.study import SeedRule
from tests.stats.test_contrasts import frame, only

STUDIES = 2000
CELLS = {3: 1, 15: 5, 60: 20}  # by comparisons


def simulated(seed: int, cells: int, seeds: int, law: str = "normal", **options: float) -> Array:
    return differences(np.random.default_rng(seed), (STUDIES, cells, seeds), law, **options)


def as_frame(study: Array) -> pd.DataFrame:
    """Return the runs of one simulated study: contrast, cell, seed."""
    runs = dict[tuple[str, str, float | None], list[float]]()
    for cell in range(study.shape[1]):
        runs["abcde"[cell], "none", 1.0] = [80.0] * study.shape[2]
        for method, values in zip(CONTRASTS, study[:, cell], strict=True):
            runs["abcde"[cell], method, 1.0] = (80 + values).tolist()
    return frame(runs).dropna(subset="final_test_top1")  # missing, not diverged


@pytest.mark.parametrize(("seeds", "options"), [(3, {}), (5, {"unequal": 0.8}), (4, {"missing": 0.15})])
def test_simulated_studies_are_judged_as_by_contrasts(seeds: int, options: dict[str, float]) -> None:
    study = differences(np.random.default_rng(seeds), (1, 5, seeds), "normal", **options) + 0.5
    spread, count = spread_of(study, moderated=True), np.isfinite(study).sum(axis=-1)
    half = half_width(spread, count, sidak_level(0.95, 15))
    plain = half_width(spread_of(study, moderated=True, limit=PLAIN_WEIGHT), count, 0.95)
    found = verdicts(means(study), half, margin=2.0)
    table = contrasts(as_frame(study[0]), margin=2.0)
    table = table[~table["exploratory"]].set_index(["contrast", "backbone"])
    for place, method in enumerate(CONTRASTS):
        for cell, backbone in enumerate("abcde"):
            row: Any = table.loc[f"{method} against none", backbone]
            assert row.estimate == pytest.approx(means(study)[0, place, cell])
            assert row.df == pytest.approx(spread.df[0, place, cell], nan_ok=True)
            assert (row.high - row.low) / 2 == pytest.approx(half[0, place, cell], nan_ok=True)
            assert (row.high_plain - row.low_plain) / 2 == pytest.approx(plain[0, place, cell], nan_ok=True)
            assert row.verdict.startswith("better") == found.better[0, place, cell]
            assert (row.verdict == "equivalent") == found.equivalent[0, place, cell]


def test_simulated_seed_rules_stop_as_interim_analyses_do() -> None:
    design = SequentialDesign(SeedRule(min=3, max=8, until="decided"), 15, Statistics(margin=1.5))
    study = differences(np.random.default_rng(1), (4, 5, 8)) * 0.5 + np.array([0.0, 0.5, 2.0, 1.0])[:, None, None, None]
    found, stopped = sequential_verdicts(study, first=3, level=design.interval_level, margin=1.5)
    for number, place in np.ndindex(4, 3):
        cells = [
            {"spt": dict(enumerate(values)), "none": dict.fromkeys(range(8), 0.0)}
            for values in study[number, place].tolist()
        ]
        expected = interim_analyses(Contrast(method="spt", reference="none"), cells, design)
        assert [each.n for each in expected] == stopped[number, place].tolist()
        assert [each.verdict == "equivalent" for each in expected] == found.equivalent[number, place].tolist()
        assert [each.verdict.startswith("better") for each in expected] == found.better[number, place].tolist()


def test_runs_of_a_seed_rule_include_those_of_the_reference_until_its_last_comparison_stops() -> None:
    stopped = np.array([[[3.0, 4.0], [5.0, 3.0], [4.0, 3.0]]])  # of spt, lsa, both in two cells
    assert training_runs(stopped).tolist() == [(5 + 3 + 5 + 4) + (4 + 4 + 3 + 3)]


def test_wilsons_interval_is_that_of_its_formula() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)  # z^2 / (n + z^2)
    assert sum(wilson(5, 10)) == pytest.approx(1.0)


# statsmodels 0.15.0 for benchmarks/verdict_runs.csv: AnovaRM of top-1 with seeds as subjects, SPT and LSA as
# factors within them; OLS of each method's differences to none on a constant.
ANOVA_F = {"spt": 44.71022914878207, "lsa": 0.11025393764024952, "interaction": 0.7195447725693184}
OLS = {
    "spt": (0.80625, 0.1709838912629746, 0.40193734408786874, 1.2105626559121352),
    "lsa": (-0.14375, 0.15190384058908502, -0.5029455053670301, 0.21544550536703935),
    "both": (0.99375, 0.17306003809578382, 0.5845280369371387, 1.4029719630628619),
}  # estimate, standard error, ends of the interval


def quick_runs() -> pd.DataFrame:
    return frame({("vit", method, 1.0): values.tolist() for method, values in measured().items()})


@pytest.mark.parametrize("effect", ["spt", "lsa", "interaction"])
def test_the_square_of_an_effects_t_is_the_f_of_statsmodels_anova(effect: str) -> None:
    row = only(contrasts(quick_runs(), contrasts=[{"effect": effect}]).query("not exploratory"))
    assert row.estimate**2 * row.n / row.std**2 == pytest.approx(ANOVA_F[effect], rel=1e-9)


@pytest.mark.parametrize("method", ["spt", "lsa", "both"])
def test_a_difference_and_its_plain_interval_are_those_of_statsmodels(method: str) -> None:
    table = contrasts(quick_runs()).query("not exploratory").set_index("contrast")
    row: Any = table.loc[f"{method} against none"]
    found = (row.estimate, row["std"] / row.n**0.5, row.low_plain, row.high_plain)
    assert found == pytest.approx(OLS[method], rel=1e-9)


def test_the_weight_of_the_prior_is_that_of_limma() -> None:
    """df.prior of squeezeVar, in which pylimma 0.2.0 and limma_py 0.1.0 agree; its scale differs (`estimate_prior`)."""
    values = [0.08, 0.21, 0.35, 0.60, 1.10, 0.15, 2.40, 0.50]
    assert estimate_prior([Variance(value, 4) for value in values]).df == pytest.approx(4.484146985574373, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"unequal": 0.4}, {"missing": 0.1}], ids=["equal", "unequal", "missing"])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("cells", [5, 20])
@pytest.mark.parametrize("law", LAWS)
def test_plain_intervals_cover_for_each_contrast(law: str, cells: int, seeds: int, options: dict[str, float]) -> None:
    """Under other laws than the normal, intervals are wider than need be."""
    found = covered(simulated(seeds, cells, seeds, law, **options), 0.95, PLAIN_WEIGHT)
    for place in range(len(CONTRASTS)):
        least, most = (0.93, 0.97) if law == "normal" else (0.92, 0.99)
        assert least <= np.nanmean(found[:, place]) <= most


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"unequal": 0.4}, {"missing": 0.1}], ids=["equal", "unequal", "missing"])
@pytest.mark.parametrize("comparisons", [3, 15, 60])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("law", LAWS)
def test_a_family_rarely_errs(law: str, seeds: int, comparisons: int, options: dict[str, float]) -> None:
    values = simulated(seeds, CELLS[comparisons], seeds, law, **options)
    wrong = (covered(values, sidak_level(0.95, comparisons)) == 0).any(axis=(1, 2))
    assert wrong.mean() <= 0.06 + 2 * (0.05 * 0.95 / STUDIES) ** 0.5


@pytest.mark.slow
def test_moderated_variances_have_more_power_at_the_same_family_error() -> None:
    """5 backbones on 2 data sets, 3 seeds, 30 comparisons; the gain is 3 standard deviations of the difference."""
    values, level = simulated(0, 10, 3), sidak_level(0.95, 30)
    gain = 3 * values.std(axis=(0, 2, 3), keepdims=True)
    own, moderated = (half_width(spread_of(values, moderated=each), 3, level) for each in (False, True))
    assert (np.abs(means(values)) > moderated).any(axis=(1, 2)).mean() <= 0.06
    powers = [(means(values + gain) > half).mean() for half in (own, moderated)]
    assert powers[1] >= 1.5 * powers[0]
    assert powers[1] > 0.5


@pytest.mark.slow
def test_a_single_cell_keeps_its_own_degrees_of_freedom() -> None:
    values = simulated(0, 1, 3)
    alone, shared = own_spread(values), spread_of(values, moderated=True)
    assert (prior_of(alone).weight == 0).all()
    assert np.array_equal(alone.df, shared.df) and np.array_equal(alone.variance, shared.variance)
