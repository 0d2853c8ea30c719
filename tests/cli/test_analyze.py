"""`slbench analyze` of trained runs: output, files and one-line errors."""

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from slbench.plotting.style import FIGURE_STYLES
from slbench.store import Store
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.data.made import made_arrays, write_npz
from tests.support import missing, train_here

STUDY = """
[grid]
backbone = [
    {{ name = "vit", label = "ViT-x", patch_size = 8, dim = 8, depth = 2, num_heads = 2 }},
    {{ name = "swin", label = "Swin-x", patch_size = 2, dims = [6, 12], depths = [2, 2], num_heads = [2, 2] }},
    {{ name = "resnet56", label = "ResNet-x", width = 3, blocks_per_stage = 1 }},
]
method = ["none", "both"]
dataset = ["{data}"]
[set]
recipe.epochs = 2
recipe.batch_size = 8
recipe.precision = "fp32"
"""
ANALYSES = ["attention", "sharpness", pytest.param("self-relation", marks=pytest.mark.slow)]  # test_docs.py runs all


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a study and the store of its five trained runs."""
    root = tmp_path_factory.mktemp("analyze")
    data = write_npz(root / "birds.npz", made_arrays(train=67, test=13, shape=(16, 24, 3)))
    study, store = root / "birds.toml", root / "results"
    study.write_text(STUDY.format(data=f"npz:{data}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLBENCH_DATA", str(root / "root"))
        for run in load_study(study).runs:
            train_here(run, Store(store))
    return study, store


def ids(store: Path) -> dict[str, str]:
    """Return the run ids by backbone and method."""
    return {f"{record.labels.backbone} {record.labels.method}": record.run_id for record in Store(store).records()}


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_of_a_study_is_printed_and_written(name: str, slbench: Command, trained: tuple[Path, Path]) -> None:
    study, store = trained
    result = slbench("analyze", name, "--study", study, "--store", store)
    assert result.code == 0, result.err
    assert not missing(result.out, "attention", "ResNet-x")
    assert "SL-Swin-x" in result.out and "![" not in result.out
    folder = store / "analysis" / "birds"
    assert not missing(result.out, folder, f"{name}.md")
    assert (folder / f"{name}.md").stat().st_size > 500
    assert list(folder.glob(f"{name}*.svg"))
    frame = pd.read_csv(folder / f"{name}.csv")
    assert list(frame)[:7] == ["run", "cell", "row", "backbone", "method", "dataset", "seed"]
    assert set(frame["row"]) == {"ViT-x", "SL-ViT-x", "Swin-x", "SL-Swin-x"}


@pytest.mark.usefixtures("svg")
def test_json_is_one_document_and_figures_are_in_every_format(
    slbench: Command, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    _, store = trained
    flags = ["--store", store, "--out", tmp_path, "--json", "--figure-style", "slides"]
    result = slbench("analyze", "sharpness", ids(store)["ViT-x none"], *flags)
    document = json.loads(result.out)
    assert set(document["files"]) == {path.name for path in tmp_path.iterdir()}
    assert set(document["files"]) >= {f"sharpness.{suffix}" for suffix in ("md", "csv", "png", "svg", "pdf")}
    assert f'width="{72 * FIGURE_STYLES["slides"].page:g}pt"' in (tmp_path / "sharpness.svg").read_text()
    frame = pd.read_csv(tmp_path / "sharpness.csv")
    assert [row["kl"] for row in document["rows"]] == pytest.approx(frame["kl"].tolist(), rel=1e-12)
    assert any("1 thread" in sentence for sentence in document["caption"])


def test_predictions_equal_the_stored_test_logits(slbench: Command, trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, store = trained
    images = ",".join(map(str, range(13)))
    for run_id in (ids(store)["ViT-x both"], ids(store)["Swin-x none"]):
        out = tmp_path / run_id
        result = slbench("analyze", "attention", run_id[:8], "--images", images, "--store", store, "--out", out)
        assert result.code == 0, result.err
        frame = pd.read_csv(out / "attention.csv").drop_duplicates("image")
        tested = load_file(Store(store).ids()[run_id] / "test_logits.safetensors")
        assert frame["predicted"].tolist() == tested["logits"].float().argmax(dim=1).tolist()
        assert frame["label"].tolist() == tested["labels"].tolist()


def test_sharpness_of_some_validation_images_by_folder(
    slbench: Command, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    _, store = trained
    folder = Store(store).ids()[ids(store)["ViT-x both"]]
    flags = ["--split", "val", "--max-images", "4", "--batch-size", "3", "--threads", "2", "--out", tmp_path / "out"]
    result = slbench("analyze", "sharpness", folder, *flags, "--store", tmp_path / "elsewhere")
    assert result.code == 0, result.err
    assert not missing(result.out, "4 of the 6")
    assert "2 threads" in result.out
    frame = pd.read_csv(tmp_path / "out" / "sharpness.csv")
    assert frame["self_weight"].tolist() == [0, 0]
    assert (frame["kl"] - frame["kl_support"] > 3).all()  # the masked key contributes 27.6 / 7


BAD = {
    "nothing": ([], ("--study FILE",)),
    "unknown id": (["0123456789ab"], ("0123456789ab",)),
    "no run": (["nonsense"], ("nonsense", "id")),
    "seed without study": (["{vit}", "--seed", "1"], ("--seed", "--study", "FILE")),
    "unknown seed": (["--study", "{study}", "--seed", "3"], ("--seed", "3", "birds", "0")),
    "seed in words": (["--study", "{study}", "--seed", "two"], ("--seed", "two")),
    "convolutional": (["{cnn}"], ("attention", "ViT", "T2T", "CaiT", "PiT", "Swin")),
    "split": (["{vit}", "--split", "dev"], ("--split", "dev", "test", "val", "train")),
    "device": (["{vit}", "--device", "cuda:7"], ("cuda:7",)),
    "study file": (["--study", "{study}x"], ("file",)),
    "image": (["{vit}", "--images", "0,13"], ("--images", "13", "0 to 12")),
    "negative image": (["{vit}", "--images", "-1"], ("--images", "-1", "0")),
    "style": (["{vit}", "--figure-style", "poster"], ("--figure-style", "poster", "paper", "two-column", "slides")),
    "mixed rollout": (["{vit}", "--mixed", "--rollout"], ("--mixed", "--rollout")),
    "images per class": (["{vit}", "--images", "1", "--per-class", "2"], ("--images", "--per-class")),
}


@pytest.mark.parametrize(
    ("name", "case"), [*(("attention", case) for case in BAD), ("sharpness", "split"), ("self-relation", "split")]
)
def test_invalid_input_is_one_line_and_writes_nothing(
    name: str, case: str, slbench: Command, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    study, store = trained
    words, message = BAD[case]
    known = ids(store)
    places = {"{vit}": known["ViT-x none"], "{cnn}": known["ResNet-x none"], "{study}": study}
    arguments = [word.replace(key, str(place)) for word in words for key, place in [placeholder(word, places)]]
    result = slbench("analyze", name, *arguments, "--store", store, "--out", tmp_path / "out")
    result.check_error(*message)
    assert not (tmp_path / "out").exists()


def placeholder(word: str, places: dict[str, object]) -> tuple[str, object]:
    """Return the placeholder in a word and its value."""
    return next(((key, place) for key, place in places.items() if key in word), ("", ""))


def test_missing_data_are_one_line(slbench: Command, trained: tuple[Path, Path], tmp_path: Path) -> None:
    study, store = trained
    data = study.with_name("birds.npz")
    aside = data.rename(tmp_path / "aside.npz")
    try:
        result = slbench(
            "analyze", "sharpness", ids(store)["ViT-x none"], "--store", store, "--data-root", tmp_path / "empty"
        )
    finally:
        aside.rename(data)
    assert result.code == 2
    assert f"{data}: no such file" in result.err and result.err.count("\n") == 1
