"""GPU self-test run on the CPU: the report is complete, and each check can fail."""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from slbench import gpu_check
from slbench.gpu_check import Check, attempt, binding, memory, near_losses, same_losses, share
from slbench.grid.slots import Device
from slbench.image_shape import ImageShape
from slbench.measure.network import Network
from slbench.measure.throughput_keys import TIMINGS
from slbench.methods import METHODS
from tests.support import missing

CPU, PROCESSOR = torch.device("cpu"), Device("cpu", "Processor", False)
FEW = [("vit", "both"), ("swin", "none")]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PAIRS", FEW)


@pytest.mark.usefixtures("few")
def test_losses_on_one_device_are_equal_and_near_in_bf16() -> None:
    line, passed = same_losses(CPU)
    assert passed and not missing(line, "2 networks", "0.0e+00")
    line, passed = near_losses(CPU)
    assert passed and not missing(line, "loss", "bf16", "fp32", "cpu")
    assert "difference 0.0e+00" not in line  # bf16 was used


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("wrong", [1.01, math.nan])
def test_a_device_with_other_losses_fails(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    original, calls = gpu_check.losses, iter(range(100))

    def disturbed(*pair: str, **how: Any) -> list[float]:
        values = original(*pair, **how)
        return [values[0] * wrong, *values[1:]] if next(calls) == 0 else values

    monkeypatch.setattr(gpu_check, "losses", disturbed)
    line, passed = same_losses(CPU)
    assert not passed and not missing(line, "vit", "both", "0.001")


def test_differences_are_relative_and_infinite_for_nan() -> None:
    assert share([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert share([math.nan, 2.0], [1.0, 2.0]) == math.inf


def test_a_worker_process_on_the_cpu_sees_no_gpu() -> None:
    line, alone = binding(PROCESSOR)
    assert alone and not missing(line, "cpu", "[]")


@pytest.mark.parametrize(("seen", "passed"), [("['a1']", True), ("['b2']", False), ("['a1', 'b2']", False)])
def test_a_worker_process_that_sees_other_gpus_fails(monkeypatch: pytest.MonkeyPatch, seen: str, passed: bool) -> None:
    environments: list[dict[str, str]] = []

    def run(*_: object, **how: Any) -> SimpleNamespace:
        environments.append(how["env"])
        return SimpleNamespace(stdout=seen + "\n")

    monkeypatch.setattr(gpu_check.subprocess, "run", run)  # type: ignore[attr-defined]
    line, alone = binding(Device("cuda:1", "GPU", True, cuda="GPU-a1"))
    assert alone == passed and not missing(line, "cuda:1", seen, "cuda:0")
    assert environments[0]["CUDA_VISIBLE_DEVICES"] == "GPU-a1"


def test_memory_below_the_parameters_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from slbench.measure import memory as measuring

    for peak, passed in ((43, True), (42, False)):  # 16 bytes for each of 2,756,744 parameters are 42.06 MiB
        result = measuring.Peak((100 + peak) * 2**20, 100 * 2**20)
        monkeypatch.setattr(measuring, "in_child", lambda request, result=result: result)
        line, fits = memory(CPU, PROCESSOR)
        assert fits == passed and not missing(line, "ViT", "batch 16", f"{peak} MiB", "42")


def test_an_exception_becomes_a_failed_check() -> None:
    def broken() -> tuple[str, bool]:
        raise RuntimeError("CUDA error: no kernel image\nmore of it")

    assert attempt("bf16", broken) == Check("bf16", "RuntimeError: CUDA error: no kernel image", False)


@pytest.mark.usefixtures("few")
def test_the_report_has_a_line_per_check(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("binding", "memory", "throughput", "graphs"):
        monkeypatch.setattr(gpu_check, name, lambda *arguments, name=name: (f"{name} done", True))
    assert [check.name for check in gpu_check.run_gpu_check(PROCESSOR)] == [
        "binding",
        "golden losses",
        "bf16",
        "allocator",
        "throughput",
    ]


def test_throughput_reports_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Network.resolve(gpu_check.SMALL["vit"][0], METHODS["none"], shape=ImageShape((8, 12), 5, 7))
    monkeypatch.setattr(gpu_check, "paper_network", lambda method: small)
    timing = dataclasses.replace(TIMINGS["paper"], warmup=1, rounds=2, passes=2)
    monkeypatch.setattr(gpu_check, "model_title", lambda title, row: row)
    with pytest.raises(ValueError, match="zip"):  # one network for two methods
        gpu_check.throughput(CPU, PROCESSOR, timing)
    networks = {
        "none": small,
        "both": dataclasses.replace(small, num_classes=8),
    }
    monkeypatch.setattr(gpu_check, "paper_network", lambda method: networks[method])
    line, passed = gpu_check.throughput(CPU, PROCESSOR, timing)
    assert passed and not missing(line, "images/s", "64 px", "fp32", "1 + 4", "128")
