"""Verdicts on the reproduction of published numbers."""

from typing import Any

import pytest

from slbench.published.numbers import table_name
from slbench.published.reproduction import ReproductionVerdict, judge, method_name, model_name
from slbench.record import RunRecord
from slbench.study import StudyRun
from tests.support import make_record, missing, study


def papers(method: str = "both", *, backbone: Any = "vit", seeds: int = 3, **changes: Any) -> tuple[StudyRun, ...]:
    """Return runs of the paper on CIFAR-100; its accuracy is 76.92 for SL-ViT, 73.81 for ViT."""
    grid = {"backbone": [backbone], "method": [method], "dataset": ["cifar100"], "seed": list(range(seeds))}
    return study({"recipe": "paper", "protocol": "paper", "grid": grid, **changes}).runs


def with_best(runs: tuple[StudyRun, ...], *values: float) -> list[RunRecord]:
    return [make_record(run, best_test_top1=value) for run, value in zip(runs, values, strict=True)]


def verdict_of(records: list[RunRecord], **options: Any) -> ReproductionVerdict | None:
    """Return the verdict on the first record's method."""
    return judge(records, **options).get(records[0].spec.cell_id) if records else None


SL = with_best(papers(seeds=5), 76.9, 77.1, 76.8, 77.0, 76.7)  # mean 76.90, variance 0.025
PLAIN = with_best(papers("none", seeds=5), 73.7, 73.9, 73.8, 74.0, 73.6)  # mean 73.80, variance 0.025


def test_accuracy_and_gain_are_judged_by_prediction_intervals_of_single_runs() -> None:
    judged = judge([*SL, *PLAIN])
    both, plain = (judged[records[0].spec.cell_id] for records in (SL, PLAIN))
    assert (both.published.value, both.verdict) == (76.92, "within")
    assert both.ours == pytest.approx(76.9)
    assert (plain.published.value, plain.verdict, plain.gain) == (73.81, "within", None)
    half = 3.4814 * (0.025 * 1.2) ** 0.5  # Student's t with 4 degrees of freedom at sqrt(0.95); scipy
    assert not missing(both.reason, f"{0.02 - half:+.2f}", f"{0.02 + half:+.2f}", "margin 1")
    assert both.gain is not None
    assert (both.gain.published, both.gain.ours) == pytest.approx((3.11, 3.1))
    assert both.gain.verdict == "consistent"
    assert both.text == "76.92 (best 76.90: within), gain +3.11 (+3.10: consistent)"


def test_the_best_epoch_is_judged_whatever_the_other_accuracies_are() -> None:
    records = [record.model_copy(update={"final_test_top1": 10.0}) for record in (*SL, *PLAIN)]
    assert judge(records) == judge([*SL, *PLAIN])


def test_another_gain_is_inconsistent_although_the_accuracy_is_undecided() -> None:
    judged = verdict_of([*with_best(papers(seeds=5), 75.9, 76.1, 75.8, 76.0, 75.7), *PLAIN])
    assert judged is not None and judged.gain is not None
    assert (judged.verdict, judged.gain.verdict) == ("undecided", "inconsistent")  # gain 2.1, not 3.11
    assert verdict_of(with_best(papers(seeds=5), 73.9, 74.1, 73.8, 74.0, 73.7)).verdict == "outside"  # type: ignore[union-attr]


def test_without_two_common_seeds_of_the_plain_backbone_a_gain_is_inconclusive() -> None:
    for plain in ([], PLAIN[:1], with_best(papers("none", seeds=5, set={"recipe.lr": 0.1}), *[73.8] * 5)):
        judged = verdict_of([*SL, *plain])
        assert judged is not None and judged.gain is not None
        assert (judged.gain.verdict, judged.gain.ours) == ("inconclusive", None)
        assert not missing(judged.gain.reason, "two seeds", "plain")


def test_one_seed_or_no_spread_is_undecided_with_the_reason() -> None:
    judged = verdict_of(with_best(papers(seeds=1), 76.92))
    assert judged is not None
    assert (judged.verdict, judged.reason) == ("undecided", "one seed has no interval")
    judged = verdict_of([*with_best(papers(), *[76.92] * 3), *with_best(papers("none"), *[73.81] * 3)])
    assert judged is not None and judged.gain is not None
    assert (judged.verdict, judged.gain.verdict) == ("undecided", "inconclusive")
    assert "no spread" in judged.reason and "no spread" in judged.gain.reason


def test_a_gain_has_no_verdict_where_more_runs_of_the_method_diverged_than_of_the_plain_backbone() -> None:
    lost = [run.spec for run in papers(seeds=7)[5:]]
    judged = verdict_of([*SL, *PLAIN], diverged=lost)
    assert judged is not None and judged.gain is not None
    assert (judged.verdict, judged.gain.verdict, judged.gain.low) == ("within", "inconclusive", None)
    assert not missing(judged.gain.reason, "2 runs", "0")
    both = [*lost, *(run.spec for run in papers("none", seeds=7)[5:])]
    assert verdict_of([*SL, *PLAIN], diverged=both) == verdict_of([*SL, *PLAIN])


def test_more_cells_widen_the_intervals() -> None:
    one, twenty = verdict_of([*SL, *PLAIN]), verdict_of([*SL, *PLAIN], cells=20)
    assert one is not None and twenty is not None and one.gain is not None and twenty.gain is not None
    assert one.gain.low is not None and twenty.gain.low is not None
    assert twenty.gain.low < one.gain.low


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "full"}, ("protocol", "full", "paper")),
        ({"set": {"recipe.epochs": 5}}, ("5", "100")),
        ({"set": {"recipe.lr": 0.1, "recipe.mixup": 0.0}}, ("lr 0.1", "0.003", "mixup 0.0", "0.25")),
        ({"set": {"dataset.fraction": 0.1}}, ("data",)),
        ({"set": {"dataset.image_size": 64}}, ("64 x 64", "32")),
        ({"backbone": {"name": "vit", "dim": 96}}, ("backbone",)),
    ],
)
def test_another_experiment_is_not_comparable_with_a_reason(
    changes: dict[str, Any], reason: tuple[object, ...]
) -> None:
    judged = verdict_of(with_best(papers(**changes), 76.9, 76.9, 76.9))
    assert judged is not None
    assert (judged.published.value, judged.verdict) == (76.92, "not comparable")
    assert not missing(judged.reason, *reason)


def test_the_released_recipe_in_bf16_is_comparable() -> None:
    runs = papers(recipe="released", precision="bf16", seeds=5)
    judged = verdict_of(with_best(runs, 76.9, 77.1, 76.8, 77.0, 76.7))
    assert judged is not None and judged.verdict == "within"


def test_an_unpublished_method_has_no_verdict() -> None:
    assert judge(with_best(papers("spt-cardinal"), 1.0, 2.0, 3.0)) == {}
    assert judge([]) == {}


def test_a_study_with_a_table_as_source_is_compared_with_that_table() -> None:
    assert table_name("arXiv:2112.13492 Table 5") == "table5"
    assert table_name("arXiv:2112.13492") is table_name("Table 5 of another paper") is None
    records = with_best(papers("spt"), 76.2, 76.3, 76.4)
    judged = verdict_of(records, source="arXiv:2112.13492 Table 5")
    assert judged is not None and judged.published.table == "table5" and judged.gain is not None
    assert judged.gain.published == pytest.approx(76.29 - 73.81)
    assert verdict_of(records, source="arXiv:2112.13492 Table 2") is None


def test_models_and_methods_are_recognized_by_their_fields() -> None:
    (run,) = papers("both-no-pool", backbone={"name": "pit", "label": "mine"}, seeds=1)
    assert (model_name(run.spec), method_name(run.spec)) == ("pit", "both-no-pool")
    (run,) = papers(backbone={"name": "cait", "variant": "released"}, seeds=1)
    assert model_name(run.spec) == "cait"
    (run,) = papers(backbone={"name": "vit", "depth": 3}, seeds=1)
    assert model_name(run.spec) is None


@pytest.mark.parametrize(
    ("preset", "layers"),
    [
        ("vit-tiny", {"qkv_bias": False}),
        ("pit-xs", {"variant": "paper"}),
        ("swin-tiny", {"absolute_positions": True}),
    ],
)
def test_a_preset_with_other_layers_is_not_recognized(preset: str, layers: dict[str, Any]) -> None:
    at_224 = {"dataset": ["tiny-imagenet"], "method": ["both"], "dataset.image_size": [[224, 224]]}
    same, other = study({"grid": {"backbone": [preset, {"name": preset, "label": "other", **layers}], **at_224}}).runs
    assert model_name(same.spec) == preset
    assert model_name(other.spec) is None


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [("vit", {"qkv_bias": True}), ("pit", {"variant": "original"}), ("swin", {"absolute_positions": False})],
)
def test_a_backbone_of_the_paper_with_other_layers_is_not_recognized(backbone: str, layers: dict[str, Any]) -> None:
    (run,) = papers(backbone={"name": backbone, "label": "mine", **layers}, seeds=1)
    assert model_name(run.spec) is None
