"""What is wrong in a study or a flag is one line that names where."""

from typing import Any

import pytest

from slbench.errors import InputError
from tests.study.made import refusal
from tests.support import naming, runs, study


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"titel": "x"}, "test.toml: unknown key 'titel'; did you mean 'title'? known: title, source, recipe,"),
        ({"title": 3}, "test.toml: title: must be text in quotes, got 3"),
        ({"grid": 3}, "test.toml: grid: must be a table, got 3"),
        ({"grid": {"backbon": ["vit"]}}, "test.toml: grid.backbon: unknown key 'backbon'; did you mean 'backbone'?"),
        ({"grid": {"backbone": ["vitt"]}}, "test.toml: grid.backbone: unknown backbone 'vitt'; did you mean 'vit'?"),
        ({"grid": {"backbone": [3]}}, "test.toml: grid.backbone: must be the name of a backbone in quotes, got 3"),
        (
            {"grid": {"backbone": [{"name": "vit", "dimm": 8}]}},
            "test.toml: grid.backbone: unknown key 'dimm'; did you mean 'dim'? known: name, patch_size, dim, depth,",
        ),
        (
            {"grid": {"backbone": [{"name": "vit", "dim": "8"}]}},
            'test.toml: grid.backbone: dim: must be an integer, got "8"',
        ),
        ({"grid": {"method": ["sp"]}}, "test.toml: grid.method: unknown method 'sp'; did you mean 'spt'?"),
        ({"grid": {"dataset": ["mnist"]}}, "test.toml: grid.dataset: unknown data set 'mnist'"),
        ({"grid": {"seed": [-1]}}, "test.toml: grid.seed: must be at least 0, got -1"),
        ({"grid": {"seed": [True]}}, "test.toml: grid.seed: must be an integer, got true"),
        ({"grid": {"protocol": ["hold"]}}, "test.toml: grid.protocol: must be 'holdout', 'full' or 'paper', got"),
        ({"grid": {"recipe.lr": ["a"]}}, 'test.toml: grid."recipe.lr": must be a number, got "a"'),
        ({"grid": {"method": []}}, "test.toml: grid.method: an empty list leaves no run: give at least one value"),
        ({"recipe": "quik"}, "test.toml: recipe: unknown recipe 'quik'; did you mean 'quick'? known: quick"),
        ({"protocol": "ful"}, "test.toml: protocol: must be 'holdout', 'full' or 'paper', got \"ful\""),
        ({"precision": "int8"}, "test.toml: precision: must be 'auto', 'bf16' or 'fp32', got \"int8\""),
        ({"set": {"recipe": {"epoch": 3}}}, "test.toml: set.recipe.epoch: unknown key 'recipe.epoch'; did you mean "),
        ({"set": {"recipe": 3}}, "test.toml: set.recipe: unknown key 'recipe'"),
        ({"set": {"recipe.epochs": -3}}, "test.toml: set.recipe.epochs: must be at least 1, got -3"),
        ({"set": {"recipe.epochs": [1, 2]}}, "test.toml: set.recipe.epochs: a list makes an axis: write it under"),
        ({"set": {"recipe.lr": 0}}, "test.toml: set.recipe.lr: must be above 0, got 0"),
        ({"set": {"method.shift": "up"}}, "test.toml: set.method.shift: must be 'none', 'diagonal', 'cardinal' or "),
        (
            {"grid": {"recipe.lr": [1]}, "set": {"recipe.lr": 2}},
            'test.toml: grid."recipe.lr": also set by test.toml: set.recipe.lr: keep one of the two',
        ),
        ({"method": [{"mask_self": True}]}, "test.toml: method[0]: needs a name in quotes, got None"),
        ({"method": [{"name": "lsa"}]}, "test.toml: method[0]: 'lsa' is a row that slbench ships; give yours another"),
        ({"method": [{"name": "a"}, {"name": "a"}]}, "test.toml: method[1]: 'a' is defined twice"),
        (
            {"method": [{"name": "a", "mask_sel": True}]},
            "test.toml: method 'a': unknown key 'mask_sel'; did you mean 'mask_self'?",
        ),
        (
            {"method": [{"name": "a", "shift_pixels": 1}]},
            "test.toml: method 'a': a shift size needs directions: set shift to diagonal, cardinal or all8",
        ),
        (
            {"set": {"backbone.patch_size": 7}},
            "test.toml: ViT, none, fashion-mnist-12k: patch_size 7 does not divide an image of 32 x 32 px; "
            "allowed: 1, 2, 4, 8, 16, 32",
        ),
        (
            {"grid": {"method": ["spt"]}, "set": {"method.shift_ratio": 0.2}},
            "test.toml: ViT, spt, fashion-mnist-12k: shift_ratio 0.2 of a patch of 4 px is a shift of 0 px; "
            "the smallest ratio that works is 1/4 = 0.25",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_key(content: dict[str, Any], words: str) -> None:
    said = refusal(content)
    assert said.startswith(words)
    assert "\n" not in said


@pytest.mark.parametrize("label", ["1e5", "12", "", "nan", "NA", "true", "-inf", " 3 ", 7, 1.5])
def test_a_label_that_pandas_would_read_as_something_else_is_refused(label: Any) -> None:
    words = "must be a name in quotes that is no number or empty value, got "
    assert words in refusal({"grid": {"backbone": [{"name": "vit", "label": label}]}})
    if isinstance(label, str):
        assert words in refusal({"method": [{"name": label, "mask_self": True}]})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"set": {"recipe.lrr": 1}}, "--set recipe.lrr: unknown key 'recipe.lrr'; did you mean 'recipe.lr'?"),
        ({"set": {"recipe.lr": "x"}}, '--set recipe.lr: must be a number, got "x"'),
        ({"grid": {"method": ["lsaa"]}}, "--method: unknown method 'lsaa'; did you mean 'lsa'?"),
        ({"recipe": "slow"}, "--recipe: unknown recipe 'slow'"),
        ({"protocol": "x"}, "--protocol: must be 'holdout', 'full' or 'paper', got \"x\""),
    ],
)
def test_what_is_wrong_in_a_flag_is_named_by_the_flag(flags: dict[str, Any], words: str) -> None:
    assert refusal({}, **flags).startswith(words)


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_the_best_weights_are_refused_where_nothing_validates(protocol: str) -> None:
    words = f"test.toml: keep: 'best' is chosen by validation accuracy, and protocol '{protocol}' validates nothing"
    with pytest.raises(InputError, match=words):
        runs(keep="best", protocol=protocol)
    assert runs(keep="none", protocol=protocol)[0].labels.keep == "none"


def test_a_protocol_on_the_command_line_and_as_an_axis_is_one_too_many() -> None:
    with pytest.raises(InputError, match=naming("grid.protocol", "--protocol")):
        study({"grid": {"protocol": ["holdout"]}}, protocol="full")


def test_a_recipe_on_the_command_line_and_as_an_axis_is_one_too_many() -> None:
    with pytest.raises(InputError, match=naming("grid.recipe", "--recipe")):
        study({"grid": {"recipe": ["quick"]}}, recipe="quick")


def test_a_precision_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match=naming("test.toml", "set.recipe.precision")):
        study({"precision": "fp32", "set": {"recipe.precision": "bf16"}})
    found = study({"precision": "fp32", "grid": {"method": ["none"]}}, set={"recipe.precision": "bf16"})
    assert found.runs[0].spec.recipe.precision == "bf16"


def test_a_list_that_is_too_short_says_so() -> None:
    with pytest.raises(InputError, match=naming("--set", "recipe.betas", "1", "[0.9]")):
        study({}, set={"recipe.betas": [0.9]})


@pytest.mark.parametrize("label", ["1e5", "None", "NaN", "#N/A", "True", "", " "])
def test_a_label_that_a_reader_of_the_csv_would_not_keep_is_refused(label: str) -> None:
    with pytest.raises(InputError, match=naming("label")):
        study({"grid": {"backbone": [{"name": "vit", "label": label}]}})
