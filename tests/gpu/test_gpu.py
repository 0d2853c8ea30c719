"""What only a GPU can show, by the checks of `slbench doctor --selftest`: run by `make gpu-check`."""

from collections.abc import Callable

import pytest
import torch

from slbench import gpu_check
from slbench.grid.slots import Device, devices

pytestmark = pytest.mark.gpu
CHECKS: dict[str, Callable[[Device, torch.device], tuple[str, bool]]] = {
    "each child sees its own device alone": lambda device, there: gpu_check.binding(device),
    "golden losses are the processor's": lambda device, there: gpu_check.same_losses(there),
    "bf16 is near fp32": lambda device, there: gpu_check.near_losses(there),
    "a step holds what it must": lambda device, there: gpu_check.memory(there, device),
    "a captured graph computes the same": lambda device, there: gpu_check.graphs(there),
}


@pytest.mark.parametrize("check", CHECKS)
def test_every_gpu(check: str) -> None:
    gpus = [device for device in devices().values() if device.kind == "cuda"]
    assert gpus, "torch sees a GPU and slbench does not"
    for device in gpus:
        found, passed = CHECKS[check](device, torch.device(device.label))
        assert passed, f"{device.label}: {found}"


def test_memory_is_given_back_after_it_was_measured() -> None:
    device = next(device for device in devices().values() if device.kind == "cuda")
    before = torch.cuda.memory_allocated()
    gpu_check.memory(torch.device(device.label), device)
    assert torch.cuda.memory_allocated() == before
