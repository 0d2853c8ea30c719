from pathlib import Path
from typing import Any

import pytest

from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.study import Flags, StudyRun, load_study
from tests.support import ROOT, TINY, runs, study


def cells(*found: StudyRun) -> list[tuple[str, str, int]]:
    return [(run.labels.backbone, run.labels.method, run.spec.seed) for run in found]


def refusal(content: dict[str, Any], **flags: Any) -> str:
    with pytest.raises(InputError) as caught:
        study(content, **flags)
    return str(caught.value)


def test_an_empty_file_is_the_four_rows_of_the_paper_on_the_embedded_data() -> None:
    found = study({})
    assert cells(*found.runs) == [("ViT", method, 0) for method in ("none", "spt", "lsa", "both")]
    assert {run.labels.dataset for run in found.runs} == {"fashion-mnist-12k"}
    assert {run.spec.protocol for run in found.runs} == {"holdout"}
    assert {run.spec.recipe.precision for run in found.runs} == {"auto"}
    assert {run.spec.recipe.epochs for run in found.runs} == {6}
    assert found.notes == ()


def vit(run: StudyRun) -> ViTSpec:
    """The sizes of a run that is known to be of a ViT."""
    assert isinstance(run.spec.backbone, ViTSpec)
    return run.spec.backbone


def test_the_grid_is_the_product_in_file_order_with_the_last_axis_fastest() -> None:
    grid = {"seed": [1, 0], "method": ["spt", "none"]}
    assert [(run.spec.seed, run.labels.method) for run in study({"grid": grid}).runs] == [
        (1, "spt"),
        (1, "none"),
        (0, "spt"),
        (0, "none"),
    ]


def test_an_axis_of_one_value_needs_no_list() -> None:
    assert cells(*study({"grid": {"method": "lsa", "seed": 3}}).runs) == [("ViT", "lsa", 3)]


def test_any_field_can_be_an_axis() -> None:
    grid = {"recipe.lr": [0.001, 0.003], "backbone.depth": [1, 2], "method.initial_temperature": [0.5, 2]}
    found = [(run.spec.recipe.lr, vit(run).depth, run.spec.method.initial_temperature) for run in runs(grid)]
    assert found == [(lr, depth, start) for lr in (0.001, 0.003) for depth in (1, 2) for start in (0.5, 2.0)]


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


def test_a_list_that_is_a_value_is_one_value() -> None:
    (run,) = runs(set={"recipe.betas": [0.8, 0.9]})
    assert run.spec.recipe.betas == (0.8, 0.9)


@pytest.mark.parametrize("keep", ["last", "best", "none"])
def test_what_a_study_keeps_is_no_part_of_its_runs(keep: str) -> None:
    (run,) = runs(keep=keep)
    assert run.labels.keep == keep
    assert run.spec == runs()[0].spec


@pytest.mark.parametrize("protocol", ["full", "paper"])
def test_the_best_weights_are_refused_where_nothing_validates(protocol: str) -> None:
    words = f"test.toml: keep: 'best' is chosen by validation accuracy, and protocol '{protocol}' validates nothing"
    with pytest.raises(InputError, match=words):
        runs(keep="best", protocol=protocol)
    assert runs(keep="none", protocol=protocol)[0].labels.keep == "none"


def test_precision_at_the_top_is_short_for_the_recipes() -> None:
    assert runs(precision="bf16")[0].spec == runs(set={"recipe.precision": "bf16"})[0].spec
    assert runs(precision="bf16")[0].spec.recipe.precision == "bf16"


def test_flags_win_over_the_file() -> None:
    content = {"grid": {"method": ["spt"], "seed": [0, 1, 2]}, "protocol": "full", "set": {"recipe.epochs": 3}}
    content["precision"] = "bf16"
    found = study(
        content, grid={"method": ["lsa", "none"]}, set={"recipe.epochs": 5, "precision": "fp32"}, protocol="paper"
    ).runs
    assert cells(*found) == [("ViT", method, seed) for method in ("lsa", "none") for seed in (0, 1, 2)]
    assert {(run.spec.recipe.epochs, run.spec.recipe.precision, run.spec.protocol) for run in found} == {
        (5, "fp32", "paper")
    }


def test_an_inline_backbone_has_its_own_sizes_and_label() -> None:
    (run,) = runs({"backbone": [TINY]})
    assert run.labels.backbone == "Tiny"
    assert (vit(run).dim, vit(run).depth, vit(run).mlp_ratio) == (8, 1, 2.0)


def test_a_backbone_by_name_has_its_title_and_one_with_other_sizes_has_not() -> None:
    found = study({"grid": {"backbone": ["vit", {"name": "vit", "depth": 3}], "method": ["none"]}}).runs
    assert [run.labels.backbone for run in found] == ["ViT", "vit"]


def test_an_inline_method_is_a_row_like_any_other() -> None:
    row = {"name": "mask-only-2x", "mask_self": True, "initial_temperature": 2}
    (run,) = runs({"method": ["mask-only-2x"]}, method=[row])
    assert run.labels.method == "mask-only-2x"
    assert (run.spec.method.mask_self, run.spec.method.initial_temperature) == (True, 2.0)


def test_an_inline_method_that_is_not_in_the_grid_is_no_run() -> None:
    assert len(runs(method=[{"name": "other", "mask_self": True}])) == 1


def test_excluded_cells_are_left_out() -> None:
    content = {
        "grid": {"method": ["none", "spt", "lsa"], "seed": [0, 1]},
        "exclude": [{"method": ["spt", "lsa"], "seed": 1}],
    }
    assert [cell[1:] for cell in cells(*study(content).runs)] == [("none", 0), ("none", 1), ("spt", 0), ("lsa", 0)]


def test_an_inline_backbone_is_excluded_by_its_label() -> None:
    content = {"grid": {"backbone": ["vit", TINY], "method": ["none"]}, "exclude": [{"backbone": "Tiny"}]}
    assert cells(*study(content).runs) == [("ViT", "none", 0)]


def test_an_exclusion_must_match_something() -> None:
    content = {"grid": {"method": ["none"]}, "exclude": [{"method": "spt"}]}
    assert refusal(content) == 'test.toml: exclude: {"method": "spt"} matches no cell of the grid'
    assert refusal({"exclude": [{"methd": "spt"}]}).startswith(
        "test.toml: exclude: 'methd' is no axis of this grid; did you mean 'method'?"
    )
    assert refusal({"grid": {"method": ["spt"]}, "exclude": [{"method": "spt"}]}) == (
        "test.toml: exclude: leaves no run of the grid"
    )


def test_equal_cells_are_one_run_with_a_note() -> None:
    row = {"name": "my-lsa", "learn_temperature": True, "mask_self": True}
    found = study({"grid": {"method": ["lsa", "my-lsa", "lsa", "none"]}, "method": [row]})
    assert cells(*found.runs) == [("ViT", "lsa", 0), ("ViT", "none", 0)]
    assert found.notes == ("4 cells of the grid are 2 different runs: equal ones are made once",)


def test_a_short_run_shortens_its_warm_up_and_says_so_once() -> None:
    found = study({"set": {"recipe.epochs": 2, "recipe.warmup_epochs": 1.0}})
    assert found.notes == ("warm-up shortened from 140 to 28 steps, a tenth of the run",)


def test_a_patch_that_the_rule_rounds_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from slbench.data import DATASETS

    entry = DATASETS["fashion-mnist-12k"]
    odd = dataclasses.replace(entry.spec, image_size=(28, 28))
    monkeypatch.setitem(DATASETS, "fashion-mnist-12k", dataclasses.replace(entry, spec=odd))
    found = study({"grid": {"method": ["none"]}})
    assert vit(found.runs[0]).patch_size == 4  # 28 / 8 = 3.5: 4 and not 2
    assert found.notes == ("patch 4 px: an eighth of 28 x 28 px, rounded to a divisor",)


def test_fields_that_mean_nothing_for_a_row_are_left_out_there_with_a_note() -> None:
    found = study({"grid": {"method": ["none", "spt", "lsa"]}, "set": {"method": {"shift_pixels": 3}}})
    assert [run.spec.method.shift_pixels for run in found.runs] == [None, 3, None]
    assert [run.spec.method.shift_ratio for run in found.runs] == [None, None, None]
    assert found.notes == tuple(
        f"method.shift_pixels means nothing for '{row}', which has no shift: left out there" for row in ("none", "lsa")
    )


def test_a_field_that_is_switched_on_beside_means_something() -> None:
    found = study({"grid": {"method": ["none"]}, "set": {"method": {"shift": "cardinal", "shift_pixels": 2}}})
    assert found.notes == ()
    assert (found.runs[0].spec.method.shift, found.runs[0].spec.method.shift_pixels) == ("cardinal", 2)


def test_temperature_per_layer_is_left_out_where_no_temperature_is_learned() -> None:
    found = study({"grid": {"method": ["mask-only", "lsa"]}, "set": {"method.temperature_per": "layer"}})
    assert [run.spec.method.temperature_per for run in found.runs] == ["head", "layer"]
    assert found.notes == (
        "method.temperature_per means nothing for 'mask-only', which has no learn_temperature: left out there",
    )


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


def test_a_study_file_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "a b.toml"
    path.write_text('title = "T"\nsource = "S"\n', encoding="utf-8")
    found = load_study(path, Flags(grid={"method": ["none"]}))
    assert (found.name, found.title, found.source, len(found.runs)) == ("a b", "T", "S", 1)


def test_a_missing_file_is_answered_with_the_nearest_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").touch()
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "quik.toml")
    assert str(caught.value) == (
        f"{tmp_path / 'quik.toml'}: no such file; did you mean 'quick.toml'? known: quick.toml (in {tmp_path})"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'title = "x"\nrecipe = \n', "not valid TOML: Invalid value (at line 2, column 10)"),
        (b"[grid]\n[grid]\n", "not valid TOML: Cannot declare ('grid',) twice (at line 2, column 6)"),
        (b"title = '\xff'\n", "not a text file in UTF-8"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert str(caught.value) == f"{path}: {words}"


def test_a_folder_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": cannot be read: Is a directory$"):
        load_study(tmp_path)


def test_the_shipped_quick_study_is_four_rows_of_two_seeds() -> None:
    found = load_study(ROOT / "studies" / "quick.toml")
    assert [cell[1:] for cell in cells(*found.runs)] == [
        (method, seed) for method in ("none", "spt", "lsa", "both") for seed in (0, 1)
    ]


def test_a_protocol_on_the_command_line_and_as_an_axis_is_one_too_many() -> None:
    with pytest.raises(InputError, match=r"grid.protocol: also set by --protocol: keep one of the two"):
        study({"grid": {"protocol": ["holdout"]}}, protocol="full")


def test_a_recipe_on_the_command_line_and_as_an_axis_is_one_too_many() -> None:
    with pytest.raises(InputError, match=r"grid.recipe: also set by --recipe: keep one of the two"):
        study({"grid": {"recipe": ["quick"]}}, recipe="quick")


def test_an_exclusion_may_use_a_short_name() -> None:
    found = study({"grid": {"method": ["none"], "precision": ["fp32", "bf16"]}, "exclude": [{"precision": "fp32"}]})
    assert [run.spec.recipe.precision for run in found.runs] == ["bf16"]


def test_a_precision_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"also set by test.toml: set.recipe.precision: keep one"):
        study({"precision": "fp32", "set": {"recipe.precision": "bf16"}})
    found = study({"precision": "fp32", "grid": {"method": ["none"]}}, set={"recipe.precision": "bf16"})
    assert found.runs[0].spec.recipe.precision == "bf16"


def test_a_list_of_lists_is_an_axis_of_a_field_that_is_a_list() -> None:
    found = study({"grid": {"method": ["none"], "recipe.betas": [[0.9, 0.99], [0.8, 0.9]]}})
    assert [run.spec.recipe.betas for run in found.runs] == [(0.9, 0.99), (0.8, 0.9)]


def test_a_list_that_is_too_short_says_so() -> None:
    with pytest.raises(InputError, match=r"--set recipe.betas: needs more than 1 values, got \[0.9\]"):
        study({}, set={"recipe.betas": [0.9]})


@pytest.mark.parametrize("label", ["1e5", "None", "NaN", "#N/A", "True", "", " "])
def test_a_label_that_a_reader_of_the_csv_would_not_keep_is_refused(label: str) -> None:
    with pytest.raises(InputError, match="label: must be a name in quotes that is no number or empty value"):
        study({"grid": {"backbone": [{"name": "vit", "label": label}]}})


def test_a_study_chooses_rows_and_columns_of_its_table() -> None:
    report = {"method": ["lsa", "none"], "columns": ["params", "final", "gain"]}
    found = study({"grid": {"method": ["none", "lsa"]}, "report": report})
    assert found.layout.method == ("lsa", "none")
    assert found.layout.columns == ("params", "final", "gain")
    assert [run.spec.run_id for run in found.runs] == [run.spec.run_id for run in study({"grid": report_grid()}).runs]


def report_grid() -> dict[str, list[str]]:
    return {"method": ["none", "lsa"]}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"colums": ["final"]}, "test.toml: report: unknown key 'colums'"),
        ({"columns": ["finl"]}, "test.toml: report.columns: unknown column 'finl'; did you mean 'final'? known: "),
        (
            {"columns": ["gain"]},
            "test.toml: report.columns: 'gain' says something of the column before it: put it ",
        ),
        ({"columns": ["final", "macs", "gain"]}, "'gain' says something of the column before it"),
        (
            {"method": ["lsaa"]},
            "report.method: no run is called 'lsaa'; did you mean 'lsa'? known: none, lsa",
        ),
        ({"backbone": ["vit"]}, "report.backbone: no run is called 'vit'; known: ViT"),
        ({"columns": "final"}, 'test.toml: report.columns: must be a list in brackets, got "final"'),
    ],
)
def test_a_table_of_what_there_is_not_is_refused(report: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        study({"grid": {"backbone": ["vit"], "method": ["none", "lsa"]}, "report": report})
    assert words in str(refused.value)


def test_a_grid_that_is_narrowed_by_flags_keeps_the_layout_of_its_file() -> None:
    content = {"grid": {"method": ["none", "lsa"]}, "report": {"method": ["none", "lsa"]}}
    assert [run.labels.method for run in study(content, grid={"method": ["lsa"]}).runs] == ["lsa"]


RULE = {"min": 3, "max": 10, "until": "decided"}


def test_a_rule_of_seeds_gives_every_cell_its_first_seeds_and_pairs_each_row_with_its_plain_backbone() -> None:
    grid = {"backbone": [TINY], "method": ["lsa", "none", "spt"], "recipe.lr": [0.001, 0.003]}
    found = study({"seeds": RULE, "grid": grid})
    assert found.seeds is not None and (found.seeds.min, found.seeds.max) == (3, 10)
    fixed = study({"grid": {**grid, "seed": [0, 1, 2]}})
    assert (found.runs, fixed.seeds, fixed.comparisons) == (fixed.runs, None, ())
    pairs = [(each.row.spec, each.plain.spec) for each in found.comparisons]
    assert [(row.recipe.lr, plain.recipe.lr) for row, plain in pairs] == [(lr, lr) for lr in (0.001, 0.003)] * 2
    assert [each.row.labels.method for each in found.comparisons] == ["lsa", "lsa", "spt", "spt"]
    assert {each.plain.labels.method for each in found.comparisons} == {"none"}
    assert found.comparisons[1].title == "L-Tiny on fashion-mnist-12k, recipe.lr 0.003"


def test_the_run_of_a_cell_at_another_seed_is_that_of_a_study_with_this_seed() -> None:
    assert runs({"seed": [0]})[0].at(7) == runs({"seed": [7]})[0]


def test_rows_that_are_one_run_are_compared_once_and_none_with_itself() -> None:
    # Without pooling layers spt-no-pool is spt; a plain row has no shift to vary.
    grid = {"backbone": [TINY], "method": ["none", "spt", "spt-no-pool"], "method.shift_ratio": [0.25, 0.5]}
    found = study({"seeds": RULE, "grid": grid})
    assert [(each.row.labels.method, each.settings) for each in found.comparisons] == [
        ("spt", ("method.shift_ratio 0.25",)),
        ("spt", ("method.shift_ratio 0.5",)),
    ]
    assert len({each.plain.spec.run_id for each in found.comparisons}) == 1


def test_a_network_without_rows_is_compared_with_nothing() -> None:
    found = study({"seeds": RULE, "grid": {"backbone": ["resnet56", TINY], "method": ["none", "both"]}})
    assert [each.row.labels.backbone for each in found.comparisons] == ["Tiny"]
    assert [run.spec.seed for run in found.runs if run.labels.backbone == "ResNet56"] == [0, 1, 2]


def test_seeds_of_the_command_line_take_the_place_of_a_rule() -> None:
    found = study({"seeds": RULE, "grid": {"backbone": [TINY], "method": ["spt"]}}, grid={"seed": [0, 1]})
    assert (found.seeds, found.comparisons, len(found.runs)) == (None, (), 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"seeds": {**RULE, "min": 1}}, "test.toml: seeds: min: must be at least 2, got 1"),
        ({"seeds": {**RULE, "max": 3}}, "test.toml: seeds: max must be above min, got min = 3, max = 3"),
        ({"seeds": {**RULE, "max": 101}}, "test.toml: seeds: max: must be at most 100, got 101"),
        ({"seeds": {**RULE, "max": 7.5}}, "test.toml: seeds: max: must be an integer, got 7.5"),
        ({"seeds": {**RULE, "until": "never"}}, "test.toml: seeds: until: must be 'decided', got \"never\""),
        ({"seeds": {"min": 3, "max": 5}}, "test.toml: seeds: until: is missing"),
        ({"seeds": {**RULE, "mix": 3}}, "test.toml: seeds: unknown key 'mix'; did you mean 'min'?"),
        ({"seeds": 5}, 'test.toml: seeds: must be a rule such as { min = 3, max = 10, until = "decided" }, got 5;'),
        ({"seeds": [0, 1]}, "fixed seeds are grid.seed = [0, 1, 2]"),
        ({"seeds": RULE, "grid": {"seed": [0, 1]}}, "test.toml: seeds: also set by test.toml: grid.seed: keep one"),
        ({"grid": {"seeds": RULE}}, "test.toml: grid.seeds: a rule of seeds stands above [grid]"),
        (
            {"seeds": RULE, "exclude": [{"seed": 2, "method": "spt"}]},
            "test.toml: exclude: 'seed' is what the rule of test.toml: seeds decides: keep one of the two",
        ),
        (
            {"seeds": RULE, "grid": {"method": ["spt", "both"]}},
            "test.toml: seeds: row 'spt' of ViT on fashion-mnist-12k has no row 'none' to be compared with: add it",
        ),
        (
            {"seeds": RULE, "grid": {"backbone": ["vit", "pit"]}, "exclude": [{"method": "none", "backbone": "pit"}]},
            "test.toml: seeds: row 'spt' of PiT on fashion-mnist-12k has no row 'none'",
        ),
        ({"seeds": RULE, "grid": {"method": ["none"]}}, "test.toml: seeds: no row is left to be compared with 'none'"),
        ({"seeds": RULE, "grid": {"backbone": ["resnet56"]}}, "seeds: no row is left to be compared with 'none'"),
    ],
)
def test_a_rule_of_seeds_that_cannot_be_followed_is_refused(content: dict[str, Any], words: str) -> None:
    assert words in refusal(content)
