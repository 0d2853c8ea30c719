"""Peak memory of a training step against known sizes."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from slbench import machine
from slbench.backbones import count_parameters
from slbench.backbones.specs import ViTSpec
from slbench.errors import TrainingError
from slbench.image_shape import ImageShape
from slbench.measure import memory
from slbench.measure.network import Network
from slbench.measurement_records import TrainingMemory
from slbench.methods import METHODS
from slbench.store import Store
from tests.support import naming

NETWORK = Network.resolve(
    ViTSpec(patch_size=16, dim=8, depth=1, num_heads=1),
    METHODS["none"],
    shape=ImageShape((32, 32), 3, 10),
)
MIB = 2**20


def measure(network: Network, *, batch_size: int = 4, repeats: int = 1) -> TrainingMemory:
    return memory.measure(
        network,
        machine_id="m",
        device=torch.device("cpu"),
        device_label="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
        batch_size=batch_size,
        repeats=repeats,
    )


def test_peak_memory_is_at_least_weights_gradients_and_two_moments_without_the_parent_process() -> None:
    allocated = torch.ones(600 * MIB // 4)
    assert machine.peak_resident_bytes() > 600 * MIB
    del allocated
    wide = dataclasses.replace(NETWORK, backbone=ViTSpec(patch_size=16, dim=1024, depth=1, num_heads=1))
    size = 4 * count_parameters(wide.backbone, wide.method, shape=wide.shape)
    assert size > 30 * MIB
    result = measure(wide)
    assert 50 * MIB < result.idle < machine.peak_resident_bytes() - 300 * MIB  # an interpreter that has imported torch
    assert 4 * size < result.median - result.idle < 12 * size


@pytest.mark.slow
def test_peak_memory_grows_with_the_batch() -> None:
    one, many = measure(NETWORK, batch_size=1), measure(NETWORK, batch_size=4096)
    images = 4096 * 3 * 32 * 32 * 4  # bytes
    assert many.median - one.median > images


def test_repeated_measurements_have_median_range_and_count(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([30, 10, 20])
    monkeypatch.setattr(memory, "in_child", lambda request: memory.Peak(next(peaks), 5))
    result = measure(NETWORK, repeats=3)
    assert (result.median, result.lowest, result.highest, result.n, result.idle) == (20, 10, 30, 3, 5)


def test_the_error_of_a_failed_worker_process_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match=naming("memory", "vit", "exit code 1")):
        measure(NETWORK)


def test_memory_is_stored_by_machine_and_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    result = TrainingMemory(
        key="k",
        machine_id="m",
        device="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
        batch_size=4,
        median=2,
        lowest=1,
        highest=3,
        n=3,
        idle=1,
        measured_at="2025-11-22T23:12:54+00:00",
    )
    store.add_memory(result)
    assert store.memory("m", "k") == result
    assert store.memory("other", "k") is None
