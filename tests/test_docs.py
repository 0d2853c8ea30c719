"""Every command, study and Python block of README.md and docs/ runs.

Training, the network and probes are replaced, analyses look at a few images, and figures are not drawn; everything
else is real. A store holds finished runs of the studies that the pages name.
"""

import ast
import functools
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from slbench.analysis import analyzed_networks
from slbench.backbones import build
from slbench.backbones.specs import BackboneSpec
from slbench.cli import main
from slbench.data import DATASETS, load
from slbench.data.specs import DatasetSpec
from slbench.data.splits import content_hash
from slbench.grid.estimate import JobSetting, probe_key, save_probes
from slbench.grid.launch import Outcome
from slbench.image_shape import ImageShape
from slbench.measurement_records import Probe
from slbench.methods import METHODS, Method
from slbench.record import WEIGHTS, RunRecord
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun, load_study
from slbench.study.schema import study_keys
from slbench.train.temperatures import TemperatureHistory, as_csv
from slbench.tuning.record import load as load_search
from slbench.tuning.search_file import load_search_file
from tests.data.made import made_arrays, write_folder, write_npz
from tests.support import ROOT, make_record, store_history, study

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("**/*.md"))]
SEARCH = ROOT / "results" / "reference" / "tuning" / "vit-small"
MAX_README_WORDS = 1500
FEW = 4  # images that analyses look at


def blocks(language: str, pages: Iterable[Path] = PAGES) -> list[str]:
    found = [block for page in pages for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)]
    return list(dict.fromkeys(found))


def commands() -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in dict.fromkeys(lines) if line]


COMMANDS = commands()


@functools.cache
def data_hash(spec: DatasetSpec, data: str) -> str:
    return content_hash(load(spec, data))


@functools.cache
def initial_temperatures(backbone: BackboneSpec, method: Method, shape: ImageShape) -> bytes:
    """Return the temperatures.csv of a network before training, which no seed changes."""
    return as_csv(TemperatureHistory(build(backbone, method, shape=shape, drop_path=0.0, seed=0)).rows())


def store_finished(store: Store, run: StudyRun, *, with_weights: bool = False) -> RunRecord:
    """Store an untrained finished run: test logits of its accuracy, a history, and initial weights on request."""
    spec = run.spec
    weights = save(spec.build_network().state_dict()) if with_weights else b"weights"
    top1 = 80.0 + run.spec.seed
    numbers, classes = torch.arange(run.spec.dataset.num_test), run.spec.dataset.num_classes
    labels, wrong = numbers % classes, numbers >= len(numbers) * top1 / 100
    logits = torch.eye(classes)[(labels + wrong) % classes].half()
    temperatures = (
        {RunPaths.temperatures: initial_temperatures(spec.backbone, spec.method, spec.dataset.shape)}
        if spec.method.learn_temperature
        else {}
    )
    folder = store.begin(run.spec, run.labels)
    for name, content in {
        WEIGHTS["last"]: weights,
        "test_logits.safetensors": save({"logits": logits, "labels": labels}),
        "log.txt": b"",
        **temperatures,
    }.items():
        (folder / name).write_bytes(content)
    only = {"best_test_top1": top1, "selected_test_top1": top1} if run.spec.recipe.epochs == 1 else {}
    record = make_record(
        run,
        **only,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        data_sha256=data_hash(run.spec.dataset, run.labels.data),
        final_test_top1=top1,
    )
    store_history(folder, record)
    store.finish(folder, record)
    return record


def cuda_probe(run: StudyRun) -> Probe:
    """Return an invented probe of a GPU."""
    setting = JobSetting("cuda", 1, "fp32", 1)
    return Probe(
        key=probe_key(run.spec, setting), title=run.title, machine_id="m1", device_kind="cuda", device_name="H100",
        computes_bf16=True, threads=1, precision="fp32", jobs=1, data="its own", startup_seconds=1.0, load_seconds=1.0,
        step_seconds=0.01, steps=9, evaluation_seconds=0.001, save_seconds=0.1, finish_seconds=1.0, params=1000,
        peak_memory_bytes=10**8, measured_at="2025-11-22T23:12:54+00:00",
    )  # fmt: skip


def few_images(original: Callable[..., Any], *networks: Any, seed: int, count: int) -> Any:
    """Call `analyzed_networks.untrained_networks` for at most `FEW` images."""
    return original(*networks, seed=seed, count=min(count, FEW))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the commands and a store with two finished studies."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "study.toml").write_text(next(block for block in blocks("toml", [README]) if "[[exclude]]" in block))
    shutil.copytree(ROOT / "studies", folder / "studies")
    arrays = made_arrays(train=90, shape=(32, 32, 3))
    write_npz(folder / "birds.npz", arrays)
    write_folder(folder / "birds", arrays)
    shutil.copytree(SEARCH, folder / "results" / "tuning" / "vit-fashion-mnist-12k")
    store = Store(folder / "results")
    for run in load_study(folder / "study.toml").runs:
        store_finished(store, run)
    assert main(["export", "--all", "--store", str(store.root), str(folder / "runs.tar.gz")]) == 0
    for run in load_study(folder / "studies" / "quick.toml").runs:
        store_finished(store, run, with_weights=True)
    save_probes(folder / "h100.json", [cuda_probe(run) for run in load_study(folder / "study.toml").runs])
    return folder


@pytest.fixture
def here(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the workspace as current folder; training, downloads and measurements are replaced."""
    folder = tmp_path / "here"
    shutil.copytree(workspace, folder, copy_function=os.link)  # files are replaced, never changed
    monkeypatch.chdir(folder)

    def train(grid: Any, **_: Any) -> Outcome:
        for run in grid.todo:
            store_finished(grid.store, run)
        return Outcome(0, stopped=False, clean=True)

    def train_one(run: StudyRun, store: Store, *_: Any, **__: Any) -> RunRecord:
        return store_finished(store, run)

    def run_undisturbed(verification: Any, _: Any) -> None:
        for run in verification.runs:
            store_finished(verification.undisturbed, run)

    def run_killed(verification: Any, _: Any) -> None:
        for run in verification.runs:
            store_finished(verification.killed, run)
            verification.killer.killed_at[run.spec.run_id] = [3]

    for name, replacement in {
        "slbench.cli.grid.launch_jobs": train,
        "slbench.cli.work.launch_jobs": train,
        "slbench.cli.grid.train_in_foreground": train_one,
        "slbench.cli.grid.measure_speeds": lambda *_, **__: None,
        "slbench.cli.grid.probe_grid": lambda *_, **__: None,
        "slbench.cli.verify.Verification.run_undisturbed": run_undisturbed,
        "slbench.cli.verify.Verification.run_killed": run_killed,
        "slbench.cli.tune.run_tuning": lambda *_, **__: (load_search(SEARCH), True),
        "slbench.cli.data.add_local_file": lambda name, archives, file: next(
            a for a in archives if a.name == file.name
        ),
        "slbench.cli.data.missing": lambda *_: [],
        "slbench.cli.data.fetch": lambda *_, **__: None,
        "slbench.cli.data.prepare": lambda *_: None,
        "slbench.cli.data.verify": lambda *_: None,
        "slbench.cli.doctor.verify": lambda *_, **__: None,
        "slbench.analysis.layer_metrics.evenly_spaced": lambda count, **_: np.arange(count)[:: count // FEW],
        "slbench.analysis.analyzed_networks.untrained_networks": functools.partial(
            few_images, analyzed_networks.untrained_networks
        ),
    }.items():
        monkeypatch.setattr(name, replacement)
    return folder


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("slbench ")])
def test_a_command_succeeds(command: str, here: Path) -> None:
    arguments = shlex.split(command)[1:]
    if arguments[0] == "export":
        (here / arguments[-1]).unlink()  # it overwrites nothing
    assert main(arguments) == 0


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("slbench ")])
def test_other_commands_are_targets_of_make_or_installations_with_existing_extras(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        assert subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True).returncode == 0
    else:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        of_torch = shlex.split("pip install torch --index-url https://download.pytorch.org/whl/cpu")
        known = [["pip", "install", where] for where in (".", *(f".[{e}]" for e in extras))]
        assert [program, *arguments] in [*known, of_torch]


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_toml_block_is_a_valid_study_or_search(block: str, tmp_path: Path) -> None:
    content = tomllib.loads(block)
    if "grid" in content:
        assert study(content).runs
    else:
        (tmp_path / "search.toml").write_text(block)
        assert load_search_file(tmp_path / "search.toml").ranges


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("block", blocks("python"))
def test_a_python_block_runs(block: str) -> None:
    exec(block, {})


def test_every_block_has_a_known_language() -> None:
    languages = {word for page in PAGES for word in re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)}
    assert languages <= {"", "sh", "toml", "python", "text"}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MAX_README_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_to_files(page: Path) -> None:
    generated = {"changelog.md"}  # from CHANGELOG.md, when the site is built
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
        assert link in generated or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_the_text_are_files_of_the_repository(page: Path) -> None:
    paths = re.findall(r"`((?:slbench|studies|tests|benchmarks|docs|results/reference)/[\w./-]+)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_method_and_data_set_is_described() -> None:
    for page, names in {"methods": list(METHODS), "data": list(DATASETS)}.items():
        text = (ROOT / "docs" / f"{page}.md").read_text()
        assert [name for name in names if f"`{name}`" not in text] == []


def test_every_part_of_a_study_file_has_a_section_in_the_table_of_keys() -> None:
    tree = ast.parse((ROOT / "docs" / "hooks.py").read_text())
    (sections,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SECTIONS"
    ]
    assert {key.path.partition(".")[0] if "." in key.path else "" for key in study_keys()} == sections.keys()
