"""Errors of studies and flags are one line with file or flag, key and value."""

from typing import Any

import pytest

from slbench.errors import InputError
from slbench.text import shown
from tests.study.helpers import error_of
from tests.support import missing, naming, runs, study

BF16 = {"field": "precision", "value": "bf16", "reference": "fp32"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"titel": "x"}, ("test.toml", "titel", "title", "source", "recipe")),
        ({"title": 3}, ("test.toml", "title", "3")),
        ({"grid": 3}, ("test.toml", "grid", "3")),
        ({"grid": {"backbon": ["vit"]}}, ("test.toml", "grid.backbon", "backbon", "backbone")),
        ({"grid": {"backbone": ["vitt"]}}, ("test.toml", "grid.backbone", "vitt", "vit")),
        ({"grid": {"backbone": [3]}}, ("test.toml", "grid.backbone", "3")),
        ({"grid": {"backbone": [["vit"]]}}, ("test.toml", "grid.backbone", "['vit']")),
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
        ({"contrast": [{"method": "sp"}]}, ("test.toml", "contrast[0]: method", "sp", "spt")),
        ({"contrast": [{"method": "spt", "reference": "nnone"}]}, ("contrast[0]: reference", "nnone", "none")),
        ({"contrast": [{"effect": "spt"}, {"effect": "sp"}]}, ("contrast[1]: effect", "sp", "interaction")),
        ({"contrast": [{"effect": "spt"}], "grid": {"method": ["none", "spt"]}}, ("effect", "lsa, both")),
        ({"contrast": [{"effect": "spt", "method": "spt"}]}, ("contrast[0]", "effect", "method")),
        ({"contrast": [{"reference": "none"}]}, ("contrast[0]", "method")),
        ({"contrast": [{"method": "spt"}, {"method": "spt"}]}, ("contrast[1]", "twice")),
        ({"contrast": [{"method": "spt", "over": "backbones"}]}, ("contrast[0]: over", "2 or more backbones", "1")),
        ({"contrast": [{"method": "spt", "trend": "seed"}], "grid": {"seed": [0, 1]}}, ("contrast[0]: trend", "seed")),
        ({"contrast": [{"method": "spt", "scale": "log"}]}, ("contrast[0]", "scale", "trend")),
        ({"contrast": [{"method": "spt", "trend": "recipe.lr"}]}, ("contrast[0]: trend", "recipe.lr")),
        (
            {"contrast": [{"method": "spt", "trend": "recipe.flip"}], "grid": {"recipe.flip": [True, False]}},
            ("contrast[0]: trend", "recipe.flip", "numbers"),
        ),
        *(
            (
                {"grid": {"precision": ["bf16", "fp32"], "recipe.lr": [0.1, 0.2]}, "contrast": [{**BF16, **changes}]},
                words,
            )
            for changes, words in (
                (
                    {"field": "recipe.precisio"},
                    ("contrast[0]: field", "recipe.precisio", "did you mean 'recipe.precision'"),
                ),
                ({"field": "recipe.epochs"}, ("contrast[0]: field", "recipe.epochs", "recipe.precision, recipe.lr")),
                ({"value": "bf1"}, ("contrast[0]: value", "bf1", "bf16, fp32", "did you mean 'bf16'")),
                ({"reference": 16}, ("contrast[0]: reference", "16", "bf16, fp32")),
                ({"reference": "bf16"}, ("contrast[0]: reference", "differ", "bf16")),
                ({"value": ["bf16"]}, ("contrast[0]: value", "text, a number", "['bf16']")),
                ({"method": "spt"}, ("contrast[0]: field", "recipe.precision", "method")),
                ({"effect": "spt"}, ("contrast[0]: field", "recipe.precision", "effect")),
                ({"trend": "recipe.lr"}, ("contrast[0]: field", "recipe.precision", "trend")),
                ({"scale": "log"}, ("contrast[0]: scale", "trend")),
            )
        ),
        (
            {
                "grid": {"compile": [True, False]},
                "contrast": [{"field": "compile", "value": "true", "reference": False}],
            },
            ("contrast[0]: value", "recipe.compile", "'true'"),
        ),
        (
            {
                "grid": {"precision": ["bf16", "fp32"], "recipe.lr": [0.1, 0.2]},
                "exclude": [{"precision": "bf16", "recipe.lr": 0.1}, {"precision": "fp32", "recipe.lr": 0.2}],
                "contrast": [BF16],
            },
            ("contrast[0]: field", "recipe.precision", "alone"),
        ),
        ({"contrast": [{"field": "precision", "value": "bf16"}]}, ("contrast[0]: reference", "missing", "precision")),
        ({"contrast": [{"method": "spt", "value": "bf16"}]}, ("contrast[0]: value", "field", "bf16")),
        (
            {"grid": {"zip": [{"precision": ["bf16", "fp32"], "recipe.lr": [0.1, 0.2]}]}, "contrast": [BF16]},
            ("contrast[0]: field", "recipe.precision", "tied"),
        ),
        ({"statistics": {"margin": 0}}, ("test.toml", "statistics.margin", "0")),
        ({"statistics": {"margin": float("inf")}}, ("test.toml", "statistics.margin")),
        ({"statistics": {"level": 95}}, ("test.toml", "statistics.level", "95")),
        ({"statistics": {"variances": "own"}}, ("test.toml", "statistics.variances", "variance")),
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
def test_an_error_in_a_file_names_its_key(content: dict[str, Any], words: tuple[object, ...]) -> None:
    result = error_of(content)
    assert not missing(result, *words)
    assert "\n" not in result


@pytest.mark.parametrize(
    "label", ["1e5", "12", "", " ", "nan", "NaN", "NA", "#N/A", "None", "true", "True", "-inf", " 3 ", 7, 1.5]
)
def test_a_label_that_pandas_reads_as_another_value_is_refused(label: Any) -> None:
    got = shown(label)
    assert not missing(error_of({"grid": {"backbone": [{"name": "vit", "label": label}]}}), "label", got)
    if isinstance(label, str):
        assert not missing(error_of({"method": [{"name": label, "mask_self": True}]}), "name", got)


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
def test_an_error_in_a_flag_names_the_flag(flags: dict[str, Any], words: tuple[object, ...]) -> None:
    assert not missing(error_of({}, **flags), *words)


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_the_best_weights_are_refused_without_a_validation_split(protocol: str) -> None:
    with pytest.raises(InputError, match=naming("test.toml: keep", "best", protocol)):
        runs(keep="best", protocol=protocol)
    assert runs(keep="none", protocol=protocol)[0].labels.keep == "none"


@pytest.mark.parametrize(("axis", "value"), [("protocol", "full"), ("recipe", "quick")])
def test_an_axis_that_is_also_a_flag_is_refused(axis: str, value: str) -> None:
    with pytest.raises(InputError, match=naming(f"grid.{axis}", f"--{axis}")):
        study({"grid": {axis: [value]}}, **{axis: value})


def test_two_precisions_are_refused() -> None:
    with pytest.raises(InputError, match=naming("test.toml", "set.recipe.precision")):
        study({"precision": "fp32", "set": {"recipe.precision": "bf16"}})
    found = study({"precision": "fp32", "grid": {"method": ["none"]}}, set={"recipe.precision": "bf16"})
    assert found.runs[0].spec.recipe.precision == "bf16"
