"""`slbench list`, `doctor`, `--version`, `--help`."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from slbench import __version__, machine
from slbench.methods import METHODS
from slbench.recipes import RECIPE_SOURCES, RECIPES, Recipe
from tests.cli.conftest import Command
from tests.support import ROOT, TINY_STUDY, missing

KINDS = {
    "backbones": ("vit", "ViT; arXiv:2010.11929"),
    "methods": ("both", 'SL-ViT: shift = "diagonal", learn_temperature = true, mask_self = true'),
    "datasets": ("fashion-mnist-12k", "10,000 / 2,000 images, 32 x 32 px, 1 channel, 10 classes; Fashion-MNIST"),
    "recipes": ("quick", "6 epochs, batch 64, lr 0.003, precision auto"),
    "studies": ("studies/mine.toml", "SPT and LSA on Fashion-MNIST, in minutes; 8 runs"),
}


@pytest.mark.parametrize(("kind", "name", "about"), [(kind, *entry) for kind, entry in KINDS.items()], ids=KINDS)
def test_each_kind_is_listed_by_name_and_description(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, about: str
) -> None:
    (tmp_path / "studies").mkdir()
    shutil.copy(ROOT / "studies" / "quick.toml", tmp_path / "studies" / "mine.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "240")
    result = slbench("list", kind)
    assert (result.code, result.err) == (0, "")
    line = next(line for line in result.out.splitlines() if line.split()[0] == name)
    assert about in line
    document = json.loads(slbench("list", kind, "--json").out)
    assert about in {entry["name"]: entry["about"] for entry in document}[name]


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_of_a_recipe_is_listed_with_its_source(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    shown = slbench("list", "recipes", "--show", name).out.splitlines()
    lines = {line.split()[0]: line for line in shown if not line.startswith(" ")}  # long values are wrapped
    document = json.loads(slbench("list", "recipes", "--show", name, "--json").out)
    assert [entry["field"] for entry in document] == list(lines) == [field.name for field in fields(Recipe)]
    for entry in document:
        value = getattr(RECIPES[name], entry["field"])
        assert entry["value"] == (list(value) if isinstance(value, tuple) else value)
        assert entry["source"] == RECIPE_SOURCES[name][entry["field"]]
        assert lines[entry["field"]].rstrip().endswith(entry["source"])
    assert ("0.003 for ViT" if name == "paper" else f"{RECIPES[name].lr}") in lines["lr"]


def test_every_shipped_method_is_listed_in_order(slbench: Command) -> None:
    document = json.loads(slbench("list", "methods", "--json").out)
    assert [entry["name"] for entry in document] == list(METHODS)
    assert not missing(document[0]["about"], "ViT")


def test_studies_are_the_shipped_ones_by_name_then_those_here_an_invalid_one_with_its_error(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "bad.toml").write_text("titel = 'x'")
    (tmp_path / "other.toml").write_text("[tool]")
    (tmp_path / "mine.toml").write_text(TINY_STUDY)
    monkeypatch.chdir(tmp_path)
    found = {entry["name"]: entry["about"] for entry in json.loads(slbench("list", "studies", "--json").out)}
    shipped = [path.stem for path in sorted((ROOT / "studies").glob("*.toml"))]
    assert list(found) == [*shipped, "mine.toml", "studies/bad.toml"]
    assert not missing(found["quick"], "8 runs") and not missing(found["mine.toml"], "2 runs")
    assert not missing(found["studies/bad.toml"], "studies/bad.toml", "titel", "title")
    monkeypatch.chdir(ROOT)
    assert [entry["name"] for entry in json.loads(slbench("list", "studies", "--json").out)] == shipped


def test_a_shipped_study_goes_by_its_name_unless_a_file_has_it(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").mkdir()  # a folder is no study
    document = json.loads(slbench("status", "quick", "--json").out)
    assert (document["study"], document["total"]) == ("quick", 8)
    slbench("status", "quik").check_error("quik", "did you mean 'quick'")
    slbench("status", "studies/quick.toml").check_error("studies/quick.toml", "did you mean 'quick'")
    (tmp_path / "smoke").write_text(TINY_STUDY)
    assert json.loads(slbench("status", "smoke", "--json").out)["total"] != 23


def test_init_writes_a_valid_study_and_an_ignored_store_and_overwrites_nothing(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = slbench("init", "new")
    assert result.code == 0 and not missing(result.out, "new/study.toml", "slbench run-grid")
    assert json.loads(slbench("status", "new/study.toml", "--json").out)["total"] == 6
    assert (tmp_path / "new/results/.gitignore").read_text().splitlines()[-1] == "*"
    assert slbench("status", "--store", "new/results").code == 0
    commented = (tmp_path / "new/study.toml").read_text().split("[set]")
    text = "[set]".join([commented[0], re.sub(r"^# (?=\[|\w+ = )", "", commented[1], flags=re.MULTILINE)])
    (tmp_path / "all.toml").write_text(text)
    assert slbench("status", "all.toml").code == 0  # what is commented out is valid too
    slbench("init", "new").check_error("new/study.toml", "exists")
    (tmp_path / "file").touch()
    slbench("init", "file").check_error("file", "folder")
    (tmp_path / "own" / "results").mkdir(parents=True)
    (tmp_path / "own" / "results" / ".gitignore").write_text("mine")
    assert slbench("init", "own").code == 0
    assert (tmp_path / "own" / "results" / ".gitignore").read_text() == "mine"


def test_an_unknown_list_is_refused_with_the_allowed_ones(slbench: Command) -> None:
    result = slbench("list", "method")
    result.check_error("method", "methods", "backbones", "datasets", "recipes", "studies", "schema")


def test_list_schema_prints_the_committed_schema(slbench: Command) -> None:
    result = slbench("list", "schema")
    assert (result.code, result.err) == (0, "")
    assert result.out == (ROOT / "studies" / "study.schema.json").read_text()


def test_version_is_that_of_the_package(slbench: Command) -> None:
    result = slbench("--version")
    assert (result.code, result.out, result.err) == (0, f"slbench {__version__}\n", "")


def test_without_arguments_the_help_page_is_printed(slbench: Command) -> None:
    result = slbench()
    assert result.code == 0
    assert result.out == slbench("--help").out


def test_doctor_lists_every_check_of_a_healthy_machine(slbench: Command, tmp_path: Path) -> None:
    result = slbench("doctor", "--store", tmp_path / "results")
    assert (result.code, result.err) == (0, "")
    lines = dict(line.split(maxsplit=2)[1:] for line in result.out.splitlines())
    assert all(line.startswith("ok ") for line in result.out.splitlines())
    assert {"versions", "machine", "torch", "device", "slots", "precision", "data", "store"} <= set(lines)
    assert "torch " in lines["versions"]
    assert not missing(lines["slots"], "--devices auto", "--threads 1")
    assert not missing(lines["precision"], "auto")
    assert not missing(result.out, "a082ceae9d48")
    assert not missing(lines["store"], tmp_path / "results", "0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("devices", ["cuda:99", "cpu,nope", "cpu,cpu", ""])
def test_doctor_refuses_devices_that_do_not_exist(slbench: Command, devices: str) -> None:
    slbench("doctor", f"--devices={devices}").check_error("--devices", "got")


@pytest.mark.usefixtures("verified_data")
@pytest.mark.skipif(bool(machine.gpus()), reason="needs a machine without GPUs")
def test_selftest_without_a_gpu_is_reported_as_not_run(slbench: Command, tmp_path: Path) -> None:
    result = slbench("doctor", "--selftest", "--store", tmp_path)
    assert result.code == 1 and not missing(result.out, "NOT RUN", "GPU")


@pytest.mark.usefixtures("verified_data")
def test_doctor_reports_a_store_that_is_a_file_with_a_remedy(slbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "results"
    file.touch()
    result = slbench("doctor", "--store", file)
    assert result.code == 1
    wrong = [line for line in result.out.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 1 and not missing(wrong[0], "store", file, "folder", "--store")
    assert not missing(result.out, "--store", "DIR")


@pytest.mark.usefixtures("verified_data")
def test_doctor_reports_a_damaged_record_with_a_remedy(slbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    result = slbench("doctor", "--store", tmp_path)
    assert result.code == 1
    assert not missing(result.out, "WRONG", folder / "record.json", "run_id")
    assert not missing(result.out, "folder")


@pytest.mark.parametrize("group", ["analyze", "data"])
def test_a_group_of_commands_alone_prints_its_help_page(slbench: Command, group: str) -> None:
    result = slbench(group)
    assert (result.code, result.err) == (0, "")
    assert result.out == slbench(group, "--help").out
