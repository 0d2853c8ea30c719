"""What is wrong in a study or a flag is one line that names where."""

from typing import Any

import pytest

from slbench.errors import InputError
from slbench.text import shown
from tests.study.made import refusal
from tests.support import missing, naming, runs, study


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"titel": "x"}, ("test.toml", "titel", "title", "source", "recipe")),
        ({"title": 3}, ("test.toml", "title", "3")),
        ({"grid": 3}, ("test.toml", "grid", "3")),
        ({"grid": {"backbon": ["vit"]}}, ("test.toml", "grid.backbon", "backbon", "backbone")),
        ({"grid": {"backbone": ["vitt"]}}, ("test.toml", "grid.backbone", "vitt", "vit")),
        ({"grid": {"backbone": [3]}}, ("test.toml", "grid.backbone", "3")),
        (
            {"grid": {"backbone": [{"name": "vit", "dimm": 8}]}},
            ("test.toml", "grid.backbone", "dimm", "dim", "name", "patch_size", "depth"),
        ),
        ({"grid": {"backbone": [{"name": "vit", "dim": "8"}]}}, ("test.toml", "grid.backbone", "dim", "integer", "8")),
        ({"grid": {"method": ["sp"]}}, ("test.toml", "grid.method", "sp", "spt")),
        ({"grid": {"dataset": ["mnist"]}}, ("test.toml", "grid.dataset", "mnist")),
        ({"grid": {"seed": [-1]}}, ("test.toml", "grid.seed", "0", "-1")),
        ({"grid": {"seed": [True]}}, ("test.toml", "grid.seed", "integer", "true")),
        ({"grid": {"protocol": ["hold"]}}, ("test.toml", "grid.protocol", "holdout", "full", "paper")),
        ({"grid": {"recipe.lr": ["a"]}}, ("test.toml", 'grid."recipe.lr"', "number", "a")),
        ({"grid": {"method": []}}, ("test.toml", "grid.method")),
        ({"recipe": "quik"}, ("test.toml", "recipe", "quik", "quick")),
        ({"protocol": "ful"}, ("test.toml", "protocol", "holdout", "full", "paper", "ful")),
        ({"precision": "int8"}, ("test.toml", "precision", "auto", "bf16", "fp32", "int8")),
        ({"set": {"recipe": {"epoch": 3}}}, ("test.toml", "set.recipe.epoch", "recipe.epoch")),
        ({"set": {"recipe": 3}}, ("test.toml", "set.recipe", "recipe")),
        ({"set": {"recipe.epochs": -3}}, ("test.toml", "set.recipe.epochs", "1", "-3")),
        ({"set": {"recipe.epochs": [1, 2]}}, ("test.toml", "set.recipe.epochs", "[grid]")),
        ({"set": {"recipe.lr": 0}}, ("test.toml", "set.recipe.lr", "0")),
        ({"set": {"method.shift": "up"}}, ("test.toml", "set.method.shift", "none", "diagonal", "cardinal")),
        ({"grid": {"recipe.lr": [1]}, "set": {"recipe.lr": 2}}, ("test.toml", 'grid."recipe.lr"', "set.recipe.lr")),
        ({"method": [{"mask_self": True}]}, ("test.toml", "method[0]: name", "null")),
        ({"method": [{"name": "lsa"}]}, ("test.toml", "method[0]", "lsa")),
        ({"method": [{"name": "a"}, {"name": "a"}]}, ("test.toml", "method[1]", "a")),
        ({"method": [{"name": "a", "mask_sel": True}]}, ("test.toml", "a", "mask_sel", "mask_self")),
        ({"method": [{"name": "a", "shift_pixels": 1}]}, ("test.toml", "a", "all8")),
        (
            {"set": {"backbone.patch_size": 7}},
            (
                "test.toml",
                "ViT",
                "none",
                "fashion-mnist-12k",
                "patch_size",
                "7",
                "32 x 32 px",
                "1",
                "2",
                "4",
                "8",
                "16",
                "32",
            ),
        ),
        (
            {"grid": {"method": ["spt"]}, "set": {"method.shift_ratio": 0.2}},
            ("test.toml", "ViT", "fashion-mnist-12k", "shift_ratio", "0.2", "4 px", "0 px", "1/4", "0.25"),
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_key(content: dict[str, Any], words: tuple[object, ...]) -> None:
    result = refusal(content)
    assert not missing(result, *words)
    assert "\n" not in result


@pytest.mark.parametrize("label", ["1e5", "12", "", "nan", "NA", "true", "-inf", " 3 ", 7, 1.5])
def test_a_label_that_pandas_would_read_as_something_else_is_refused(label: Any) -> None:
    got = shown(label)
    assert not missing(refusal({"grid": {"backbone": [{"name": "vit", "label": label}]}}), "label", got)
    if isinstance(label, str):
        assert not missing(refusal({"method": [{"name": label, "mask_self": True}]}), "name", got)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"set": {"recipe.lrr": 1}}, ("--set", "recipe.lrr", "recipe.lr")),
        ({"set": {"recipe.lr": "x"}}, ("--set", "recipe.lr", "number", "x")),
        ({"grid": {"method": ["lsaa"]}}, ("--method", "lsaa", "lsa")),
        ({"recipe": "slow"}, ("--recipe", "slow")),
        ({"protocol": "x"}, ("--protocol", "holdout", "full", "paper", "x")),
    ],
)
def test_what_is_wrong_in_a_flag_is_named_by_the_flag(flags: dict[str, Any], words: tuple[object, ...]) -> None:
    assert not missing(refusal({}, **flags), *words)


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_the_best_weights_are_refused_where_nothing_validates(protocol: str) -> None:
    with pytest.raises(InputError, match=naming("test.toml: keep", "best", protocol)):
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
    with pytest.raises(InputError, match=naming("--set", "recipe.betas", "2 values", "[0.9]")):
        study({}, set={"recipe.betas": [0.9]})


@pytest.mark.parametrize("label", ["1e5", "None", "NaN", "#N/A", "True", "", " "])
def test_a_label_that_a_reader_of_the_csv_would_not_keep_is_refused(label: str) -> None:
    with pytest.raises(InputError, match=naming("label")):
        study({"grid": {"backbone": [{"name": "vit", "label": label}]}})
