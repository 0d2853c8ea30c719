"""Layer metrics as frames: one line per run and layer, averaged over seeds only."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from slbench.analysis.layer_metrics import BY_DEPTH, SHARPNESS, LayerMetricOptions, analyse, measure
from slbench.analysis.load import OnProgress
from slbench.analysis.run_selection import FinishedRun, RunSelection
from slbench.analysis.seed_aggregation import (
    CELL,
    LAYER,
    averages,
    figure_groups,
    mean_text,
    over_seeds,
    run_columns,
    with_distinct_titles,
)
from slbench.markdown import escape
from slbench.store import Store
from tests.analysis.finished_runs import SMALL, birds, finish, study_of
from tests.support import make_record, runs

SETTING = LayerMetricOptions(split="test", max_images=None, device=torch.device("cpu"), threads=1, batch_size=5)


def quiet(_run: FinishedRun) -> OnProgress:
    return lambda done, total: None


def frame(values: dict[tuple[str, int, str], list[float]], kinds: dict[str, str] | None = None) -> pd.DataFrame:
    """Return rows with one metric, "x", from values per seed by (label, layer number, cell)."""
    return pd.DataFrame(
        [
            {
                "run": f"{row}-{seed}", "cell": cell, "row": row, "backbone": "ViT", "method": row, "dataset": "birds",
                "seed": seed, "number": number, "layer": f"block {number}",
                "kind": (kinds or {}).get(f"{number}", "patches"), "x": value,
            }
            for (row, number, cell), of_seeds in values.items()
            for seed, value in enumerate(of_seeds)
        ]
    )  # fmt: skip


def test_seeds_are_averaged_with_their_sample_standard_deviation_in_the_order_of_the_runs() -> None:
    lines = frame({("z", 1, "z-1"): [1.0, 4.0], ("a", 1, "a-1"): [5.0, math.nan], ("z", 2, "z-1"): [7.0, 7.0]})
    result = over_seeds(lines, ["x"], [*CELL, *LAYER])
    assert result["row"].tolist() == ["z", "z", "a"]
    assert result["mean"].tolist() == [2.5, 7.0, 5.0]
    assert result["std"].tolist()[:2] == pytest.approx([math.sqrt(4.5), 0])
    assert result["n"].tolist() == [2, 2, 1]
    assert math.isnan(result["std"].tolist()[2])


def test_class_attention_is_excluded_from_the_average_over_layers() -> None:
    lines = frame({("a", 1, "c"): [1.0], ("a", 2, "c"): [3.0], ("a", 3, "c"): [100.0]}, kinds={"3": "class"})
    assert averages(lines, ["x"])["mean"].tolist() == [2.0]


def test_the_spread_of_an_average_is_over_seeds_and_not_over_layers() -> None:
    lines = frame({("a", 1, "c"): [1.0, 3.0], ("a", 2, "c"): [11.0, 13.0]})
    result = averages(lines, ["x"])
    assert result["mean"].tolist() == [7.0]
    assert result["std"].tolist() == pytest.approx([math.sqrt(2)])
    assert result["n"].tolist() == [2]


def test_different_experiments_with_the_same_name_are_never_averaged() -> None:
    done = [FinishedRun(make_record(run), Path()) for run in runs({"recipe.lr": [0.125, 0.5]})]
    lines = pd.concat(
        [frame({("Tiny", 1, run_columns(run)["cell"]): [value]}) for run, value in zip(done, (1.0, 3.0), strict=True)]
    )
    named = with_distinct_titles(lines, done)
    assert named["row"].tolist() == ["Tiny (recipe_lr 0.125)", "Tiny (recipe_lr 0.5)"]
    assert over_seeds(named, ["x"], [*CELL, *LAYER])["mean"].tolist() == [1.0, 3.0]


def test_a_mean_is_shown_with_its_standard_deviation_if_there_is_one() -> None:
    assert [mean_text(0.12345, math.nan, 1), mean_text(0.12345, 0.01, 2), mean_text(math.nan, math.nan, 0)] == [
        "0.123", "0.123 ± 0.010", "–",
    ]  # fmt: skip


def test_each_backbone_and_data_set_has_its_own_figure() -> None:
    lines = pd.concat(
        [
            frame({("a", 1, "c"): [1.0]}).assign(backbone=name, dataset=data)
            for name in ("B", "A")
            for data in ("x", "y")
        ]
    )
    assert list(figure_groups(lines)) == ["-1-b-x", "-2-b-y", "-3-a-x", "-4-a-y"]
    assert list(figure_groups(frame({("a", 1, "c"): [1.0]}))) == [""]


def test_every_run_has_a_line_per_layer_independent_of_the_batch_size(tmp_path: Path) -> None:
    study = study_of(birds(tmp_path), seeds=2)
    runs = [finish(Store(tmp_path / "results"), run) for run in study.runs]
    result, counts = measure(SHARPNESS, runs, SETTING, on_run=quiet)
    assert counts == {"birds": (13, 13)}
    assert len(result) == 4 * 2
    assert result["run"].tolist() == [run.record.run_id for run in runs for _ in range(2)]
    assert set(result["keys"]) == {7} and set(result["images"]) == {13}
    assert result["masks_self"].tolist() == [run.record.labels.method == "both" for run in runs for _ in range(2)]
    whole, _ = measure(SHARPNESS, runs, LayerMetricOptions(**{**vars(SETTING), "batch_size": 13}), on_run=quiet)
    for measured in SHARPNESS.measures:
        assert result[measured].tolist() == pytest.approx(whole[measured].tolist(), rel=1e-4)
    some, counts = measure(SHARPNESS, runs, LayerMetricOptions(**{**vars(SETTING), "max_images": 5}), on_run=quiet)
    assert counts == {"birds": (5, 13)} and set(some["images"]) == {5}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "sharpness" else pytest.mark.slow) for name in BY_DEPTH]
)
@pytest.mark.usefixtures("svg")
def test_pages_are_complete_and_reproducible(name: str, tmp_path: Path) -> None:
    grid = {"backbone": [SMALL["vit"], SMALL["cait"]]}
    study = study_of(birds(tmp_path), seeds=2, grid=grid)
    runs = tuple(finish(Store(tmp_path / "results"), run) for run in study.runs)
    selection = RunSelection("birds", runs, ("a note.",))
    once = analyse(BY_DEPTH[name], selection, SETTING, out=tmp_path / "once")
    assert sorted(path.name for path in once.folder.iterdir()) == sorted(once.files)
    if name == "sharpness":
        again = analyse(BY_DEPTH[name], selection, SETTING, out=tmp_path / "again")
        assert once.files == again.files
        for file in once.files:
            assert (once.folder / file).read_bytes() == (again.folder / file).read_bytes(), file
    text = (once.folder / f"{name}.md").read_text()
    assert once.text == text
    for part in (
        "Data: birds, all 13 test images, without augmentation; 8 runs, 2 seeds (0, 1); weights of the last epoch.",
        "Mean ± sample standard deviation over seeds.",
        "Computed in fp32",
        "(cpu, 1 thread)",
        "a note.",
        *(["4.45 at N = 6, 3.82 at N = 7"] if name == "sharpness" else []),
        "SL-CaiT-x",
        "class block 1",
        *map(escape, once.caption),
    ):
        assert part in text, part
    frame = pd.read_csv(once.folder / f"{name}.csv")
    assert list(frame["layer"].unique()) == list(once.frame["layer"].unique())
    for measured in BY_DEPTH[name].measures:
        assert frame[measured].tolist() == pytest.approx(once.frame[measured].tolist(), rel=1e-15, nan_ok=True)
    rows = pd.read_csv(once.folder / f"{name}-rows.csv")
    assert set(rows["n"]) <= {0, 2}
    svg = (once.folder / f"{name}-2-cait-x-birds.svg").read_text()
    assert "SL-CaiT-x" in svg and ">c1<" in svg
