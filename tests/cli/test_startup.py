"""Imports of commands, help pages and shell completion."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slbench.backbones import BACKBONES, PRESETS, default_spec
from slbench.cli import COMMANDS, GROUPS
from slbench.cli.command_group import CommandEntry
from slbench.data import DATASETS
from slbench.methods import METHODS
from slbench.recipes import RECIPES
from slbench.spec import to_dict
from slbench.validation import checked
from tests.cli.conftest import Command
from tests.support import ROOT, TINY_STUDY

HEAVY = {"torch", "numpy", "pandas", "scipy", "optuna", "matplotlib", "fvcore", "rich.markdown", "pygments"}
PRINT_HEAVY = f"print(*sorted({HEAVY | {'pydantic', 'rich'}} & set(sys.modules)), file=sys.stderr)"
CODE = f"import sys; from slbench.cli import main; code = main(sys.argv[1:]); {PRINT_HEAVY}; sys.exit(code)"
IMPORTED = {
    ("--help",): "",
    ("--version",): "",
    ("data", "--help"): "",
    ("list", "methods"): "",
    ("list", "studies"): "pydantic",
    ("status",): "pydantic",
    ("status", "studies/tiny.toml"): "pydantic",
}
TABLES = [COMMANDS, *(table for _, table in GROUPS.values())]
ENTRIES = {entry.function: entry for table in TABLES for entry in table.values()}


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(code: str, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True)


@pytest.mark.parametrize("arguments", IMPORTED, ids=" ".join)
def test_a_command_imports_only_what_it_uses(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.toml").write_text(TINY_STUDY)
    done = run(CODE, tmp_path, *arguments)
    assert (done.returncode, done.stderr.strip()) == (0, IMPORTED[arguments])
    assert done.stdout
    assert [found.name for found in tmp_path.iterdir()] == ["studies"]


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_the_help_of_a_command_is_the_first_paragraph_of_its_docstring(entry: CommandEntry) -> None:
    module, name = entry.function.split(":")
    text = inspect.getdoc(getattr(importlib.import_module(f"slbench.cli.{module}"), name))
    assert text is not None
    assert entry.help == text.split("\n\n")[0].replace("\n", " ")


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_a_help_page_lists_every_command_with_its_help(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    result = slbench(*group.split(), "--help")
    assert (result.code, result.err) == (0, "")
    for name, entry in (GROUPS[group][1] if group else COMMANDS).items():
        assert any(f" {name} " in line and entry.help in line for line in result.out.splitlines())


@pytest.mark.parametrize("width", [20, 41, 79])
def test_a_help_page_fits_the_terminal_and_its_encoding(tmp_path: Path, width: int) -> None:
    done = run(CODE, tmp_path, "data", "--help", COLUMNS=str(width), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert done.stdout.isascii()
    assert width < 40 or {len(line) for line in done.stdout.splitlines() if line[:1] in ("|", "+")} == {width}


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("slbench st", {"status"}),
        ("slbench data ve", {"verify"}),
        ("slbench run-grid --method tempe", {"temperature-only"}),
        ("slbench run-grid --backbone vi", {"vit", "vit-tiny"}),
        ("slbench data fetch sv", {"svhn"}),
        ("slbench list --sh", {"--show"}),
    ],
)
def test_the_shell_completes_commands_options_and_names(tmp_path: Path, words: str, completed: set[str]) -> None:
    code = f"import sys, atexit; sys.argv[0] = 'slbench'; atexit.register(lambda: {PRINT_HEAVY}); "
    code += "from slbench.cli import entry; entry()"
    line = {"_SLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = run(code, tmp_path, **line)
    assert set(done.stdout.split()) == completed
    assert HEAVY.isdisjoint(done.stderr.split())


REGISTERED: dict[str, Any] = {
    **{f"backbone {name}": default_spec(name) for name in [*BACKBONES, *PRESETS]},
    **{f"method {name}": method for name, method in METHODS.items()},
    **{f"recipe {name}": recipe for name, recipe in RECIPES.items()},
    **{f"dataset {name}": entry.spec for name, entry in DATASETS.items()},
}


@pytest.mark.parametrize("value", REGISTERED.values(), ids=REGISTERED)
def test_registered_values_pass_validation_unchanged(value: Any) -> None:
    """They are constructed without validation, because listing them must not import pydantic."""
    assert repr(checked(type(value), to_dict(value), where="table")) == repr(value)
