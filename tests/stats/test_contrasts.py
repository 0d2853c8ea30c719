"""Contrasts of a frame of runs: pairing, families, verdicts and refusals, from values worked out by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, t

from slbench import contrasts
from slbench.errors import InputError
from slbench.stats.simultaneous import min_p_level, sidak_level
from slbench.stats.verdict import verdict
from tests.support import naming

Runs = dict[tuple[str, str, float | None], list[float]]


def frame(runs: Runs, **columns: Any) -> pd.DataFrame:
    """Return runs by (backbone, method, initial temperature), with seeds 0, 1, ..."""
    rows = [
        {
            "backbone": backbone, "method": method, "dataset": "d", "seed": seed, "final_test_top1": value,
            "final_test_loss": 1.0, "method_initial_temperature": temperature, "recipe_lr": 0.1,
            "numerics_lsa": 1.0 if method in ("lsa", "both") else math.nan, "dataset_num_classes": 10, **columns,
        }
        for (backbone, method, temperature), values in runs.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


NONE = [80.0, 82.0, 81.0]
LSA = [81.0, 83.5, 82.0]  # differences 1, 1.5, 1: mean 7/6, standard deviation 0.2887


def only(result: pd.DataFrame) -> Any:
    (row,) = result.itertuples(index=False)
    return row


def test_a_contrast_is_the_mean_difference_with_students_interval() -> None:
    row = only(contrasts(frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA})))
    half = t.ppf(0.975, 2) * 0.5 / math.sqrt(3) / math.sqrt(3)
    assert (row.contrast, row.reference, row.n, row.df, row.verdict) == ("lsa against none", "none", 3, 2, "better")
    assert row.estimate == pytest.approx(7 / 6)
    assert (row.low, row.high) == pytest.approx((7 / 6 - half, 7 / 6 + half))
    assert (row.low_plain, row.high_plain) == (row.low, row.high)
    assert (row.family, row.exploratory, row.failed) == ("primary", False, "")


def test_a_swept_method_is_compared_with_the_reference_at_the_same_value() -> None:
    runs = frame({
        ("a", "none", 0.5): [60.0, 60.2], ("a", "none", 1.0): [80.0, 80.2],
        ("a", "lsa", 0.5): [60.5, 60.6], ("a", "lsa", 1.0): [80.0, 80.1],
    })  # fmt: skip
    result = contrasts(runs)
    assert list(result["setting"]) == ["method_initial_temperature 0.5", "method_initial_temperature 1.0"]
    assert list(result["estimate"]) == pytest.approx([0.45, -0.05])


def test_a_reference_that_is_not_swept_is_the_same_for_all_values() -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 0.5): LSA, ("a", "lsa", 2.0): NONE})
    assert list(contrasts(runs)["estimate"]) == pytest.approx([7 / 6, 0.0])


def test_runs_that_were_trained_differently_are_never_compared() -> None:
    one = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA})
    other = frame({("a", "none", 1.0): [70.0, 71.0, 72.0], ("a", "lsa", 1.0): [70.0, 71.5, 72.0]}, recipe_lr=0.01)
    alone = frame({("a", "lsa", 1.0): LSA}, recipe_lr=1.0)
    result = contrasts(pd.concat([one, other, alone], ignore_index=True))
    assert list(result["setting"]) == ["recipe_lr 0.1", "recipe_lr 0.01"]
    assert list(result["estimate"]) == pytest.approx([7 / 6, 1 / 6])


def test_effects_of_the_two_by_two_use_the_four_methods_of_each_seed() -> None:
    runs = frame({
        ("a", "none", 1.0): [80.0, 81.0], ("a", "spt", 1.0): [82.0, 82.5], ("a", "lsa", 1.0): [81.0, 81.5],
        ("a", "both", 1.0): [84.0, 84.5],
    })  # fmt: skip
    result = contrasts(runs, contrasts=[{"effect": "spt"}, {"effect": "interaction"}])
    primary = result[~result["exploratory"]]
    assert list(primary["estimate"]) == pytest.approx([(2.5 + 2.25) / 2, (1.0 + 1.5) / 2])
    assert list(result[result["exploratory"]]["contrast"]) == [
        "spt against none",
        "lsa against none",
        "both against none",
        "main effect of lsa",
    ]


def test_a_trend_is_the_slope_of_each_seed_and_its_margin_holds_over_the_range() -> None:
    runs = frame({
        ("a", "lsa", 0.5): [80.0, 80.0, 80.1], ("a", "lsa", 1.0): [80.1, 80.1, 80.1],
        ("a", "lsa", 2.0): [80.2, 80.2, 80.4],
    })  # fmt: skip
    question = {"method": "lsa", "trend": "method.initial_temperature", "scale": "log"}
    row = only(contrasts(runs, contrasts=[question], reference="lsa"))
    assert row.estimate == pytest.approx((0.1 + 0.1 + 0.15) / 3)
    assert row.contrast == "trend of lsa per doubling of method.initial_temperature"
    assert row.verdict == "positive, within the margin"  # all of it below 0.5 points over two doublings
    assert row.setting == "method.initial_temperature 0.5 to 2"
    linear = only(contrasts(runs, contrasts=[{**question, "scale": "linear"}], reference="lsa"))
    # 0.5, 1, 2 less their mean: -2/3, -1/6, 5/6, with squares that sum to 7/6
    assert linear.estimate == pytest.approx((2 * 0.15 + 0.25) / (7 / 6) / 3)


def test_intervals_of_a_family_hold_together_by_equal_levels() -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA, ("a", "spt", 1.0): [81.0, 82.5, 82.5]})
    result = contrasts(runs)
    assert list(result["level"]) == pytest.approx([0.95**0.5] * 2)
    assert (result["high"] > result["high_plain"]).all()


def test_variance_is_borrowed_from_the_same_contrast_alone() -> None:
    by_method = {"none": NONE, "lsa": LSA, "spt": [90.0, 70.0, 80.0]}
    runs: dict[tuple[str, str, float | None], list[float]] = {
        (backbone, method, 1.0): values for backbone in "abc" for method, values in by_method.items()
    }
    result = contrasts(frame(runs)).set_index(["contrast", "backbone"])
    assert result.loc[("lsa against none", "a"), "df"] == 6  # three equal variances of two degrees
    own = contrasts(frame(runs), variance="own").set_index(["contrast", "backbone"])
    assert own.loc[("lsa against none", "a"), "df"] == 2
    width = result["high"] - result["low"]
    assert width.loc[("lsa against none", "a")] < 0.2 * width.loc[("spt against none", "a")]


def test_unequal_divergence_withholds_the_verdict_or_counts_as_chance() -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): [81.0, 83.5, math.nan]})
    withheld = only(contrasts(runs))
    assert (withheld.verdict, withheld.failed, withheld.n) == ("withheld", "1 of 3 lsa", 2)
    ends = [withheld.low, withheld.high, withheld.low_plain, withheld.high_plain]
    assert all(map(math.isnan, ends)), "a verdict could be read off an interval of the finished runs"
    as_chance = only(contrasts(runs, failures="chance"))
    assert as_chance.estimate == pytest.approx((1.0 + 1.5 + (10.0 - 81.0)) / 3)
    by_status = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA}, status="done")
    by_status.loc[5, "status"] = "diverged"
    assert only(contrasts(by_status)).failed == "1 of 3 lsa"


def test_one_seed_or_no_spread_has_no_interval_and_no_verdict() -> None:
    row = only(contrasts(frame({("a", "none", 1.0): [80.0], ("a", "lsa", 1.0): [81.0]})))
    assert (math.isnan(row.low), row.verdict, row.n) == (True, "undecided", 1)
    row = only(contrasts(frame({("a", "none", 1.0): [80.0, 81.0], ("a", "lsa", 1.0): [81.0, 82.0]})))
    assert (math.isnan(row.low), row.estimate, row.verdict) == (True, 1.0, "undecided")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.6, 2.0, "better"), (-2.0, -0.1, "worse"), (0.1, 0.4, "better, within the margin"), (-0.4, 0.4, "equivalent"),
        (-0.4, 0.6, "undecided"), (0.0, 0.6, "undecided"), (math.nan, math.nan, "undecided"),
        (-0.4, -0.1, "worse, within the margin"),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_the_interval_and_the_margin(low: float, high: float, expected: str) -> None:
    assert verdict(low, high, margin=0.5) == expected
    of_sign = expected.replace("better", "positive").replace("worse", "negative").replace("equivalent", "negligible")
    assert verdict(low, high, margin=0.5, is_sign=True) == of_sign


def test_an_interaction_has_a_sign_since_it_is_neither_better_nor_worse() -> None:
    by_method = {"none": [80.0, 80.1], "spt": [82.0, 82.2], "lsa": [82.0, 82.1], "both": [82.0, 82.1]}
    runs = frame({("a", method, 1.0): values for method, values in by_method.items()})
    found = contrasts(runs, contrasts=[{"effect": "interaction"}, {"effect": "spt"}], level=0.5).set_index("contrast")
    interaction = found.loc["interaction of spt and lsa"]
    assert (interaction["estimate"], interaction["verdict"]) == (pytest.approx(-2.05), "negative")
    assert found.loc["main effect of spt", "verdict"] == "better"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"margin": 0.0}, ("margin", "0")), ({"level": 1.0}, ("level", "1.0")),
        ({"variance": "pooled"}, ("variance", "pooled", "moderated", "own")),
        ({"failures": "drop"}, ("failures", "drop", "withhold", "chance")),
        ({"contrasts": [{"method": "sp"}]}, ("method", "sp", "none, lsa")),
        ({"contrasts": [{"method": "lsa", "reference": "spt"}]}, ("reference", "spt")),
        ({"contrasts": [{"effect": "both"}]}, ("effect", "both", "spt, lsa, interaction")),
        ({"contrasts": [{"effect": "spt"}]}, ("effect", "spt", "needs", "both")),
        ({"contrasts": [{"methods": "lsa"}]}, ("methods", "method")),
        ({"contrasts": [{"method": "lsa", "trend": "recipe.lr"}]}, ("recipe.lr", "seed")),
        ({"contrasts": [{"method": "none"}]}, ("reference", "none")),
        ({"contrasts": [{"field": "recipe.lr", "value": 0.1, "reference": 1}]}, ("field", "recipe.lr", "differ")),
        ({"contrasts": [{"method": "lsa", "reference": 1}]}, ("reference", "method", "1")),
        ({"contrasts": [{"method": "lsa", "trend": "method.depth"}]}, ("trend", "two or more values", "method.depth")),
    ],
)  # fmt: skip
def test_a_setting_or_question_without_sense_is_refused(settings: dict[str, Any], words: tuple[str, ...]) -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA})
    with pytest.raises(InputError, match=naming(*words)):
        contrasts(runs, **settings)


def test_runs_that_cannot_be_told_apart_or_lack_a_number_are_refused() -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA})
    with pytest.raises(InputError, match=naming("two runs", "lsa", "seed 0")):
        contrasts(pd.concat([runs, runs.assign(final_test_top1=90.0)]))
    with pytest.raises(InputError, match=naming("dataset_num_classes")):
        contrasts(runs.drop(columns="dataset_num_classes"), failures="chance")
    for seed in ("a", math.nan, 0.5):
        with pytest.raises(InputError, match=naming("seed", "whole numbers")):
            contrasts(runs.assign(seed=seed))


@pytest.mark.parametrize(
    ("values", "words"), [((0.0, 1.0), ("scale", "log", "above 0", "0.0")), (("a", "b"), ("trend", "numbers", "a"))]
)
def test_a_trend_needs_numbers_that_its_scale_can_have(values: tuple[Any, Any], words: tuple[str, ...]) -> None:
    runs = pd.concat([frame({("a", "lsa", 1.0): LSA}, recipe_x=value) for value in values], ignore_index=True)
    with pytest.raises(InputError, match=naming(*words)):
        contrasts(runs, contrasts=[{"method": "lsa", "trend": "recipe.x", "scale": "log"}], reference="lsa")


def test_runs_of_searches_are_left_out() -> None:
    grid = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA}, kind="grid")
    trials = frame({("a", "lsa", 1.0): [90.0, 90.0, 90.0]}, kind="tuning")
    assert only(contrasts(pd.concat([grid, trials], ignore_index=True))).estimate == pytest.approx(7 / 6)


def test_correlated_contrasts_need_a_less_strict_level() -> None:
    source = np.random.default_rng(0)
    shared = source.normal(size=(1, 40))
    alike = math.sqrt(0.95) * shared + math.sqrt(0.05) * source.normal(size=(15, 40))
    assert min_p_level(alike.tolist(), level=0.95) < 0.99 < sidak_level(0.95, 15)
    with pytest.raises(ValueError, match="11 seeds"):
        min_p_level(alike[:, :10].tolist(), level=0.95)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 12])
def test_a_study_without_effects_is_rarely_given_a_verdict(seeds: int) -> None:
    """5 backbones x 3 methods; none and lsa correlate .95 over seeds, spt and both .3."""
    source, wrong, studies = np.random.default_rng(seeds), 0, 400
    for _ in range(studies):
        runs = dict[tuple[str, str, float | None], list[float]]()
        for backbone in "abcde":
            common = source.normal(80, 1, seeds)
            for method, share in (("none", 0.95), ("lsa", 0.95), ("spt", 0.3), ("both", 0.3)):
                own = source.normal(0, 1, seeds)
                runs[backbone, method, 1.0] = list(80 + math.sqrt(share) * (common - 80) + math.sqrt(1 - share) * own)
        verdicts = set(contrasts(frame(runs), margin=1e-9)["verdict"])
        wrong += bool(verdicts & {"better", "worse", "positive", "negative"})
    assert wrong / studies <= 0.09  # .06 and three standard errors of 400 studies


# Student's sleep data (Cushny and Peebles 1905), as R ships it; t.test(extra ~ group, paired = TRUE) of R prints
# df = 9 and the 95 % interval -2.4598858 to -0.7001142 around -1.58.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_a_contrast_equals_the_paired_t_test_of_r_for_students_sleep_data() -> None:
    row = only(contrasts(frame({("a", "none", 1.0): SLEEP_2, ("a", "lsa", 1.0): SLEEP_1})))
    assert (row.low, row.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)
    assert (row.verdict, row.df) == ("worse", 9)
    assert row.correlation == pytest.approx(0.7951702, abs=1e-7)  # R's cor
    assert (row.correlation_low, row.correlation_high) == pytest.approx(
        tuple(pearsonr(SLEEP_1, SLEEP_2).confidence_interval())
    )


def test_squared_t_statistics_of_the_effects_are_the_f_of_a_repeated_measures_analysis_of_variance() -> None:
    """Sums of squares of the factors, and of their interactions with the seeds as errors."""
    drawn = np.random.default_rng(7).normal(80, 1, (7, 2, 2))  # seed, SPT, LSA
    methods = {"none": (0, 0), "lsa": (0, 1), "spt": (1, 0), "both": (1, 1)}
    runs = frame({("a", method, 1.0): list(drawn[:, spt, lsa]) for method, (spt, lsa) in methods.items()})
    result = contrasts(runs, contrasts=[{"effect": "spt"}, {"effect": "lsa"}, {"effect": "interaction"}])
    over_axes: tuple[tuple[int, ...], ...] = ((2,), (1,), ())
    for estimate, std, over in zip(result["estimate"], result["std"], over_axes, strict=False):
        part = drawn.mean(axis=over, keepdims=True)  # of each seed, less what the other factor adds
        for axis in {1, 2} - set(over):
            part = part - part.mean(axis=axis, keepdims=True)
        of_factor = 7 * (part.mean(axis=0) ** 2).sum()
        of_error = ((part - part.mean(axis=0)) ** 2).sum() / 6
        assert (estimate / std) ** 2 * 7 == pytest.approx(of_factor / of_error, rel=1e-9)


def test_over_these_backbones_each_seed_is_averaged_first() -> None:
    runs = frame({
        ("a", "none", 1.0): [0.0] * 3, ("a", "lsa", 1.0): [3.0, 5.0, 4.0],
        ("b", "none", 1.0): [0.0] * 3, ("b", "lsa", 1.0): [1.0, 2.0, 0.0],
    })  # fmt: skip
    row = only(contrasts(runs, contrasts=[{"method": "lsa", "over": "backbones"}]).query("not exploratory"))
    half = t.ppf(0.975, 2) * 0.75**0.5 / 3**0.5  # of 2, 3.5, 2
    assert (row.backbone, row.estimate, row.n, row.over) == ("2 backbones", 2.5, 3, "seeds")
    assert (row.low, row.high) == pytest.approx((2.5 - half, 2.5 + half))


@pytest.mark.parametrize("pool", ["backbones", "backbones at large"])
def test_a_mean_over_backbones_is_withheld_where_one_of_them_lost_all_runs_of_a_method(pool: str) -> None:
    runs: Runs = {(name, "none", 1.0): NONE for name in "abcdef"}
    runs |= {(name, "lsa", 1.0): LSA for name in "abcde"}
    diverged: Runs = {("f", "lsa", 1.0): [math.nan] * 3}
    question = [{"method": "lsa", "over": pool}]
    row = only(contrasts(frame(runs | diverged), contrasts=question).query("not exploratory"))
    assert (row.verdict, row.failed, row.estimate) == ("withheld", "f: 3 of 3 lsa", pytest.approx(7 / 6))
    without = only(contrasts(frame(runs), contrasts=question).query("not exploratory"))
    assert (without.failed, without.estimate) == ("", pytest.approx(7 / 6))


def test_backbones_at_large_are_one_value_each_and_need_five() -> None:
    runs: Runs = {
        ("abcde"[k], method, 1.0): [80.0 + k * (method == "lsa")] * 2 for k in range(5) for method in ("none", "lsa")
    }
    at_large = [{"method": "lsa", "over": "backbones at large"}]
    row = only(contrasts(frame(runs), contrasts=at_large).query("not exploratory"))
    assert (row.backbone, row.estimate, row.n, row.over) == ("5 backbones at large", 2.0, 5, "backbones")
    four = {key: values for key, values in runs.items() if key[0] != "e"}
    with pytest.raises(InputError, match=naming("five", "backbones")):
        contrasts(frame(four), contrasts=at_large)


def test_a_trend_over_training_set_size_takes_the_whole_set_as_one() -> None:
    parts = [
        frame({("a", "none", 1.0): [values[0]] * 2, ("a", "lsa", 1.0): list(values[1:])},
              dataset_fraction=fraction, recipe_equal="epochs" if fraction == fraction else math.nan)
        for fraction, values in ((0.25, (50.0, 56.0, 57.0)), (0.5, (60.0, 64.0, 64.0)), (math.nan, (70.0, 72.0, 71.0)))
    ]  # fmt: skip
    question = {"method": "lsa", "reference": "none", "trend": "dataset.fraction", "scale": "log"}
    row = only(contrasts(pd.concat(parts, ignore_index=True), contrasts=[question]).query("not exploratory"))
    assert row.estimate == pytest.approx((-2.0 - 3.0) / 2)  # per doubling: 6, 4, 2 and 7, 4, 1 points
    assert row.contrast == "trend of lsa against none per doubling of dataset.fraction"


def test_the_whole_set_has_a_trend_of_its_own_over_a_field_that_its_subsets_share() -> None:
    parts = [
        frame({("a", "lsa", 1.0): [50.0 + gain * rate, 51.0 + gain * rate]}, recipe_lr=rate,
              dataset_fraction=fraction, recipe_equal="steps" if fraction == fraction else math.nan)
        for fraction, gain in ((0.5, 2.0), (math.nan, 3.0)) for rate in (1.0, 2.0)
    ]  # fmt: skip
    result = contrasts(pd.concat(parts, ignore_index=True), contrasts=[{"method": "lsa", "trend": "recipe.lr"}])
    assert list(result.query("not exploratory")["estimate"]) == pytest.approx([2.0, 3.0])


PRECISION = {"field": "precision", "value": "bf16", "reference": "fp32"}


def test_two_values_of_a_field_are_compared_for_each_method_between_runs_that_differ_in_it_alone() -> None:
    compared = {
        "bf16": {"none": [80.0, 82.0, 81.0], "lsa": [80.0, 81.0]},
        "fp32": {"none": [80.5, 82.0, 81.3], "lsa": [79.0, 81.5]},
    }
    parts = [frame({("a", name, 1.0): own for name, own in by_method.items()}, recipe_precision=precision)
             for precision, by_method in compared.items()]  # fmt: skip
    parts.append(
        frame({("a", "none", 1.0): [1.0, 2.0], ("a", "spt", 1.0): [3.0, 4.0]}, recipe_precision="fp32", recipe_lr=1.0)
    )
    rows = contrasts(pd.concat(parts, ignore_index=True), contrasts=[PRECISION]).query("not exploratory")
    assert list(rows["setting"]) == ["recipe_lr 0.1, method none", "recipe_lr 0.1, method lsa"]
    assert list(rows["estimate"]) == pytest.approx([(-0.5 - 0.3) / 3, (1.0 - 0.5) / 2])
    assert list(rows["n"]) == [3, 2]
    assert set(zip(rows["contrast"], rows["reference"], strict=True)) == {("precision=bf16 against fp32", "fp32")}


@pytest.mark.parametrize(
    "other",
    ["recipe_lr", "recipe_equal", "dataset_fraction", "dataset_split_seed", "dataset_image_size", "backbone_depth"],
)
def test_a_field_that_goes_along_with_another_is_not_compared(other: str) -> None:
    parts = [
        frame({("a", "none", 1.0): NONE}, **{"recipe_precision": name, other: value})
        for name, value in (("bf16", 0.25), ("fp32", math.nan))
    ]
    with pytest.raises(InputError, match=naming("precision=bf16 against fp32", "recipe.precision", "alone")):
        contrasts(pd.concat(parts, ignore_index=True), contrasts=[PRECISION])


def test_false_is_a_value_and_the_whole_data_set_is_a_fraction_of_one() -> None:
    compiled = [frame({("a", "none", 1.0): own}, recipe_compile=value) for own, value in ((NONE, False), (LSA, True))]
    row = only(contrasts(pd.concat(compiled), contrasts=[{"field": "compile", "value": True, "reference": False}]))
    assert (row.contrast, row.reference, row.estimate) == ("compile=true against false", "false", pytest.approx(7 / 6))
    question = {"field": "dataset.fraction", "value": 0.5, "reference": 1.0}
    sizes = [frame({("a", "none", 1.0): own}, dataset_fraction=value) for own, value in ((NONE, math.nan), (LSA, 0.5))]
    row = only(contrasts(pd.concat(sizes), contrasts=[question]))
    assert (row.contrast, row.estimate) == ("fraction=0.5 against 1", pytest.approx(7 / 6))
    ten = frame({("a", "none", 1.0): NONE}, dataset_fraction=math.nan, dataset_per_class=10.0)
    with pytest.raises(InputError, match=naming("reference", "dataset.fraction", "1.0")):
        contrasts(pd.concat([ten, sizes[1]]), contrasts=[question])
    with pytest.raises(InputError, match=naming("trend of none", "two or more values")):
        contrasts(pd.concat([ten, sizes[1]]), contrasts=[{"method": "none", "trend": "dataset.fraction"}])


def test_a_run_without_a_metric_is_missing_not_diverged() -> None:
    runs = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA}).assign(status="finished")
    runs.loc[1, "final_test_top1"] = math.nan
    row = only(contrasts(runs))
    assert (row.n, row.failed) == (2, "")


def test_versions_of_numerics_are_never_mixed() -> None:
    old = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA}, numerics_trainer=1)
    new = frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): NONE}, numerics_trainer=2)
    result = contrasts(pd.concat([old, new], ignore_index=True))
    assert dict(zip(result["setting"], result["estimate"], strict=True)) == pytest.approx(
        {"numerics_trainer 1": 7 / 6, "numerics_trainer 2": 0.0}
    )


def test_sizes_that_a_method_implies_do_not_keep_it_from_being_compared() -> None:
    plain = frame({("a", "none", 1.0): NONE}, backbone_mlp_ratio=2.0)
    wide = frame({("a", "none-wide", 1.0): LSA}, backbone_mlp_ratio=2.5)
    assert only(contrasts(pd.concat([plain, wide], ignore_index=True))).estimate == pytest.approx(7 / 6)
    other = [frame({("a", "none", 1.0): NONE, ("a", "lsa", 1.0): LSA}, backbone_dim=dim) for dim in (8, 16)]
    assert list(contrasts(pd.concat(other, ignore_index=True))["setting"]) == ["backbone_dim 8", "backbone_dim 16"]
