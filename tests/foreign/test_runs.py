"""Runs of models of timm, of torchvision and of a user's file, in every command that reads finished runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import slbench as package
from slbench.data import load
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun, load_study
from slbench.train.loop import EVALUATION_BATCH
from tests.cli.conftest import Command, slbench  # noqa: F401
from tests.foreign.helpers import EXAMPLES, write
from tests.support import missing, train_here

FILE = EXAMPLES / "tiny_vit.py"
TORCHVISION = (
    'name = "torchvision:VisionTransformer", image_size = 32, patch_size = 8, num_layers = 1, num_heads = 2, '
    'hidden_dim = 32, mlp_dim = 32, label = "torchvision"'
)
STUDY = f"""
[grid]
backbone = [
  {{ name = "timm:vit_tiny_patch16_224", patch_size = 8, embed_dim = 32, depth = 1, num_heads = 2, label = "timm" }},
  {{ {TORCHVISION} }},
  {{ name = "{FILE}:TinyViT", patch_size = 8, dim = 32, depth = 1, num_heads = 2, label = "own" }},
]
method = ["both"]
dataset = "fashion-mnist-12k"
[set]
recipe.epochs = 1
recipe.precision = "fp32"
dataset.fraction = 0.02
recipe.batch_size = 32
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study file whose runs have been trained, in `results` beside it."""
    path = write(tmp_path_factory.mktemp("foreign") / "three.toml", STUDY)
    for run in load_study(path).runs:
        train_here(run, Store(path.parent / "results"))
    return path


@pytest.fixture
def runs(study: Path) -> tuple[StudyRun, ...]:
    return load_study(study).runs


def test_exported_networks_equal_those_of_their_runs_to_the_bit(
    study: Path,
    runs: tuple[StudyRun, ...],
    tmp_path: Path,
    slbench: Command,  # noqa: F811
) -> None:
    store = study.parent / "results"
    for run in runs:
        run_id, target = run.spec.run_id, tmp_path / run.spec.run_id
        assert slbench("export-model", run_id, target, "--store", store, "--plugin", FILE).code == 0
        models: list[Any] = [package.load_model(name, store=store, plugins=[FILE]) for name in (run_id, target)]
        batches = torch.split(torch.from_numpy(load(run.spec.dataset).test.array), EVALUATION_BATCH)
        with torch.no_grad():
            one, other = (torch.cat([model(model.preprocess(batch)) for batch in batches]) for model in models)
        assert torch.equal(one, other)
        stored = load_file(Store(store).ids()[run_id] / RunPaths.logits)["logits"]
        assert torch.equal(one.half(), stored), run.labels.backbone


def test_records_and_specs_name_no_path(study: Path, runs: tuple[StudyRun, ...]) -> None:
    store = Store(study.parent / "results")
    for run in runs:
        texts = [path.read_text() for path in store.ids()[run.spec.run_id].glob("*.json")]
        assert len(texts) == 2 and not any(str(EXAMPLES) in text for text in texts)


def test_analyses_and_reports_read_them(
    study: Path,
    runs: tuple[StudyRun, ...],
    slbench: Command,  # noqa: F811
) -> None:
    labels = [run.labels.backbone for run in runs]
    places = ("--store", study.parent / "results", "--plugin", FILE)
    ids = [run.spec.run_id for run in runs]
    sharpness = slbench("analyze", "sharpness", *ids, "--max-images", "7", *places)
    assert (sharpness.code, missing(sharpness.out, *(f"SL-{label}" for label in labels))) == (0, [])
    for kind, more in (("attention", ("--images", "0,1")), ("temperature", ()), ("receptive-field", ("--images", "2"))):
        done = slbench("analyze", kind, *ids, *more, *places)
        assert (done.code, missing(done.out, *labels)) == (0, []), done.err
    tested = slbench("evaluate", *ids, "--dataset", "fashion-mnist-12k", *places)
    records = [Store(places[1]).record(run_id) for run_id in ids]
    accuracies = [f"{record.final_test_top1:.2f} %" for record in records if record is not None]
    assert (tested.code, len(accuracies), missing(tested.out, *accuracies)) == (0, 3, [])
    assert not missing(slbench("show", ids[0], *places[:2]).out, "timm:vit_tiny_patch16_224", '"embed_dim":32')
    report = slbench("report", study, *places[:2])
    assert (report.code, missing(report.out, *(f"SL-{label}" for label in labels))) == (0, [])


def test_their_networks_are_profiled(slbench: Command) -> None:  # noqa: F811
    names = ["timm:vit_tiny_patch16_224", f"{FILE}:TinyViT"]
    shape = ("--image-size", "32", "--in-chans", "1", "--classes", "10", "--no-throughput")
    flags = [part for name in names for part in ("--backbone", name)]
    done = slbench("profile", *flags, "--method", "none,both", *shape, "--json")
    assert (done.code, len(json.loads(done.out))) == (0, 4), done.err


@pytest.mark.slow
def test_temperatures_of_a_foreign_model_are_searched(tmp_path: Path, slbench: Command) -> None:  # noqa: F811
    changes = ("backbone.depth=1", "backbone.img_size=32", "backbone.patch_size=8", "dataset.fraction=0.05")
    done = slbench(
        *("tune-temperature", "--backbone", f"{FILE}:TinyViT", "--trials", "2", "--seeds-per-trial", "1"),
        *("--epochs", "1", "--sampler", "random", "--store", tmp_path / "results"),
        *(part for change in changes for part in ("--set", change)),
    )
    assert done.code == 0, done.err
    (best,) = tmp_path.rglob("best.toml")
    assert {run.spec.backbone.name for run in load_study(best).runs} == {"own:TinyViT"}
