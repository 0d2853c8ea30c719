"""Networks of finished runs, loaded and exported, equal those of the runs to the bit."""

import errno
import hashlib
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import slbench as package
from slbench.analysis.run_selection import FinishedRun
from slbench.data import DATASETS, DataConfig, class_names, find, load
from slbench.data.batches import Batches
from slbench.data.images.decode import resize
from slbench.data.images.preprocess import Preprocess
from slbench.data.sets.class_names import CLASS_NAMES
from slbench.data.splits import ImageSet
from slbench.errors import InputError
from slbench.models import CONFIG, EXAMPLE, WEIGHTS, export_model
from slbench.run_paths import RunPaths
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.train.loop import EVALUATION_BATCH
from slbench.validation import adapter
from tests.analysis.finished_runs import SMALL, birds, finish, study_of
from tests.cli.conftest import Command, slbench  # noqa: F401
from tests.data.made import made_arrays, write_folder, write_npz
from tests.support import TINY, missing, runs, train_here

PREPROCESS = Preprocess((16, 24), (0.3, 0.5, 0.7), (0.11, 0.13, 0.17))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return a trained run of the bundled data."""
    store = Store(tmp_path_factory.mktemp("trained") / "results")
    (run,) = runs({"method": ["both"], "backbone": [TINY]}, set={"recipe.epochs": 1, "recipe.precision": "fp32"})
    record = train_here(run, store)
    return FinishedRun(record, store.ids()[record.run_id])


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    """Return an untrained finished run of three classes of 16 x 24 px RGB images."""
    return finish(Store(tmp_path / "results"), study_of(birds(tmp_path)).runs[1])


def logits(model: Any, images: Tensor) -> Tensor:
    starts = range(0, len(images), EVALUATION_BATCH)
    with torch.no_grad():
        return torch.cat([model(model.preprocess(images[at : at + EVALUATION_BATCH])) for at in starts])


@pytest.mark.parametrize("how", ["id", "beginning of an id", "folder", "exported"])
def test_a_loaded_network_has_the_logits_of_its_run(trained: FinishedRun, tmp_path: Path, how: str) -> None:
    run_id, store = trained.record.run_id, trained.folder.parents[1]
    names: dict[str, Path | str] = {
        "id": run_id,
        "beginning of an id": run_id[:5],
        "folder": trained.folder,
        "exported": tmp_path / "model",
    }
    if how == "exported":
        export_model(trained, tmp_path / "model")
    model = package.load_model(names[how], store=store)
    stored = load_file(trained.folder / RunPaths.logits)
    images = torch.from_numpy(load(trained.record.spec.dataset).test.array)
    assert isinstance(model, torch.nn.Module) and not model.training
    assert torch.equal(logits(model, images).half(), stored["logits"])
    weights = load_file(trained.folder / RunPaths.weights)
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("backbone", SMALL)
def test_an_exported_network_equals_that_of_its_run(tmp_path: Path, backbone: str) -> None:
    study = study_of(birds(tmp_path), grid={"backbone": [SMALL[backbone]], "method": ["none"]})
    run = finish(Store(tmp_path / "results"), study.runs[0])
    export_model(run, tmp_path / "model")
    images = torch.from_numpy(load(run.record.spec.dataset, run.record.labels.data).test.array)
    one, other = package.load_model(run.folder), package.load_model(tmp_path / "model")
    assert torch.equal(logits(one, images), logits(other, images))
    assert logits(one, images).std() > 0


def test_an_exported_folder_describes_the_run(trained: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    export_model(trained, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted((WEIGHTS, CONFIG, EXAMPLE))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert (folder / WEIGHTS).read_bytes() == (trained.folder / RunPaths.weights).read_bytes()
    config, record = json.loads((folder / CONFIG).read_text()), trained.record
    assert (config["run_id"], config["weights_sha256"]) == (record.run_id, record.weights_sha256)
    assert (config["input_size"], config["mean"], config["std"]) == ([1, 32, 32], [0.21924], [0.33242])
    assert config["class_names"][9] == "Ankle boot" and len(config["class_names"]) == 10
    assert config["versions"]["torch"] == record.code.versions["torch"]
    assert (config["epoch"], config["test_top1"]) == ("last epoch", record.final_test_top1)


def test_the_example_classifies_an_image(
    trained: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export_model(trained, tmp_path / "model")
    pixels = load(trained.record.spec.dataset).test.array[7]
    Image.fromarray(pixels[0]).save(tmp_path / "x.png")
    monkeypatch.setattr(sys, "argv", ["example.py", str(tmp_path / "x.png")])
    monkeypatch.setattr(sys, "path", [str(tmp_path / "model"), *sys.path])
    assert len((tmp_path / "model" / EXAMPLE).read_text().split("\n\n")[-1].splitlines()) <= 10
    runpy.run_path(str(tmp_path / "model" / EXAMPLE))
    predicted = logits(package.load_model(trained.folder), torch.from_numpy(pixels)[None]).argmax()
    assert capsys.readouterr().out.startswith(CLASS_NAMES["fashion-mnist-12k"][predicted])


def test_weights_of_the_best_epoch_are_exported_where_only_they_were_kept(tmp_path: Path) -> None:
    run = finish(Store(tmp_path / "results"), study_of(birds(tmp_path)).runs[0], keep="best", weights_sha256="5" * 64)
    config = export_model(run, tmp_path / "model")
    assert config.weights_sha256 == run.record.selected_weights_sha256
    assert (config.test_top1, "selected" in config.epoch) == (run.record.selected_test_top1, True)
    assert package.load_model(tmp_path / "model") is not None


def test_preprocessing_equals_that_of_batches_for_pixels_and_images(run: FinishedRun) -> None:
    spec, preprocess = run.record.spec.dataset, PREPROCESS
    pixels = load(spec, run.record.labels.data).test.array
    model: Any = package.load_model(run.folder)
    batches = Batches(ImageSet.of(pixels, np.zeros(len(pixels), np.int64)), spec, device=torch.device("cpu"))
    expected = batches.normalise(torch.from_numpy(pixels))
    images = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]
    for given in (pixels, torch.from_numpy(pixels), images):
        assert torch.equal(model.preprocess(given), expected)
    assert torch.equal(model.preprocess(images[3]), expected[3])
    assert torch.equal(model.preprocess(pixels[None]), expected[None])
    black = torch.zeros(3, 16, 24, dtype=torch.uint8)
    assert preprocess(black)[:, 5, 7].tolist() == pytest.approx([-0.3 / 0.11, -0.5 / 0.13, -0.7 / 0.17])


def test_images_are_converted_and_resized_like_those_of_a_folder() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (3, 29, 31), np.uint8)
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    assert torch.equal(PREPROCESS(image), PREPROCESS(resize(pixels, (16, 24))))
    grey = np.asarray(image.convert("L"))
    one = Preprocess((16, 24), (0.5,), (0.25,))
    assert torch.equal(one(image), one(resize(grey[None], (16, 24))))
    assert torch.equal(PREPROCESS(image.convert("L")), PREPROCESS(resize(np.stack([grey] * 3), (16, 24))))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(3, 16, 24), ("uint8", "float32", "(3, 16, 24)")),
        (torch.zeros(3, 16, 25, dtype=torch.uint8), ("uint8 (3, 16, 25)", "(3, 16, 24)")),
        (np.zeros((16, 24, 3), np.uint8), ("uint8 (16, 24, 3)", "(3, 16, 24)")),
        (torch.zeros(16, 24, dtype=torch.uint8), ("uint8 (16, 24)",)),
        (Image.new("I;16", (24, 16)), ("I;16", "RGB")),
        (Image.new("F", (24, 16)), ("'F'", "RGB")),
    ],
)
def test_other_pixels_are_refused(images: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        PREPROCESS(images)
    assert not missing(str(error.value), *words)


def test_names_of_classes_are_known_for_named_and_own_data(tmp_path: Path) -> None:
    for name, names in CLASS_NAMES.items():
        assert len(set(names)) == len(names) == DATASETS[name].spec.num_classes
    assert sorted(CLASS_NAMES["cifar100"]) == list(CLASS_NAMES["cifar100"])
    arrays = made_arrays(train=67, test=13, shape=(16, 24, 3))
    write_folder(tmp_path / "birds", arrays)
    write_npz(tmp_path / "named.npz", {**arrays, "classes": np.array(["wren", "crow", "owl"])})
    config = DataConfig.read(tmp_path / "root")
    folders = tuple(sorted(path.name for path in (tmp_path / "birds" / "train").iterdir()))
    for source, names in (
        (f"folder:{tmp_path}/birds", folders),
        (f"npz:{tmp_path}/named.npz", ("crow", "owl", "wren")),
    ):
        found = find(source, config=config)
        assert class_names(found.spec, found.source, config) == names
        assert class_names(found.spec, found.source) is None
        assert class_names(found.spec, found.source, DataConfig.read(tmp_path / "elsewhere")) is None
    (tmp_path / "named.npz").unlink()
    assert class_names(found.spec, found.source, config) is None


def rewrite(**changes: Any) -> Callable[[Path], object]:
    """Return a change of fields of config.json."""

    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps(config))

    return change


def deeper(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["spec"]["backbone"]["depth"] = 1000
    run_id = adapter(RunSpec).validate_python(config["spec"], strict=False).run_id
    (folder / CONFIG).write_text(json.dumps(config | {"run_id": run_id}))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def pickled(folder: Path) -> None:
    torch.save(Malicious(), folder / WEIGHTS)
    rewrite(weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())(folder)


def link(name: str, target: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def fifo(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


MISFITS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "weights damaged": (lambda folder: (folder / WEIGHTS).write_bytes(b"x"), (WEIGHTS, "sha256", CONFIG)),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), (WEIGHTS, "no such file")),
    "weights are a FIFO": (fifo, (WEIGHTS, "FIFO")),
    "a pickle with its hash": (pickled, (WEIGHTS, "not a file of weights")),
    "a larger network": (deeper, (WEIGHTS, "do not fit")),
    "no JSON": (lambda folder: (folder / CONFIG).write_text("{"), (CONFIG, "damaged")),
    "a link to itself": (link(CONFIG, CONFIG), (CONFIG,)),
    "a link to nothing": (link(CONFIG, "none"), (CONFIG, "link to nothing")),
    "another format": (rewrite(format=2), (CONFIG, "format")),
    "another run": (rewrite(run_id="0" * 12), (CONFIG, "run_id", "0" * 12)),
    "other constants": (rewrite(mean=[0.5, 0.5, 0.5]), (CONFIG, "mean")),
    "another size": (rewrite(input_size=[3, 16, 16]), (CONFIG, "input_size")),
    "too few names": (rewrite(class_names=["a"]), (CONFIG, "class_names", "3")),
    "an unknown key": (rewrite(more=1), (CONFIG, "more")),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(
    run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    export_model(run, tmp_path / "model")
    change, words = MISFITS[case]
    change(tmp_path / "model")
    with pytest.raises(InputError) as error:
        package.load_model(tmp_path / "model")
    assert not missing(str(error.value), *words) and "\n" not in str(error.value)
    assert not (tmp_path / "pwned").exists()


def test_a_full_disk_leaves_no_folder(run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == CONFIG:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_bytes(content)

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("slbench.models.write_atomic", write)
    with pytest.raises(OSError, match="No space"):
        export_model(run, tmp_path / "model")
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_exports_and_refuses_in_one_line(
    run: FinishedRun,
    tmp_path: Path,
    slbench: Command,  # noqa: F811
) -> None:
    store, target = tmp_path / "results", tmp_path / "model"
    result = slbench("export-model", run.record.run_id[:6], target, "--store", store)
    assert result.code == 0 and not missing(result.out, target, WEIGHTS, CONFIG, EXAMPLE)
    slbench("export-model", run.folder, target).check_error(target, "exists")
    slbench("export-model", run.folder, tmp_path / "birds.npz" / "x").check_error("file", "birds.npz")
    slbench("export-model", run.folder, "/proc/x").check_error("/proc/x", "cannot be")
    slbench("export-model", "0123456789ab", tmp_path / "y", "--store", store).check_error("0123456789ab")
    (run.folder / RunPaths.weights).write_bytes(b"damaged")
    slbench("export-model", run.folder, tmp_path / "y").check_error(run.folder / RunPaths.weights, "sha256")
    (run.folder / RunPaths.weights).unlink()
    slbench("export-model", run.folder, tmp_path / "y").check_error("weights", "keep")
    (run.folder / RunPaths.record).unlink()
    slbench("export-model", run.folder, tmp_path / "y").check_error(run.folder, "not finished")
    slbench("export-model", tmp_path, tmp_path / "y").check_error(tmp_path, "spec.json")
    assert not (tmp_path / "y").exists()
    with pytest.raises(InputError, match="no run id"):
        package.load_model("nothing", store=store)
