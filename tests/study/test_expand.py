"""A study file and flags become runs."""

import dataclasses
from typing import Any

import pytest

from slbench.backbones.specs import ViTSpec
from slbench.data import DATASETS
from slbench.errors import InputError
from tests.study.helpers import cells, error_of, vit
from tests.support import TINY, missing, naming, runs, study


def test_an_empty_file_is_the_four_methods_of_the_paper_on_the_embedded_data() -> None:
    found = study({})
    assert cells(*found.runs) == [("ViT", method, 0) for method in ("none", "spt", "lsa", "both")]
    assert {run.labels.dataset for run in found.runs} == {"fashion-mnist-12k"}
    assert {run.spec.protocol for run in found.runs} == {"holdout"}
    assert {run.spec.recipe.precision for run in found.runs} == {"auto"}
    assert {run.spec.recipe.epochs for run in found.runs} == {6}
    assert found.notes == ()


def test_the_grid_is_the_product_in_file_order_with_the_last_axis_fastest() -> None:
    grid = {"seed": [1, 0], "method": ["spt", "none"]}
    assert [(run.spec.seed, run.labels.method) for run in study({"grid": grid}).runs] == [
        (1, "spt"),
        (1, "none"),
        (0, "spt"),
        (0, "none"),
    ]


def test_an_axis_of_one_value_can_be_a_scalar() -> None:
    assert cells(*study({"grid": {"method": "lsa", "seed": 3}}).runs) == [("ViT", "lsa", 3)]


def test_any_field_can_be_an_axis() -> None:
    grid = {"recipe.lr": [0.001, 0.003], "backbone.depth": [1, 2], "method.initial_temperature": [0.5, 2]}
    found = [(run.spec.recipe.lr, vit(run).depth, run.spec.method.initial_temperature) for run in runs(grid)]
    assert found == [(lr, depth, start) for lr in (0.001, 0.003) for depth in (1, 2) for start in (0.5, 2.0)]


def test_a_run_is_named_by_the_axes_that_vary_and_mean_something_to_it() -> None:
    grid = {"backbone": [TINY], "method": ["none", "spt"], "method.shift_ratio": [0.25, 0.5], "recipe": ["quick"]}
    data = "fashion-mnist-12k"
    assert [run.name for run in runs(grid)] == [
        f"Tiny none {data} seed 0",
        f"Tiny spt {data} shift_ratio=0.25 seed 0",
        f"Tiny spt {data} shift_ratio=0.5 seed 0",
    ]
    names = [run.name for run in runs({"method": ["none"], "recipe": ["quick", "modern"], "seed": [1]})]
    assert names == [f"Tiny none {data} recipe={recipe} seed 1" for recipe in ("quick", "modern")]


def test_protocol_and_precision_can_be_axes() -> None:
    grid = {"protocol": ["full", "paper"], "precision": ["fp32", "bf16"]}
    assert [(run.spec.protocol, run.spec.recipe.precision) for run in runs(grid)] == [
        ("full", "fp32"),
        ("full", "bf16"),
        ("paper", "fp32"),
        ("paper", "bf16"),
    ]


@pytest.mark.parametrize("settings", [{"recipe": {"epochs": 3, "lr": 0.5}}, {"recipe.epochs": 3, "recipe.lr": 0.5}])
def test_nested_and_dotted_settings_are_the_same(settings: dict[str, Any]) -> None:
    (run,) = runs(set=settings)
    assert (run.spec.recipe.epochs, run.spec.recipe.lr) == (3, 0.5)


def test_an_integer_rate_and_a_float_rate_are_one_run() -> None:
    (integer,) = runs(set={"recipe.lr": 1})
    (real,) = runs(set={"recipe.lr": 1.0})
    assert integer.spec.run_id == real.spec.run_id
    found = study({"grid": {"backbone": [TINY], "method": ["none"], "recipe.lr": [1, 1.0]}})
    assert len(found.runs) == 1


@pytest.mark.parametrize("keep", ["last", "best", "none"])
def test_keep_does_not_change_the_spec_of_a_run(keep: str) -> None:
    (run,) = runs(keep=keep)
    assert run.labels.keep == keep
    assert run.spec == runs()[0].spec


def test_top_level_precision_is_the_precision_of_the_recipe() -> None:
    assert runs(precision="bf16")[0].spec == runs(set={"recipe.precision": "bf16"})[0].spec
    assert runs(precision="bf16")[0].spec.recipe.precision == "bf16"


def test_flags_override_the_file() -> None:
    content = {"grid": {"method": ["spt"], "seed": [0, 1, 2]}, "protocol": "full", "set": {"recipe.epochs": 3}}
    content["precision"] = "bf16"
    found = study(
        content, grid={"method": ["lsa", "none"]}, set={"recipe.epochs": 5, "precision": "fp32"}, protocol="paper"
    ).runs
    assert cells(*found) == [("ViT", method, seed) for method in ("lsa", "none") for seed in (0, 1, 2)]
    assert {(run.spec.recipe.epochs, run.spec.recipe.precision, run.spec.protocol) for run in found} == {
        (5, "fp32", "paper")
    }


def test_an_inline_backbone_has_its_sizes_and_label() -> None:
    (run,) = runs({"backbone": [TINY]})
    assert run.labels.backbone == "Tiny"
    assert (vit(run).dim, vit(run).depth, vit(run).mlp_ratio) == (8, 1, 2.0)


def test_only_a_backbone_with_its_default_sizes_has_its_title() -> None:
    found = study({"grid": {"backbone": ["vit", {"name": "vit", "depth": 3}], "method": ["none"]}}).runs
    assert [run.labels.backbone for run in found] == ["ViT", "vit"]


def test_the_label_of_an_inline_method_names_it_in_tables_and_changes_no_run_id() -> None:
    method = {"name": "own", "shift": "diagonal"}
    content = {"contrast": [{"method": "own"}], "report": {"method": ["own", "none"]}}
    grid = {"backbone": [TINY], "method": ["none", "own"]}
    plain = study({"grid": grid, "method": [method], **content})
    named = study({"grid": grid, "method": [{**method, "label": "SPT, 4 shifts"}], **content})
    assert [run.spec.run_id for run in named.runs] == [run.spec.run_id for run in plain.runs]
    assert [run.labels.method for run in named.runs] == ["none", "SPT, 4 shifts"]
    assert named.contrasts is not None
    assert [question.name for question in named.contrasts] == ["SPT, 4 shifts against none"]
    assert named.table_spec.method == ("SPT, 4 shifts", "none")
    for label in ("none", "", 3):
        with pytest.raises(InputError, match=naming("method[0]", "label")):
            study({"grid": grid, "method": [{**method, "label": label}]})


def test_only_inline_methods_of_the_grid_are_run() -> None:
    method = {"name": "mask-only-2x", "mask_self": True, "initial_temperature": 2}
    (run,) = runs({"method": ["mask-only-2x"]}, method=[method, {"name": "other", "mask_self": True}])
    assert run.labels.method == "mask-only-2x"
    assert (run.spec.method.mask_self, run.spec.method.initial_temperature) == (True, 2.0)


def test_excluded_cells_are_not_run() -> None:
    content = {
        "grid": {"method": ["none", "spt", "lsa"], "seed": [0, 1]},
        "exclude": [{"method": ["spt", "lsa"], "seed": 1}],
    }
    assert [cell[1:] for cell in cells(*study(content).runs)] == [("none", 0), ("none", 1), ("spt", 0), ("lsa", 0)]


def test_an_inline_backbone_is_excluded_by_its_label() -> None:
    content = {"grid": {"backbone": ["vit", TINY], "method": ["none"]}, "exclude": [{"backbone": "Tiny"}]}
    assert cells(*study(content).runs) == [("ViT", "none", 0)]


def test_an_exclusion_must_match_a_cell_and_leave_another() -> None:
    content = {"grid": {"method": ["none"]}, "exclude": [{"method": "spt"}]}
    assert not missing(error_of(content), "test.toml", "method", "spt")
    assert not missing(error_of({"exclude": [{"methd": "spt"}]}), "test.toml", "methd", "method")
    assert not missing(error_of({"grid": {"method": ["spt"]}, "exclude": [{"method": "spt"}]}), "test.toml")


def test_equal_cells_are_one_run_with_a_note() -> None:
    method = {"name": "my-lsa", "learn_temperature": True, "mask_self": True}
    found = study({"grid": {"method": ["lsa", "my-lsa", "lsa", "none"]}, "method": [method]})
    assert cells(*found.runs) == [("ViT", "lsa", 0), ("ViT", "none", 0)]
    repeated, merged = found.notes
    assert not missing(repeated, "grid.method", "'lsa'")
    assert not missing(merged, "4", "2")


def test_a_short_run_has_a_shorter_warm_up_and_one_note() -> None:
    found = study({"set": {"recipe.epochs": 2, "recipe.warmup_epochs": 1.0}})
    (note,) = found.notes
    assert not missing(note, "140", "28 steps")


def test_fields_without_effect_on_a_method_are_omitted_with_a_note() -> None:
    found = study({"grid": {"method": ["none", "spt", "lsa"]}, "set": {"method": {"shift_pixels": 3}}})
    assert [run.spec.method.shift_pixels for run in found.runs] == [None, 3, None]
    assert [run.spec.method.shift_ratio for run in found.runs] == [None, None, None]
    for note, method in zip(found.notes, ("none", "lsa"), strict=True):
        assert not missing(note, "method.shift_pixels", method)


def test_a_field_is_kept_if_the_study_enables_it() -> None:
    found = study({"grid": {"method": ["none"]}, "set": {"method": {"shift": "cardinal", "shift_pixels": 2}}})
    assert found.notes == ()
    assert (found.runs[0].spec.method.shift, found.runs[0].spec.method.shift_pixels) == ("cardinal", 2)


@pytest.mark.parametrize(
    ("side", "tokens", "words"),
    [(28, 8, ("4 px", "1/8", "28 x 28 px")), (32, 10, ("4 px", "1/10", "32 x 32 px"))],  # 3.5 and 3.2 px, neither 2
)
def test_a_rounded_patch_size_is_noted(
    monkeypatch: pytest.MonkeyPatch, side: int, tokens: int, words: tuple[str, ...]
) -> None:
    entry = DATASETS["fashion-mnist-12k"]
    resized = dataclasses.replace(entry.spec, image_size=(side, side))
    monkeypatch.setitem(DATASETS, "fashion-mnist-12k", dataclasses.replace(entry, spec=resized))
    monkeypatch.setattr(ViTSpec, "tokens_per_side", tokens)
    found = study({"grid": {"method": ["none"]}})
    assert vit(found.runs[0]).patch_size == 4
    (note,) = found.notes
    assert not missing(note, *words)


def test_temperature_per_layer_is_omitted_for_methods_without_a_learned_temperature() -> None:
    found = study({"grid": {"method": ["mask-only", "lsa"]}, "set": {"method.temperature_per": "layer"}})
    assert [run.spec.method.temperature_per for run in found.runs] == ["head", "layer"]
    (note,) = found.notes
    assert not missing(note, "method.temperature_per", "mask-only", "learn_temperature")


def test_an_exclusion_may_use_a_short_name() -> None:
    found = study({"grid": {"method": ["none"], "precision": ["fp32", "bf16"]}, "exclude": [{"precision": "fp32"}]})
    assert [run.spec.recipe.precision for run in found.runs] == ["bf16"]


def test_flags_take_away_the_questions_whose_runs_they_leave_out() -> None:
    content = {"contrast": [{"effect": "spt"}, {"method": "spt"}, {"method": "lsa", "reference": "spt"}]}
    names = [contrast.name for contrast in study(content).contrasts or ()]
    assert names == ["main effect of spt", "spt against none", "lsa against spt"]
    fewer = study(content, grid={"method": ["none", "spt"]})
    assert [contrast.name for contrast in fewer.contrasts or ()] == ["spt against none"]
    assert study({}).contrasts is None
