"""Folders, files and labels with unusual names."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command

EVERYTHING = '-- é 日本 \u202e e\u0301\n\tline\r\'s "$(touch pwned)" `id` ;&|[red]x[|red] {0} %s *?~!#\\'
STUDY = """
[grid]
backbone = [{ name = "vit", label = LABEL, patch_size = 8, dim = 8, depth = 1, num_heads = 1 }]
method = ["none"]
dataset = [DATA]
[set]
recipe.epochs = 1
recipe.batch_size = 16
recipe.precision = "fp32"
"""


def write_study(folder: Path, name: str) -> None:
    """Write a study and its data under this name."""
    draw = np.random.default_rng(0)
    np.savez(
        folder / f"{name}.npz",
        train_images=draw.integers(0, 256, (60, 16, 16), dtype=np.uint8),
        train_labels=np.arange(60) % 3,
        test_images=draw.integers(0, 256, (12, 16, 16), dtype=np.uint8),
        test_labels=np.arange(12) % 3,
    )
    data = json.dumps(f"npz:{folder}/{name}.npz")
    (folder / f"{name}.toml").write_text(STUDY.replace("LABEL", json.dumps(name)).replace("DATA", data))


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(EVERYTHING, id="everything"), pytest.param("--store", id="a flag")])
def test_every_command_accepts_unusual_names(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / f"{name} folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_study(folder, name)
    store, study = f"--store={name} store", f"{name}.toml"
    commands: list[tuple[str, ...]] = [
        ("run-grid", "--devices=cpu", "--no-throughput", store, "--", study),
        ("status", "--json", store, "--", study),
        ("report", store, "--", study),
        ("export", store, "--", study, f"{name}.tar"),
        ("import", "--store=-here", "--", f"{name}.tar"),
        ("clean", "--store=-here"),
        ("report", "--store=-here"),
    ]
    for command in commands:
        result = slbench(*command)
        assert (result.code, result.err) == (0, ""), command
    (run,) = (folder / f"{name} store" / "runs").iterdir()
    assert run.name.isascii()
    assert not set(run.name) & set(" \n\t\r'\"$`;&|[]{}*?~!#%\\/")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.npz", f"{name}.toml", f"{name}.tar", f"{name} store", "-here"
    }  # fmt: skip
    check_table(next((folder / f"{name} store" / "reports").rglob("*.md")))


def check_table(path: Path) -> None:
    """Check that all lines of a Markdown table have the same number of cells."""
    lines = [line for line in path.read_text().split("\n") if line.startswith("|")]
    assert len(lines) == 3
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
