"""Verdicts on the reproduction of published numbers."""

from typing import Any

import pytest

from slbench.published.numbers import table_name
from slbench.published.reproduction import judge, method_name, model_name, published_gain
from slbench.record import RunRecord
from slbench.study import StudyRun
from tests.support import make_record, missing, study


def papers(method: str = "both", *, backbone: Any = "vit", seeds: int = 3, **changes: Any) -> tuple[StudyRun, ...]:
    """Return runs of the paper on CIFAR-100; its accuracy is 76.92 for SL-ViT, 73.81 for ViT."""
    grid = {"backbone": [backbone], "method": [method], "dataset": ["cifar100"], "seed": list(range(seeds))}
    return study({"recipe": "paper", "protocol": "paper", "grid": grid, **changes}).runs


def with_best(runs: tuple[StudyRun, ...], *values: float) -> list[RunRecord]:
    return [make_record(run, best_test_top1=value) for run, value in zip(runs, values, strict=True)]


def test_a_published_number_inside_the_prediction_interval_is_reproduced() -> None:
    judged = judge(with_best(papers(), 76.7, 76.9, 77.0))  # 76.87 ± 4.303 * 0.1528 * 1.1547 = ± 0.76
    assert judged is not None
    assert (judged.published.value, judged.verdict) == (76.92, "reproduced")
    assert not missing(judged.reason, "76.11", "77.63")


def test_the_best_epoch_is_compared() -> None:
    records = with_best(papers(), 76.7, 76.9, 77.0)
    judged = judge([record.model_copy(update={"final_test_top1": 10.0}) for record in records])
    assert judged is not None and judged.verdict == "reproduced"


@pytest.mark.parametrize(("values", "verdict"), [((75.0, 75.1, 75.2), "lower"), ((79.0, 79.1, 79.2), "higher")])
def test_a_published_number_outside_the_prediction_interval_is_lower_or_higher(
    values: tuple[float, ...], verdict: str
) -> None:
    judged = judge(with_best(papers(), *values))
    assert judged is not None and judged.verdict == verdict


def test_an_interval_wider_than_the_published_gain_is_undecided() -> None:
    judged = judge(with_best(papers(), 75.0, 77.0, 79.0))  # the gain is 76.92 - 73.81 = 3.11
    assert judged is not None and judged.verdict == "undecided"
    assert not missing(judged.reason, "3.11")


def test_one_seed_is_undecided() -> None:
    judged = judge(with_best(papers(seeds=1), 76.92))
    assert judged is not None
    assert (judged.verdict, judged.reason) == ("undecided", "one seed has no prediction interval")


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
    judged = judge(with_best(papers(**changes), 76.9, 76.9, 76.9))
    assert judged is not None
    assert (judged.published.value, judged.verdict) == (76.92, "not comparable")
    assert not missing(judged.reason, *reason)


def test_the_released_recipe_in_bf16_is_comparable() -> None:
    runs = papers(recipe="released", precision="bf16")
    judged = judge(with_best(runs, 76.8, 76.9, 77.0))
    assert judged is not None and judged.verdict == "reproduced"


def test_an_unpublished_method_has_no_verdict() -> None:
    assert judge(with_best(papers("spt-cardinal"), 1.0, 2.0, 3.0)) is None
    assert judge([]) is None


def test_a_study_with_a_table_as_source_is_compared_with_that_table() -> None:
    assert table_name("arXiv:2112.13492 Table 5") == "table5"
    assert table_name("arXiv:2112.13492") is table_name("Table 5 of another paper") is None
    judged = judge(with_best(papers("spt"), 76.2, 76.3, 76.4), source="arXiv:2112.13492 Table 5")
    assert judged is not None and judged.published.table == "table5"
    assert judge(with_best(papers("spt"), 76.2, 76.3, 76.4), source="arXiv:2112.13492 Table 2") is None


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


def test_the_published_gain_is_that_of_the_method_and_for_none_that_of_both() -> None:
    spt, plain = papers("spt", seeds=1)[0].spec, papers("none", seeds=1)[0].spec
    assert published_gain(spt, table=None) == pytest.approx(76.29 - 73.81)
    assert published_gain(plain, table=None) == pytest.approx(76.92 - 73.81)
    (resnet,) = papers("none", backbone="resnet56", seeds=1)
    assert published_gain(resnet.spec, table=None) is None
