"""`slbench profile`: costs beside those of the paper, and measurements on a device."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

from slbench import machine
from slbench.cli.profile import shift_effect
from slbench.image_shape import ImageShape
from slbench.measure import memory, throughput_keys
from slbench.store import Store
from tests.cli.conftest import Command
from tests.support import missing

COUNT = ["profile", "--no-throughput"]
MEASURE = [
    *("profile", "--backbone", "vit", "--method", "none", "--image-size", "32", "--classes", "10"),
    *("--batch-size", "2", "--devices", "cpu"),
]


@pytest.fixture
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure throughput in two short rounds; replace the memory of a worker process."""
    two_rounds = dataclasses.replace(throughput_keys.TIMINGS["short"], warmup=0, rounds=2, seconds=0.0)
    monkeypatch.setitem(throughput_keys.TIMINGS, "short", two_rounds)
    monkeypatch.setattr(memory, "in_child", lambda request: memory.Peak(3 * 2**20, 2**20))


def test_costs_are_listed_with_those_of_the_paper(slbench: Command) -> None:
    result = slbench(*COUNT, "--backbone", "vit", "--method", "both", "--json")
    assert result.code == 0
    (row,) = json.loads(result.out)
    assert (row["params"], row["paper_params_millions"], row["paper_flops_millions"]) == (2_906_228, 2.9, 199.2)
    assert row["macs"] / 1e6 == pytest.approx(199.2, rel=0.005)
    assert row["norm_operations"] > 0 and "softmax" in " ".join(row["uncounted_operators"])


def test_csv_equals_json_and_other_image_sizes_have_no_published_costs(slbench: Command) -> None:
    arguments = (*COUNT, "--backbone", "vit,resnet56", "--method", "none", "--image-size", "16")
    from_json = json.loads(slbench(*arguments, "--json").out)
    from_csv = list(csv.DictReader(io.StringIO(slbench(*arguments, "--csv").out)))
    assert [row["macs"] for row in from_csv] == [str(row["macs"]) for row in from_json]
    assert [row["backbone"] for row in from_csv] == ["vit", "resnet56"]
    assert not any(row["paper_params_millions"] or row["paper_flops_millions"] for row in from_json)


def test_an_inapplicable_method_is_omitted_with_the_reason(slbench: Command) -> None:
    result = slbench(*COUNT, "--backbone", "resnet56", "--method", "none,both")
    assert result.code == 0
    assert not missing(result.out, "ResNet56", "both")


@pytest.mark.slow
def test_a_published_cost_that_differs_from_the_released_code_is_explained(slbench: Command) -> None:
    result = slbench(*COUNT, "--backbone", "swin", "--method", "both")
    assert "10.2" in result.out and "8,652,956" in result.out
    assert not missing(result.out, "SL-Swin", "10.2 M parameters")


@pytest.mark.usefixtures("short_measurements")
def test_throughput_and_memory_are_printed_and_stored_by_machine(slbench: Command, tmp_path: Path) -> None:
    result = slbench(*MEASURE, "--store", tmp_path, "--json")
    assert (result.code, result.err) == (0, "")
    (row,) = json.loads(result.out)
    assert row["training_memory_bytes"] == {
        "median": 3 * 2**20,
        "lowest": 3 * 2**20,
        "highest": 3 * 2**20,
        "n": 3,
        "idle": 2**20,
    }
    assert row["inference_images_per_second"]["n"] == 2
    assert row["inference_images_per_second"]["timing"] == "short"
    assert row["inference_images_per_second"]["median"] > row["train_images_per_second"]["median"] > 0
    here = machine.host().machine_id
    stored = sorted((tmp_path / "throughput" / here).glob("*.json"))
    assert len(stored) == 2
    found = [Store(tmp_path).throughput(here, file.stem) for file in stored]
    assert {speed.median for speed in found if speed} == {
        row["inference_images_per_second"]["median"],
        row["train_images_per_second"]["median"],
    }
    (file,) = (tmp_path / "memory" / here).glob("*.json")
    measured = Store(tmp_path).memory(here, file.stem)
    assert measured is not None and measured.median == 3 * 2**20


@pytest.mark.usefixtures("short_measurements")
def test_the_caption_describes_the_measurement_and_its_difference_from_the_paper(
    slbench: Command, tmp_path: Path
) -> None:
    result = slbench(*MEASURE, "--store", tmp_path)
    assert "3 (3-3)" in result.out
    assert not missing(result.out, "memory", "median", "3 measurements", "1 MiB")
    assert not missing(result.out, "batch 2", "fp32", "--threads 1")
    assert not missing(result.out, "200", "1000 passes", "GPU", "--timing")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--backbone", "vti"], ("vti", "vit")),
        (["--method", "bot"], ("bot", "both")),
        (["--precision", "fp8"], ("--precision", "fp8", "auto", "bf16", "fp32")),
        (["--timing", "long"], ("timing", "long")),
        (["--timing", "paper", "--image-size", "32"], ("--timing", "64", "32")),
        (["--image-size", "31", "--backbone", "vit"], ("shift_ratio", "0.5", "1 px", "0 px")),
    ],
)
def test_invalid_arguments_are_one_line(
    slbench: Command, tmp_path: Path, arguments: list[str], line: tuple[object, ...]
) -> None:
    result = slbench("profile", *arguments, "--store", tmp_path / "new")
    result.check_error(*line)
    assert not (tmp_path / "new").exists()


def test_the_effect_of_spt_on_speed_is_stated_for_the_kind_of_image() -> None:
    def row(backbone: str, method: str, inference: float, train: float) -> dict[str, object]:
        speeds = {"inference_images_per_second": {"median": inference}, "train_images_per_second": {"median": train}}
        return {"backbone": backbone, "method": method, **speeds}

    rgb, gray = ImageShape((32, 32), 3, 10), ImageShape((28, 28), 1, 10)
    rows = [row("vit", "none", 100, 50), row("vit", "spt", 33, 60), row("swin", "spt", 9, 9), row("vit", "both", 1, 1)]
    assert list(shift_effect(rows, rgb)) == ["SPT changes images/s on RGB images of 32 px: ViT −67 % (training +20 %)."]
    (line,) = shift_effect([row("vit", "none", 100, 50), row("vit", "both", 90, 25)], gray)
    assert line == "SPT with LSA changes images/s on gray images of 28 px: ViT −10 % (training −50 %)."
    assert not list(shift_effect([row("vit", "none", 100, 50)], rgb))
