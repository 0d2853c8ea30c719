"""Fields whose value is a list: under [set], by --set, as one value and as several under [grid]."""

from typing import Any

import pytest

from slbench.study import StudyRun
from slbench.study.paths import dotted_paths, is_list, takes_list
from tests.study.made import refusal
from tests.support import TINY, missing, runs, study

PLAIN: dict[str, Any] = {"backbone": [TINY], "method": ["none"]}
PIT: dict[str, Any] = {
    "backbone": [{"name": "pit", "dims": [4, 8], "depths": [1, 1], "num_heads": [1, 2]}],
    "method": ["none"],
}
LISTS: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {  # of each field a grid, a value and another
    "recipe.no_decay": (PLAIN, ["norm"], ["norm", "bias"]),
    "recipe.betas": (PLAIN, [0.8, 0.9], [0.9, 0.99]),
    "recipe.erase_area": (PLAIN, [0.1, 0.2], [0.02, 0.3]),
    "recipe.erase_aspect": (PLAIN, [0.5, 2.0], [0.25, 4.0]),
    "backbone.dims": (PIT, [8, 16], [4, 16]),
    "backbone.depths": (PIT, [2, 1], [1, 3]),
}
EITHER: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {
    "backbone.num_heads": (PIT, [2, 2], [4, 4]),
    "dataset.image_size": (PLAIN, [48, 32], [32, 64]),
}


def value(run: StudyRun, path: str) -> Any:
    head, _, field = path.partition(".")
    return run.spec.as_dict()[head][field]


def test_annotations_say_which_fields_are_lists() -> None:
    assert {path for path in dotted_paths() if is_list(path)} == set(LISTS)
    assert {path for path in dotted_paths() if takes_list(path)} == set(LISTS) | set(EITHER)
    assert not is_list("backbone") and not takes_list("seed")


@pytest.mark.parametrize(
    ("path", "grid", "first", "second"), [(path, *each) for path, each in (LISTS | EITHER).items()]
)
def test_a_list_is_set_by_file_and_flag_and_lists_of_it_are_an_axis(
    path: str, grid: dict[str, Any], first: list[Any], second: list[Any]
) -> None:
    head, _, field = path.partition(".")
    in_file = [study({"grid": grid, "set": table}).runs for table in ({path: first}, {head: {field: first}})]
    by_flag = study({"grid": grid}, set={path: first}).runs
    assert in_file == [by_flag, by_flag]
    axis = study({"grid": {**grid, path: [first, second]}})
    assert [value(run, path) for run in axis.runs] == [first, second]
    assert axis.runs[:1] == by_flag
    without = study({"grid": {**grid, path: [first, second]}, "exclude": [{path: first}]})
    assert without.runs == axis.runs[1:]


@pytest.mark.parametrize(("path", "grid", "first", "second"), [(path, *each) for path, each in LISTS.items()])
def test_a_flat_list_under_grid_is_one_value_of_a_list_field_and_a_note_says_so(
    path: str, grid: dict[str, Any], first: list[Any], second: list[Any]
) -> None:
    found = study({"grid": {**grid, path: second}})
    assert [value(run, path) for run in found.runs] == [second]
    (note,) = [note for note in found.notes if path in note]
    assert note.startswith(f'test.toml: grid."{path}": ')
    assert "is one value; write several values as a list of lists" in note
    assert "must be a list of lists, one for each value" in refusal({"grid": {**grid, path: [first, 3]}})


def test_an_image_size_is_a_side_or_height_and_width_also_on_an_axis() -> None:
    sizes = [value(run, "dataset.image_size") for run in runs({"dataset.image_size": [48, [48, 32]]})]
    assert sizes == [[48, 48], [48, 32]]
    assert value(runs(set={"dataset.image_size": 48})[0], "dataset.image_size") == [48, 48]


@pytest.mark.parametrize(
    ("path", "wrong", "words"),
    [
        ("recipe.no_decay", "norm", ("list", "norm")),
        ("recipe.no_decay", ["norms"], ("norms", "norm", "bias", "position", "class_token", "temperature")),
        ("recipe.erase_area", [0.1], ("2 values", "[0.1]")),
        ("recipe.erase_area", [0.1, 0.2, 0.3], ("2 values", "[0.1, 0.2, 0.3]")),
        ("recipe.erase_area", [0.2, 0.1], ("above", "[0.2, 0.1]")),
        ("recipe.erase_aspect", 0.5, ("list", "0.5")),
        ("recipe.betas", [0.9, 1.0], ("recipe.betas[1]", "below 1", "1.0")),
        ("recipe.lr", [0.1], ("one value", "[0.1]", "[grid]")),
    ],
)
def test_a_wrong_list_is_refused_with_where_it_was_written(path: str, wrong: Any, words: tuple[str, ...]) -> None:
    in_file, by_flag = refusal({"set": {path: wrong}}), refusal({}, set={path: wrong})
    assert in_file.startswith(f"test.toml: set.{path}") and not missing(in_file, *words)
    assert by_flag.startswith(f"--set {path}") and not missing(by_flag, *words)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"recipe": {"lr": [0.1]}}, ("grid.recipe", "{'lr': [0.1]}", '"recipe.lr"')),
        ({"recipe": [3]}, ("grid.recipe", "name of a recipe", "3")),
        ({"recipe": [["quick"]]}, ("grid.recipe", "name of a recipe", "['quick']")),
        ({"backbone": {"dim": 8}}, ("grid.backbone", '"backbone.dim"')),
    ],
)
def test_a_table_in_place_of_a_name_under_grid_is_refused(grid: dict[str, Any], words: tuple[str, ...]) -> None:
    assert not missing(refusal({"grid": grid}), "test.toml", *words)
