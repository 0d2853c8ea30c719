"""Interim analyses of contrasts: values, levels, the frozen prior, diverged runs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from slbench.stats.contrast import Contrast
from slbench.stats.intervals import t_bound
from slbench.stats.moderation import Variance, moderated
from slbench.stats.pocock import sequential_level
from slbench.stats.sequential import BySeed, InterimAnalysis, SequentialDesign, interim_analyses
from slbench.stats.settings import Statistics
from slbench.study import SeedRule

RULE = SeedRule(min=2, max=4, until="decided")
SPT = Contrast(method="spt", reference="none")
PLAIN = (80.0, 80.0, 80.0, 80.0)
Runs = Sequence[float | str | None]  # by seed; None: missing


def cell(spt: Runs, none: Runs = PLAIN) -> dict[str, BySeed]:
    """Return outcomes of two methods by seed."""
    return {"spt": by_seed(spt), "none": by_seed(none)}


def by_seed(runs: Runs) -> BySeed:
    return {seed: "diverged" if run == "diverged" else float(run) for seed, run in enumerate(runs) if run is not None}


def design(rule: SeedRule = RULE, *, count: int = 1, **statistics: object) -> SequentialDesign:
    return SequentialDesign(rule, count, Statistics.model_validate(statistics))


def analyzed(*cells: Mapping[str, BySeed], of: SequentialDesign | None = None) -> list[InterimAnalysis]:
    return interim_analyses(SPT, cells, of or design())


def test_each_of_m_comparisons_has_sidaks_level_over_all_its_analyses() -> None:
    assert design(count=1).interval_level == pytest.approx(1 - sequential_level(2, 4, 0.05))
    assert design(count=15).interval_level == pytest.approx(1 - sequential_level(2, 4, 1 - 0.95 ** (1 / 15)))
    assert design(count=15, level=0.9).interval_level == pytest.approx(1 - sequential_level(2, 4, 1 - 0.9 ** (1 / 15)))


def test_an_interval_is_that_of_students_t_at_the_level_of_the_analyses() -> None:
    (found,) = analyzed(cell((81.0, 79.5, 81.5, 79.0)))
    values = np.array([1.0, -0.5, 1.5, -1.0])
    half = t_bound(3, design().interval_level) * values.std(ddof=1) / 2
    assert (found.state, found.seeds, found.n, found.verdict) == ("undecided", 4, 4, "undecided")
    assert (found.estimate, found.low, found.high) == pytest.approx((0.25, 0.25 - half, 0.25 + half))


def test_an_analysis_waits_for_all_its_seeds() -> None:
    (nothing,) = analyzed(cell(()))
    assert (nothing.state, nothing.seeds, nothing.n, nothing.verdict) == ("waiting", 2, 0, "undecided")
    assert math.isnan(nothing.estimate) and math.isnan(nothing.low) and math.isnan(nothing.adjusted)
    (gap,) = analyzed(cell((81.0, None, 81.0, 81.0)))
    assert (gap.state, gap.seeds, gap.n) == ("waiting", 2, 0)
    (further,) = analyzed(cell((81.0, 79.5)))
    assert (further.state, further.seeds, further.n) == ("waiting", 3, 2)


def test_later_seeds_do_not_change_a_decided_comparison() -> None:
    (decided,) = analyzed(cell((78.0, 77.99)))  # t = 401, and the bound is 31.6
    assert (decided.state, decided.seeds, decided.verdict) == ("decided", 2, "worse")
    (later,) = analyzed(cell((78.0, 77.99, 95.0, 99.0)))
    assert later == decided


def test_an_interval_inside_the_margin_stops_as_equivalent() -> None:
    (found,) = analyzed(cell((80.02, 79.99)), of=design(margin=1.0))
    assert (found.state, found.n, found.verdict) == ("decided", 2, "equivalent")
    (within,) = analyzed(cell((80.2, 80.201)), of=design(margin=1.0))
    assert (within.state, within.verdict) == ("decided", "better, within the margin")


def test_equal_differences_have_no_interval_and_decide_nothing() -> None:
    (found,) = analyzed(cell((81.0, 82.0), (80.0, 81.0)))
    assert (found.state, found.seeds, found.n, found.estimate) == ("waiting", 3, 2, 1.0)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_an_effect_of_the_2x2_needs_all_four_methods() -> None:
    values = {"none": (80.0, 80.0), "lsa": (80.0, 80.0), "spt": (82.0, 82.01), "both": (84.0, 84.01)}
    runs = {method: by_seed(each) for method, each in values.items()}
    (found,) = interim_analyses(Contrast(effect="spt"), [runs], design())
    assert found.verdict == "better" and found.estimate == pytest.approx(3.005)
    (waiting,) = interim_analyses(Contrast(effect="spt"), [{**runs, "both": {}}], design())
    assert (waiting.state, waiting.n) == ("waiting", 0)


def test_a_seed_in_which_all_methods_diverged_is_replaced_by_the_next() -> None:
    (more,) = analyzed(cell(("diverged", 81.0), ("diverged", 80.0)))
    assert (more.state, more.seeds, more.n) == ("waiting", 3, 0)
    (found,) = analyzed(cell(("diverged", 78.0, 77.99), ("diverged", 80.0, 80.0)))
    assert (found.state, found.seeds, found.n, found.verdict) == ("decided", 3, 2, "worse")


def test_unequal_numbers_of_diverged_runs_end_a_comparison_without_a_verdict() -> None:
    (found,) = analyzed(cell((90.0, "diverged")))
    assert (found.state, found.seeds, found.verdict) == ("withheld", 2, "withheld")
    (later,) = analyzed(cell((81.0, 79.5, "diverged")))
    assert (later.state, later.seeds, later.n, later.verdict) == ("withheld", 3, 2, "withheld")
    (equal,) = analyzed(cell((81.0, "diverged", 79.5), ("diverged", 80.0, 80.0)))
    assert (equal.state, equal.seeds) == ("waiting", 4)


def test_the_first_analysis_has_the_moderated_variances_of_all_cells() -> None:
    rule = design(SeedRule(min=3, max=5, until="decided"), count=3)
    plain = [np.random.default_rng(number).normal(80, 1, 3).tolist() for number in range(3)]
    found = analyzed(*(cell(PLAIN[:3], values) for values in plain), of=rule)
    own = [float(np.var(values, ddof=1)) for values in plain]
    spreads = [each.spread for each in found]
    expected = moderated([Variance(value, 2) for value in own])
    for spread, wanted in zip(spreads, expected, strict=True):
        assert spread is not None
        assert (spread.value, spread.df) == pytest.approx((wanted.value, wanted.df))


def test_a_cell_waits_for_the_first_seeds_of_the_others_unless_variances_are_its_own() -> None:
    cells = cell((78.0, 77.99)), cell((78.0,))
    assert [(each.state, each.seeds, each.n) for each in analyzed(*cells)] == [("waiting", 2, 0)] * 2
    own = analyzed(*cells, of=design(variance="own"))
    assert [(each.state, each.seeds) for each in own] == [("decided", 2), ("waiting", 2)]
    lost = cell((78.0, "diverged"))
    assert [each.state for each in analyzed(cells[0], lost)] == ["decided", "withheld"]


def test_later_seeds_of_other_cells_do_not_change_an_analysis() -> None:
    draw = np.random.default_rng(3).normal(80, 1, (3, 4)).tolist()
    first, *others = (cell(line) for line in draw)
    short = [cell(line[:2]) for line in draw[1:]]
    assert analyzed(first, *others)[0] == analyzed(first, *short)[0]
