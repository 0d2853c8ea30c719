"""Sizes on the command line are bounded before memory or time is spent."""

from pathlib import Path

import pytest

from slbench import machine
from slbench.limits import NETWORK_MACS
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    "arguments",
    [
        "profile --image-size 100000",
        "profile --classes 999999999999",
        "profile --in-chans 1000000",
        "profile --batch-size 99999999999",
        "analyze receptive-field --images 99999999999",
        "analyze receptive-field --image-size 99999999",
    ],
)
def test_a_size_above_its_bound_is_refused(slbench: Command, arguments: str) -> None:
    *_, size = words = arguments.split()
    slbench(*words).check_error("must be at most", size)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ("profile --backbone t2t --no-throughput --image-size 4096", "--image-size"),
        ("analyze receptive-field --backbone vit --image-size 4096 --images 100000", "--images"),
        ("profile --backbone vit --method none --image-size 64 --batch-size 1000000 --devices cpu", "cpu"),
    ],
)
def test_a_network_that_cannot_fit_into_memory_is_refused(
    slbench: Command, tmp_path: Path, arguments: str, flag: str
) -> None:
    slbench(*arguments.split(), "--store", tmp_path).check_error(f"{flag}: ", "GB", "allowed")


def test_a_grid_that_cannot_fit_into_memory_is_refused(slbench: Command, tmp_path: Path) -> None:
    sizes = ("dim=16384", "num_heads=64", "depth=100", "mlp_ratio=8.0")
    grid = ["run-grid", "--backbone", "vit", "--method", "none", "--devices", "cpu", "--store", tmp_path / "results"]
    grid += [argument for size in sizes for argument in ("--set", f"backbone.{size}")]
    slbench(*grid).check_error("cpu: ViT", "M parameters", "GB", "allowed")
    assert not (tmp_path / "results").exists()


def test_networks_are_compared_with_the_free_memory_and_the_limit_of_multiply_adds(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = ["run-grid", "--method", "none", "--devices", "cpu", "--store", tmp_path / "results"]
    with monkeypatch.context() as patched:
        patched.setattr(machine, "available_memory", lambda: 10**6)
        slbench(*grid).check_error("cpu: ViT", "free", "GB", "allowed")
    monkeypatch.setenv(NETWORK_MACS.variable, "1e3")
    for flags in ([], ["--plan"]):
        slbench(*grid, *flags).check_error("cpu: ViT", "multiply-adds", "1e+03", NETWORK_MACS.variable)
    slbench("profile", "--backbone", "vit", "--no-throughput").check_error("multiply-adds", NETWORK_MACS.variable)
    assert not (tmp_path / "results").exists()


def test_an_image_size_that_fits_no_shift_names_its_flag_and_the_network(slbench: Command) -> None:
    slbench("profile", "--backbone", "vit", "--no-throughput", "--image-size", 31).check_error(
        "--image-size 31: ViT, spt: shift_ratio"
    )


def test_a_device_named_twice_is_refused(slbench: Command) -> None:
    slbench("run-grid", "--method", "none", "--devices", "cpu,cpu", "--plan").check_error("--devices", "cpu,cpu")


@pytest.mark.parametrize("command", ["run-grid", "status", "export"])
def test_a_path_that_is_too_long_is_refused(slbench: Command, command: str) -> None:
    slbench(command, "x" * 300, *(["x.tar"] if command == "export" else [])).check_error("x" * 300)
