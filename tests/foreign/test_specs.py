"""Specs of foreign models: identity, defaults of methods, bad input. Nothing is imported or run."""

import dataclasses
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slbench.backbones.specs import ForeignSpec, backbone_entry
from slbench.errors import InapplicableError, InputError
from slbench.methods import METHODS
from slbench.spec import RunSpec, to_dict
from slbench.study import load_study
from slbench.study.runs import StudyRun
from slbench.validation import adapter
from tests.foreign.helpers import MODEL, NEVER_RUN, VIT, sized, write
from tests.support import ROOT, missing, naming, study


def runs_of(folder: Path, backbone: list[Any], **grid: Any) -> tuple[StudyRun, ...]:
    path = folder / "study.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"method": ["none"], **grid}.items()]
    entries = [
        json.dumps(each)
        if isinstance(each, str)
        else "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in each.items()) + " }"
        for each in backbone
    ]
    write(path, "\n".join(["[grid]", f"backbone = [{', '.join(entries)}]", *lines]))
    return load_study(path).runs


def test_a_run_is_identified_by_the_content_of_its_model_file_not_by_its_path(tmp_path: Path) -> None:
    write(tmp_path / "here" / "models.py", MODEL)
    write(tmp_path / "there" / "others.py", MODEL)
    write(tmp_path / "changed" / "models.py", MODEL + "\n")
    (here,) = runs_of(tmp_path / "here", ["models.py:Tiny"])
    (there,) = runs_of(tmp_path / "there", ["others.py:Tiny"])
    (changed,) = runs_of(tmp_path / "changed", ["models.py:Tiny"])
    assert here.spec.run_id == there.spec.run_id != changed.spec.run_id
    assert str(tmp_path) not in json.dumps(to_dict(here.spec))
    assert here.labels.backbone == "Tiny"


def test_version_and_arguments_are_part_of_the_identity_in_any_order(tmp_path: Path) -> None:
    turned = {"name": VIT["name"], **dict(reversed(VIT.items()))}
    first, second, other = runs_of(tmp_path, [VIT, {**VIT, "depth": 2}, VIT["name"]])
    assert sized(turned) == first.spec.backbone
    assert len({first.spec.run_id, second.spec.run_id, other.spec.run_id}) == 3
    assert isinstance(first.spec.backbone, ForeignSpec)
    assert first.spec.backbone.version == f"timm {importlib.metadata.version('timm')}"
    older = dataclasses.replace(first.spec, backbone=dataclasses.replace(first.spec.backbone, version="timm 1.0.0"))
    assert older.run_id != first.spec.run_id


def test_arguments_of_a_constructor_are_axes_and_settings_of_a_grid(tmp_path: Path) -> None:
    values: dict[str, Any] = {"depth": 2, "init_values": 0.1, "embed_dims": [3, 5]}
    (written,) = runs_of(tmp_path, [{**VIT, **values}])
    axes = {"backbone": [VIT], "method": ["none"], "backbone.init_values": [0.1, 0.2]}
    others = {"backbone.depth": 2, "backbone.embed_dims": [3, 5]}
    first, second = study({"grid": axes, "set": others}).runs
    assert first.spec.run_id == written.spec.run_id and "init_values=0.1" in first.title
    assert second.spec.run_id != first.spec.run_id
    lists = {**axes, "backbone.init_values": 0.1, "backbone.embed_dims": [[3, 5], [5, 3]]}
    assert study({"grid": lists, "set": {"backbone.depth": 2}}).runs[0].spec == first.spec


@pytest.mark.parametrize(
    ("backbone", "path", "words"),
    [
        ("models.py:Tiny", "backbone.widht", ["models.py:Tiny", "widht", "width"]),
        (VIT, "backbone.label", ["backbone.label", "unknown key"]),
        (VIT, "backbone.a.b", ["backbone.a.b", "unknown key"]),
        (VIT, "recipe.init_values", ["recipe.init_values", "unknown key"]),
        ("vit", "backbone.init_values", ["backbone.init_values", "unknown key"]),
    ],
)
def test_an_argument_that_no_constructor_has_is_refused(
    tmp_path: Path, backbone: Any, path: str, words: list[str]
) -> None:
    write(tmp_path / "models.py", MODEL)
    if isinstance(backbone, str) and ":" in backbone:
        backbone = f"{tmp_path}/{backbone}"
    with pytest.raises(InputError) as caught:
        study({"grid": {"backbone": [backbone], "method": ["none"]}, "set": {path: 3}})
    assert not missing(str(caught.value), *words)


def test_a_run_of_a_package_that_is_not_installed_is_read_from_json(tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path, [VIT])
    content = to_dict(run.spec)
    content["backbone"]["version"] = "timm 0.0.1"
    read: RunSpec = adapter(RunSpec).validate_json(json.dumps(content))
    assert to_dict(read) == content
    assert backbone_entry(read.backbone.name).title == "vit_tiny_patch16_224"


@pytest.mark.parametrize(
    "changes", [{"name": "other:vit"}, {"arguments": '{"b": 1, "a": 2}'}, {"version": ""}, {"content": "0" * 64}]
)
def test_contradicting_specs_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(sized(VIT), **changes)


def test_defaults_of_a_method_that_depend_on_layers_of_the_model_stay_open() -> None:
    spt = sized(VIT).resolved_method(METHODS["spt"])
    assert (spt.s_pool, spt.shift_ratio, spt.layer_norm) == ("auto", 0.5, True)
    with_weights = dataclasses.replace(sized(VIT), pretrained="0" * 64)
    assert with_weights.resolved_method(METHODS["spt"]).layer_norm is False
    assert with_weights.resolved_method(METHODS["window-2p"]).layer_norm is True
    assert spt == sized(VIT).resolved_method(spt)


def test_a_widened_method_does_not_apply() -> None:
    with pytest.raises(InapplicableError, match=naming("none-wide", VIT["name"])):
        study({"grid": {"backbone": [VIT], "method": ["none-wide"]}})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("timm:vit_tny_patch16_224", ["timm", "vit_tny_patch16_224", "vit_tiny_patch16_224"]),
        ("torchvision:swint", ["torchvision", "swint", "swin_t"]),
        ("timn:vit_tiny_patch16_224", ["timn", "timm:MODEL", "timm"]),
        ("gone.py:Tiny", ["gone.py", "no such file"]),
        ("models.py:Tinny", ["models.py", "Tinny", "Tiny"]),
        ({"name": "models.py:Tiny", "widht": 3}, ["models.py:Tiny", "widht", "width"]),
        ({"name": "models.py:Tiny", "pretrained": "weights.pt"}, ["pretrained", ".safetensors", "weights.pt"]),
        ({"name": "models.py:Tiny", "pretrained": "gone.safetensors"}, ["gone.safetensors", "no such file"]),
        ({"name": "models.py:Tiny", "width": float("nan")}, ["arguments"]),
    ],
)
def test_bad_input_is_one_line_with_a_suggestion(tmp_path: Path, entry: Any, words: list[str]) -> None:
    write(tmp_path / "models.py", MODEL)
    name = {"name": entry} if isinstance(entry, str) else entry
    with pytest.raises(InputError) as caught:
        sized(name, tmp_path)
    assert not missing(str(caught.value), "test.toml", *words)
    assert "\n" not in str(caught.value)


def test_a_missing_package_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(InputError, match=naming("timm", "not installed", "slbench[models]")):
        sized(VIT)


def test_a_study_is_read_without_torch_without_its_packages_and_without_running_its_files(tmp_path: Path) -> None:
    write(tmp_path / "models.py", NEVER_RUN + MODEL)
    write(tmp_path / "plugin.py", NEVER_RUN + PLUGIN)
    study = f"""
        plugins = ["plugin.py"]
        [grid]
        backbone = ["vit", "models.py:Tiny", "{VIT["name"]}", "mine"]
        method = ["none", "own-scores"]
        """
    code = """
import sys
from slbench.cli import main
code = main(sys.argv[1:])
sys.exit(code or ",".join({"torch", "timm", "torchvision"} & sys.modules.keys()) or 0)
"""
    write(tmp_path / "study.toml", study)
    for command in (["status", "study.toml"], ["list", "methods", "--study", "study.toml"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "own-scores" in done.stdout


PLUGIN = """
from slbench.plugins import register_backbone, register_scores

@register_scores("own-scores")
class Scores: ...

@register_backbone("mine")
class Mine: ...
"""
