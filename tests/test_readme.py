"""The README's code runs, its commands parse, its study is valid."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from slbench.cli import main
from slbench.methods import METHODS
from slbench.tuning.record import SearchRecord
from tests.data.made import made_arrays, write_npz
from tests.support import ROOT, study

NO_TRIALS = SearchRecord(
    name="any", command="", backbone="", dataset="", seeds=1, epochs=1, images_per_epoch=1, validation_images=1,
    test_images=1, trials=1, sampler="", pruner="", sampler_seed=0, study_names={}, storage="", made_with=(), notes=(),
    rows=(),
)  # fmt: skip
README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("slbench ")]


def test_the_python_blocks_run() -> None:
    assert blocks("python")
    for block in blocks("python"):
        exec(block, {})


@pytest.mark.parametrize("command", commands())
def test_the_commands_are_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(blocks("toml")[0])
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    write_npz(tmp_path / "birds.npz", made_arrays(train=90, shape=(32, 32, 3)))
    monkeypatch.setattr("slbench.cli.data.fetch", lambda *_, **__: None)  # no network in a test
    arguments = shlex.split(command)[1:]
    if arguments[0] == "run-grid" and "--plan" not in arguments:
        arguments.append("--plan")
    if arguments[0] == "status":
        arguments = [argument for argument in arguments if argument != "--watch"]  # which nobody's work would end
    if arguments[0] == "verify-resume":
        monkeypatch.setattr("slbench.cli.verify.Verification.run_calmly", lambda self, on_event: None)
        monkeypatch.setattr("slbench.cli.verify.Verification.run_killed", lambda self, on_event: None)
    if arguments[0] == "tune-temperature":
        monkeypatch.setattr("slbench.cli.tune.run_tuning", lambda tuning, on_event: (NO_TRIALS, True))
    if "--probe" in arguments:
        monkeypatch.setattr("slbench.cli.grid.probe_grid", lambda *_, **__: None)
    if arguments[0] == "train":
        arguments = ["run-grid", *arguments[1:], "--plan"]  # train takes the same flags
    code = main(arguments)
    if arguments[0] in ("export", "import") or arguments[0] == "report":  # understood, but there is nothing to move
        assert code == 2
        assert re.search(r"\b(finished|file)\b", capsys.readouterr().err)
    elif arguments[0] == "analyze" and "--study" in arguments:  # understood, but there is nothing to look into
        assert code == 2
        assert re.search(r"\bfinished\b", capsys.readouterr().err)
    elif arguments[0] == "verify-resume":  # understood, but nothing was trained
        assert code == 1
        assert "NOT SHOWN" in capsys.readouterr().out
    elif arguments[0] == "logs" or "--speeds" in arguments:  # understood, but there is no such run, no such file
        assert code == 2
        assert re.search(r"\b(id|read)\b", capsys.readouterr().err)
    elif arguments[:2] in (["data", "fetch"], ["data", "verify"]) and "npz:birds.npz" not in arguments:
        assert code == 2  # understood, but the data are not here
        assert re.search(r"\b(file|folder|fetch)\b", capsys.readouterr().err)
    else:
        assert code == 0


def test_what_a_study_may_say_of_seeds_and_table_is_understood() -> None:
    grid = {"backbone": ["vit"], "method": ["none", "both"]}
    found = study(tomllib.loads(blocks("toml")[1]) | {"grid": grid})
    assert found.seeds is not None and found.layout.columns
    assert "seed" not in grid and len(found.runs) == 2 * found.seeds.min


def test_every_row_is_described() -> None:
    for name in METHODS:
        assert f"`{name}`" in README
