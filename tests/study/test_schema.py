"""The JSON schema of study files: committed, valid for every shipped study, and as strict as loading one."""

import copy
import dataclasses
import json
import tomllib
from typing import Any

import pytest
from jsonschema import Draft7Validator

from slbench.backbones import NAMED
from slbench.backbones.specs.cait import CaiTSpec
from slbench.backbones.specs.swin import SwinSpec
from slbench.backbones.specs.vit import ViTSpec
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.study.descriptions import field_descriptions
from slbench.study.file import StudyFile
from slbench.study.paths import dotted_paths
from slbench.study.schema import study_keys, study_schema
from tests.study.helpers import error_of
from tests.support import ROOT, TINY, study

STUDIES = sorted((ROOT / "studies").glob("*.toml"))
COMMITTED = ROOT / "studies" / "study.schema.json"
SCHEMA = Draft7Validator(study_schema())


def test_the_committed_schema_is_valid_and_equals_the_generated_one() -> None:
    Draft7Validator.check_schema(study_schema())
    assert json.loads(COMMITTED.read_text()) == study_schema(), "run: slbench list schema > studies/study.schema.json"


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_a_shipped_study_names_the_schema_and_is_valid(path: Any) -> None:
    text = path.read_text()
    assert text.splitlines()[0] == f"#:schema {COMMITTED.name}"
    SCHEMA.validate(tomllib.loads(text))


WHOLE: dict[str, Any] = {
    "title": "Title",
    "source": "arXiv:2112.13492 Table 5",
    "recipe": "modern",
    "protocol": "holdout",
    "keep": "best",
    "seeds": {"min": 2, "max": 3, "until": "decided"},
    "report": {"method": ["none", "mine"], "columns": ["params", "final", "gain"]},
    "method": [{"name": "mine", "shift": "all8", "shift_ratio": 0.25}],
    "contrast": [
        {"method": "mine"},
        {"method": "mine", "trend": "recipe.lr", "scale": "log", "over": "backbones"},
        {"field": "recipe.lr", "value": 0.001, "reference": 0.002},
    ],
    "statistics": {"margin": 1, "variance": "own", "failures": "chance", "level": 0.9, "spread": 0.4},
    "exclude": [{"method": "mine", "recipe.lr": [0.001], "backbone": "Tiny"}],
    "engine": {"slurm": {"time": "4:00:00", "gpus_per_node": 1, "options": {"exclusive": True, "nice": 7}}},
    "set": {"recipe": {"epochs": 1, "no_decay": ["norm"]}, "dataset.image_size": 48, "precision": "fp32"},
    "grid": {
        "backbone": ["vit", TINY],
        "method": ["none", "mine"],
        "dataset": "fashion-mnist-12k",
        "recipe.lr": [0.001, 0.002],
        "recipe.erase_area": [[0.1, 0.2], [0.02, 0.4]],
        "recipe.betas": [0.9, 0.99],
    },
}


def test_a_study_with_every_key_is_valid_and_loads() -> None:
    assert set(WHOLE) == set(StudyFile.model_fields) - {"precision", "plugins"}  # files that exist: tests/foreign
    SCHEMA.validate(WHOLE)
    assert study(WHOLE).runs


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["titel"], "x"),
        (["recipe"], "quik"),
        (["protocol"], "ful"),
        (["precision"], "int8"),
        (["keep"], "first"),
        (["seeds", "min"], 1),
        (["seeds", "mix"], 3),
        (["report", "colums"], []),
        (["report", "columns"], ["finl"]),
        (["grid", "backbon"], ["vit"]),
        (["grid", "backbone"], [7]),
        (["grid", "backbone"], [{"name": "vit", "dimm": 8}]),
        (["grid", "backbone"], [{"name": "vit", "dims": [8]}]),
        (["grid", "recipe.lr"], [0]),
        (["grid", "recipe.lr"], []),
        (["grid", "recipe.erase_area"], [[0.1, 0.2, 0.3]]),
        (["set", "recipe"], {"epoch": 3}),
        (["set", "recipe.epochs"], -3),
        (["set", "recipe.no_decay"], ["norms"]),
        (["set", "dataset.image_size"], [48]),
        (["method"], [{"mask_self": True}]),
        (["method"], [{"name": "mine", "mask_sel": True}]),
        (["exclude"], [{"metod": "none"}]),
        (["engine", "slurm", "tim"], "4:00:00"),
        (["engine", "slurm", "cpus_per_task"], 0),
        (["engine", "slrum"], {}),
    ],
)
def test_loading_and_the_schema_refuse_the_same_files(keys: list[str], value: Any) -> None:
    content = copy.deepcopy(WHOLE)
    table = content
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    assert not SCHEMA.is_valid(content)
    assert error_of(content).startswith("test.toml: ")


def test_names_of_plugins_and_arguments_of_constructors_are_valid_but_misspelt_sizes_are_not() -> None:
    """A schema cannot know what plugins register; loading does, and refuses what none of them has."""
    plugins = {"backbone": ["mine", {"name": "mine", "width": 3}], "method": "own-scores", "dataset": "stripes"}
    content: dict[str, Any] = {
        "plugins": ["mine.py"],
        "grid": {**plugins, "backbone.embed_dims": [[1, 2], [3, 4]]},
        "set": {"backbone.init_values": 0.1, "backbone": {"reg_tokens": 4}, "recipe.augmentation": "darken"},
        "exclude": [{"method": "own-scores", "backbone.embed_dims": [1, 2]}],
        "contrast": [{"method": "own-scores"}],
    }
    SCHEMA.validate(content)
    SCHEMA.validate({"grid": {"zip": [{"backbone": ["mine", "vit"], "backbone.init_values": [0.1, 0.2]}]}})
    for wrong in (
        {"grid": {"backbone.label": ["x"]}},
        {"set": {"backbone.pretrained": "x"}},
        {"grid": {"backbon.x": 1}},
    ):
        assert not SCHEMA.is_valid(wrong)


def test_every_key_is_documented_once_with_type_and_description() -> None:
    keys = study_keys()
    paths = [key.path for key in keys]
    assert len(paths) == len(set(paths))
    assert set(dotted_paths()) <= set(paths)
    assert {path.partition(".")[0] for path in paths} >= set(StudyFile.model_fields) - {"set"}
    assert [key.path for key in keys if not key.type or not key.description] == []


def test_a_key_is_documented_with_its_limits_and_defaults() -> None:
    keys = {key.path: key for key in study_keys()}
    assert keys["recipe.betas"].type == "list of 2 numbers"
    assert keys["recipe.betas"].allowed == "at least 0, below 1"
    assert keys["recipe.betas"].default == "[0.9, 0.999]"
    others = ", ".join(name for name in RECIPES if name != "quick")
    assert keys["recipe.batch_size"].default == f"64 (quick), 128 ({others})"
    assert keys["method.s_pool"].allowed == "'auto', 'yes', 'no'"
    assert keys["dataset.image_size"].type == "integer or list of 2 integers"
    assert all(f"'{name}'" in keys["grid.backbone"].allowed for name in NAMED)
    assert all(f"'{name}'" in keys["grid.method"].allowed for name in METHODS)


def test_a_field_is_described_by_its_comment_or_by_a_line_of_the_docstring() -> None:
    found = field_descriptions(Described)
    assert found == {"first": "beside it", "second": "in the docstring, on two lines", "third": "after a long value"}


class Described:
    """A class.

    second: in the docstring,
    on two lines

    Another paragraph.
    """

    first: int  # beside it
    second: int
    third: tuple[int, ...] = (
        1,  # not this
        2,
    )  # after a long value
    fourth: str = "# no comment"


def test_classes_with_one_parent_do_not_share_descriptions() -> None:
    assert "side / 16" in field_descriptions(SwinSpec)["patch_size"]
    assert "side / 8" in field_descriptions(ViTSpec)["patch_size"]
    assert field_descriptions(CaiTSpec)["depth"] != field_descriptions(ViTSpec)["depth"]


@dataclasses.dataclass
class Wrapped:
    plain: int = 1  # on its line
    wrapped: tuple[int, ...] = (
        2,
        3,  # within the parentheses
    )


def test_the_comment_of_a_wrapped_field_is_its_description() -> None:
    assert field_descriptions(Wrapped) == {"plain": "on its line", "wrapped": "within the parentheses"}
