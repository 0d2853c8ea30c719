"""Contact sheet: images, comparable runs, files and values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slbench.analysis.attention import AttentionOptions, check_comparable, select_rows
from slbench.analysis.contact_sheet import CELL, NAMES, cell_side, pictures, write_sheet
from slbench.analysis.layer_metrics import SHARPNESS, LayerMetricOptions, analyse
from slbench.analysis.run_selection import RunSelection
from slbench.data.splits import ImageSet
from slbench.errors import InputError
from slbench.plotting.style import FIGURE_STYLES, FONT
from slbench.store import Store
from tests.analysis.finished_runs import SMALL, birds, finish, study_of
from tests.support import missing, naming

PART = ImageSet.of(np.zeros((11, 3, 5, 7), dtype=np.uint8), np.array([0] * 5 + [1] * 4 + [2] * 2))


def options(**changes: Any) -> AttentionOptions:
    plain = {
        "split": "test", "images": None, "per_class": None, "rollout": False, "all_blocks": False, "mixed": False,
        "device": torch.device("cpu"), "threads": 1, "batch_size": 2,
    }  # fmt: skip
    return AttentionOptions(**(plain | changes))


def test_images_are_selected_by_index_per_class_or_by_default() -> None:
    assert select_rows(PART, options(images=(7, 3, 7))).tolist() == [7, 3]
    assert select_rows(PART, options(per_class=3)).tolist() == [0, 1, 2, 5, 6, 7, 9, 10]
    assert select_rows(PART, options()).tolist() == [0, 1, 3, 5, 7, 9]


def test_a_missing_image_or_too_many_images_are_refused() -> None:
    with pytest.raises(InputError, match=naming("--images", "11", "0 to 10")):
        select_rows(PART, options(images=(0, 11)))
    many = ImageSet.of(np.zeros((300, 1, 2, 2), dtype=np.uint8), np.arange(300))
    with pytest.raises(InputError, match=naming("300", "100")):
        select_rows(many, options(per_class=1))


def test_runs_with_different_images_are_refused_on_one_sheet(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    here, there = birds(tmp_path / "here"), birds(tmp_path / "there", seed=6)
    one, same = (finish(store, run) for run in study_of(here).runs)
    other = finish(store, study_of(there).runs[0])
    full = finish(store, study_of(here, protocol="full").runs[0])
    few, others = (finish(store, run) for run in study_of(here, seeds=2, set={"dataset.per_class": 5}).runs[:2])
    check_comparable([one, same], "test")
    check_comparable([one, full], "test")  # the test images are the same
    check_comparable([few, one], "test")
    for pair, split in (
        ((one, other), "test"),
        ((one, full), "train"),
        ((one, few), "train"),
        ((few, others), "train"),
    ):
        with pytest.raises(InputError, match=naming("data")):
            check_comparable(pair, split)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=naming("25", "24")):
        check_comparable([one] * 25, "test")


def test_pictures_are_in_colour_or_grey() -> None:
    assert [picture.shape for picture in pictures(PART, np.array([1, 2]))] == [(5, 7, 3)] * 2
    two = ImageSet.of(
        np.stack([np.full((2, 4, 3), 10), np.full((2, 4, 3), 30)], axis=1).astype(np.uint8), np.array([0, 1])
    )
    (picture,) = pictures(two, np.array([1]))
    assert picture.shape == (4, 3) and (picture == 20).all()


@pytest.mark.parametrize("name", ["paper", "two-column", "slides"])
def test_a_sheet_for_a_page_is_no_wider_than_the_page(name: str) -> None:
    look = FIGURE_STYLES[name]
    assert cell_side(3, look) == pytest.approx(CELL * look.font / FONT)
    assert look.size(NAMES) + 25 * cell_side(25, look) == pytest.approx(look.page)


@pytest.mark.parametrize("rollout", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.usefixtures("svg")
def test_a_sheet_of_several_backbones_is_reproducible_and_complete(rollout: bool, tmp_path: Path) -> None:
    grid = {"backbone": [SMALL["vit"], SMALL["cait"], SMALL["swin"]]}
    study = study_of(birds(tmp_path), grid=grid)
    runs = tuple(finish(Store(tmp_path / "results"), run) for run in study.runs)
    options_ = options(images=(0, 7, 12), rollout=rollout, all_blocks=not rollout)
    once = write_sheet(RunSelection("birds", runs, ()), options_, out=tmp_path / "once")
    assert sorted(path.name for path in once.folder.iterdir()) == sorted(once.files)
    if rollout:
        again = write_sheet(RunSelection("birds", runs, ()), options_, out=tmp_path / "again")
        for file in once.files:
            assert (once.folder / file).read_bytes() == (again.folder / file).read_bytes(), file
    name = "attention-rollout" if rollout else "attention"
    sheets = {f"attention-blocks-{number}.svg" for number in range(1, 7)}
    assert sheets.isdisjoint(once.files) if rollout else sheets <= set(once.files)
    frame = pd.read_csv(once.folder / f"{name}.csv")
    assert set(frame["image"]) == {0, 7, 12}
    layers = frame.groupby("backbone")["layer"].unique().map(list).to_dict()
    assert layers == {
        "ViT-x": ["rollout"] if rollout else ["block 1", "block 2"],
        "CaiT-x": ["rollout"] if rollout else ["class block 1"],
        "Swin-x": ["rollout"] if rollout else [f"stage {stage} block {block}" for stage in (1, 2) for block in (1, 2)],
    }
    totals = frame.groupby(["run", "layer", "image"])["weight"].sum()
    assert (totals <= 1 + 1e-5).all() and (totals > 0).all()
    of_swin = totals[totals.index.get_level_values("run").str.startswith("Swin")]
    assert of_swin.tolist() == pytest.approx([1.0] * len(of_swin), rel=1e-5)
    text = (once.folder / f"{name}.md").read_text()
    assert not missing(text, "birds", "3 of the 13 test images")
    assert ("Abnar" in text) == rollout
    assert "Swin" in text and not missing(text, "CaiT", "softmax")
    svg = (once.folder / f"{name}.svg").read_text()
    for title in ("ViT-x", "SL-ViT-x", "CaiT-x", "SL-Swin-x", "no. 12", "most read"):
        assert title in svg


@pytest.mark.usefixtures("svg")
def test_names_with_mathtext_and_markdown_characters_are_escaped(tmp_path: Path) -> None:
    name = "_a$x_{$|<i>../"
    study = study_of(birds(tmp_path), grid={"backbone": [{**SMALL["vit"], "label": name}], "method": ["none"]})
    selection = RunSelection("birds", (finish(Store(tmp_path / "results"), study.runs[0]),), ())
    sheet = write_sheet(selection, options(images=(1,), all_blocks=True), out=tmp_path / "out")
    by_depth = LayerMetricOptions(split="test", max_images=2, device=torch.device("cpu"), threads=1, batch_size=2)
    depth = analyse(SHARPNESS, selection, by_depth, out=tmp_path / "out")
    for file in ("attention.svg", "attention-blocks-1.svg", "sharpness.svg"):
        assert "_a$x_{$|&lt;i&gt;../" in (tmp_path / "out" / file).read_text(), file
    for text in (sheet.text, depth.text):
        assert "\\_a$x\\_{$\\|&lt;i>../" in text
