"""`slbench list`, `doctor`, `--version`, `--help`: and how little they import."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from slbench import __version__
from slbench.methods import METHODS
from slbench.recipes import RECIPE_SOURCES, RECIPES, Recipe
from tests.cli.conftest import Command
from tests.support import ROOT, TINY_STUDY

KINDS = {
    "backbones": ("vit", "ViT; arXiv:2010.11929"),
    "methods": ("both", 'SL-ViT: shift = "diagonal", learn_temperature = true, mask_self = true'),
    "datasets": ("fashion-mnist-12k", "10,000 / 2,000 images, 32 x 32 px, 1 channel(s), 10 classes; Fashion-MNIST"),
    "recipes": ("quick", "6 epochs, batch 64, lr 0.003, precision auto"),
    "studies": ("studies/quick.toml", "SPT and LSA on Fashion-MNIST, in minutes; 8 runs"),
}


@pytest.mark.parametrize(("kind", "name", "about"), [(kind, *entry) for kind, entry in KINDS.items()], ids=KINDS)
def test_each_kind_is_listed_by_name_with_a_word_about_it(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, about: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "240")
    said = slbench("list", kind)
    assert (said.code, said.err) == (0, "")
    line = next(line for line in said.out.splitlines() if line.split()[0] == name)
    assert about in line
    document = json.loads(slbench("list", kind, "--json").out)
    assert about in {entry["name"]: entry["about"] for entry in document}[name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_value_by_value_each_with_its_source(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    shown = slbench("list", "recipes", "--show", name).out.splitlines()
    lines = {line.split()[0]: line for line in shown if not line.startswith(" ")}  # long values go on below
    document = json.loads(slbench("list", "recipes", "--show", name, "--json").out)
    assert [entry["field"] for entry in document] == list(lines) == [field.name for field in fields(Recipe)]
    for entry in document:
        kept = getattr(RECIPES[name], entry["field"])
        assert entry["value"] == (list(kept) if isinstance(kept, tuple) else kept)
        assert entry["source"] == RECIPE_SOURCES[name][entry["field"]]
        assert lines[entry["field"]].rstrip().endswith(entry["source"])
    assert ("0.003 for ViT" if name == "paper" else f"{RECIPES[name].lr}") in lines["lr"]


def test_every_shipped_row_is_listed_in_its_order(slbench: Command) -> None:
    document = json.loads(slbench("list", "methods", "--json").out)
    assert [entry["name"] for entry in document] == list(METHODS)
    assert document[0]["about"] == "ViT: the plain backbone"


def test_a_study_that_is_not_valid_says_so_in_the_list(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "bad.toml").write_text("titel = 'x'")
    monkeypatch.chdir(tmp_path)
    (entry,) = json.loads(slbench("list", "studies", "--json").out)
    assert entry["name"] == "studies/bad.toml"
    assert entry["about"].startswith("not valid: studies/bad.toml: unknown key 'titel'; did you mean 'title'?")


def test_an_unknown_list_is_answered_with_those_there_are(slbench: Command) -> None:
    said = slbench("list", "method")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "slbench: unknown list 'method'; did you mean 'methods'? known: "
        "backbones, methods, datasets, recipes, studies, schema\n"
    )


def test_the_schema_of_studies_is_printed_as_it_is_committed(slbench: Command) -> None:
    said = slbench("list", "schema")
    assert (said.code, said.err) == (0, "")
    assert said.out == (ROOT / "studies" / "study.schema.json").read_text()


def test_the_version_is_the_packages(slbench: Command) -> None:
    said = slbench("--version")
    assert (said.code, said.out, said.err) == (0, f"slbench {__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(slbench: Command, arguments: tuple[str, ...]) -> None:
    said = slbench(*arguments)
    assert said.code == 0
    for command in ("run-grid", "train", "status", "report", "list", "doctor"):
        assert command in said.out


def test_a_well_machine_is_called_so_with_all_that_was_looked_at(slbench: Command, tmp_path: Path) -> None:
    said = slbench("doctor", "--store", tmp_path / "results")
    assert (said.code, said.err) == (0, "")
    lines = dict(line.split(maxsplit=2)[1:] for line in said.out.splitlines())
    assert all(line.startswith("ok ") for line in said.out.splitlines())
    assert {"versions", "machine", "torch", "device", "slots", "precision", "data", "store"} <= set(lines)
    assert "torch " in lines["versions"]
    assert "with --devices auto and --threads 1" in lines["slots"]
    assert lines["precision"] in ("'auto' is bf16 here", "'auto' is fp32 here")
    assert "a082ceae9d48 verified" in said.out
    assert lines["store"] == f"{tmp_path / 'results'}: 0 finished runs"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_a_file_is_wrong_with_a_cure(slbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "results"
    file.touch()
    said = slbench("doctor", "--store", file)
    assert said.code == 1
    wrong = [line for line in said.out.splitlines() if line.startswith("WRONG")]
    assert wrong == [
        f"WRONG store       {file}: the store must be a folder, and {file} is a file: name another with --store"
    ]
    assert "to mend it: give a folder that can be written to with --store DIR" in said.out


def test_a_damaged_record_is_wrong_with_a_cure(slbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    said = slbench("doctor", "--store", tmp_path)
    assert said.code == 1
    assert f"WRONG store       {folder / 'record.json'}: damaged or of another version: run_id: field" in said.out
    assert "to mend it: delete the folder of that run; the next grid makes it again" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list", "methods"],
        ["list", "studies"],
        ["status", "STUDY"],
    ],
    ids=" ".join,
)
def test_commands_that_train_nothing_import_neither_torch_nor_pandas(tmp_path: Path, arguments: list[str]) -> None:
    study = tmp_path / "studies" / "tiny.toml"
    study.parent.mkdir()
    study.write_text(TINY_STUDY)
    code = (
        "import sys; from slbench.cli import main; code = main(sys.argv[1:]);"
        "print(*sorted({'torch', 'pandas', 'numpy', 'fvcore'} & set(sys.modules)), file=sys.stderr);"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(study) if word == "STUDY" else word for word in arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout
    assert [found.name for found in tmp_path.iterdir()] == ["studies"]
