"""Seed rules: the first seeds and the comparisons."""

from typing import Any

import pytest

from tests.study.helpers import error_of
from tests.support import TINY, missing, runs, study

RULE = {"min": 3, "max": 10, "until": "decided"}


def test_a_seed_rule_starts_with_min_seeds_and_compares_each_method_with_its_plain_backbone() -> None:
    grid = {"backbone": [TINY], "method": ["lsa", "none", "spt"], "recipe.lr": [0.001, 0.003]}
    found = study({"seeds": RULE, "grid": grid})
    assert found.seeds is not None and (found.seeds.min, found.seeds.max) == (3, 10)
    fixed = study({"grid": {**grid, "seed": [0, 1, 2]}})
    assert (found.runs, fixed.seeds, fixed.comparisons) == (fixed.runs, None, ())
    pairs = [(each.runs[0].spec, each.runs[1].spec) for each in found.comparisons]
    assert [(row.recipe.lr, plain.recipe.lr) for row, plain in pairs] == [(lr, lr) for lr in (0.001, 0.003)] * 2
    assert [each.runs[0].labels.method for each in found.comparisons] == ["lsa", "lsa", "spt", "spt"]
    assert {each.runs[1].labels.method for each in found.comparisons} == {"none"}
    assert found.comparisons[1].title == "L-Tiny on fashion-mnist-12k, lr=0.003"


def test_at_returns_the_run_of_a_study_with_that_seed() -> None:
    assert runs({"seed": [0]})[0].at(7) == runs({"seed": [7]})[0]


def test_methods_with_equal_runs_are_compared_once_and_none_with_itself() -> None:
    # Without pooling layers spt-no-pool is spt; method "none" has no shift to vary.
    grid = {"backbone": [TINY], "method": ["none", "spt", "spt-no-pool"], "method.shift_ratio": [0.25, 0.5]}
    found = study({"seeds": RULE, "grid": grid})
    assert [(each.runs[0].labels.method, each.settings) for each in found.comparisons] == [
        ("spt", ("shift_ratio=0.25",)),
        ("spt", ("shift_ratio=0.5",)),
    ]
    assert len({each.runs[1].spec.run_id for each in found.comparisons}) == 1


def test_two_values_of_a_field_are_a_comparison_of_each_method_in_each_cell_that_has_both() -> None:
    grid = {"backbone": [TINY], "method": ["none", "lsa"], "recipe.lr": [0.001, 0.003], "precision": ["fp32", "bf16"]}
    question = {"field": "precision", "value": "bf16", "reference": "fp32"}
    excluded = [{"method": "none", "precision": "bf16", "recipe.lr": 0.003}]
    found = study({"seeds": RULE, "grid": grid, "contrast": [question], "exclude": excluded}).comparisons
    assert [each.title.partition(", ")[2] for each in found] == [
        "Tiny on fashion-mnist-12k, lr=0.001",
        "L-Tiny on fashion-mnist-12k, lr=0.001",
        "L-Tiny on fashion-mnist-12k, lr=0.003",
    ]
    for each in found:
        assert [run.spec.recipe.precision for run in each.runs] == ["bf16", "fp32"]
        assert each.runs[0].spec.method == each.runs[1].spec.method


def test_a_convolutional_network_is_not_compared() -> None:
    found = study({"seeds": RULE, "grid": {"backbone": ["resnet56", TINY], "method": ["none", "both"]}})
    assert [each.runs[0].labels.backbone for each in found.comparisons] == ["Tiny"]
    assert [run.spec.seed for run in found.runs if run.labels.backbone == "ResNet56"] == [0, 1, 2]


def test_seeds_of_the_command_line_replace_the_rule() -> None:
    found = study({"seeds": RULE, "grid": {"backbone": [TINY], "method": ["spt"]}}, grid={"seed": [0, 1]})
    assert (found.seeds, found.comparisons, len(found.runs)) == (None, (), 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"seeds": {**RULE, "min": 1}}, ("test.toml", "seeds", "min", "2", "1")),
        ({"seeds": {**RULE, "max": 3}}, ("test.toml", "seeds", "min", "3")),
        ({"seeds": {**RULE, "max": 101}}, ("test.toml", "seeds", "max", "100", "101")),
        ({"seeds": {**RULE, "max": 7.5}}, ("test.toml", "seeds", "max", "integer", "7.5")),
        ({"seeds": {**RULE, "until": "never"}}, ("test.toml", "seeds", "until", "decided", "never")),
        ({"seeds": {"min": 3, "max": 5}}, ("test.toml", "seeds", "until")),
        ({"seeds": {**RULE, "mix": 3}}, ("test.toml", "seeds", "mix", "min")),
        ({"seeds": 5}, ("test.toml", "seeds", "3", "10", "decided", "5")),
        ({"seeds": [0, 1]}, ("grid.seed = [0, 1, 2]",)),
        ({"seeds": RULE, "grid": {"seed": [0, 1]}}, ("test.toml", "seeds", "grid.seed")),
        ({"grid": {"seeds": RULE}}, ("test.toml", "grid.seeds")),
        ({"seeds": RULE, "exclude": [{"seed": 2, "method": "spt"}]}, ("test.toml", "exclude", "seed")),
        (
            {"seeds": RULE, "grid": {"method": ["spt", "both"]}},
            ("test.toml", "seeds", "spt", "ViT", "fashion-mnist-12k", "none"),
        ),
        (
            {"seeds": RULE, "grid": {"backbone": ["vit", "pit"]}, "exclude": [{"method": "none", "backbone": "pit"}]},
            ("test.toml", "seeds", "spt", "PiT", "fashion-mnist-12k", "none"),
        ),
        ({"seeds": RULE, "grid": {"method": ["none"]}}, ("test.toml", "seeds", "none")),
        ({"seeds": RULE, "grid": {"backbone": ["resnet56"]}}, ("seeds", "none")),
        (
            {
                "seeds": RULE,
                "grid": {"backbone": ["vit", "swin"]},
                "contrast": [{"method": "spt", "over": "backbones"}],
            },
            ("test.toml", "seeds", "contrast", "fixed seeds"),
        ),
    ],
)
def test_an_invalid_seed_rule_is_refused(content: dict[str, Any], words: tuple[object, ...]) -> None:
    assert not missing(error_of(content), *words)


def test_values_that_read_alike_are_not_mixed_up() -> None:
    grid = {"backbone": [TINY], "method": ["none"], "recipe.lr": [0.001000001, 0.001, 0.002]}
    question = {"field": "recipe.lr", "value": 0.001, "reference": 0.002}
    (found,) = study({"seeds": RULE, "grid": grid, "contrast": [question]}).comparisons
    assert [run.spec.recipe.lr for run in found.runs] == [0.001, 0.002]
