"""Settings of torch while a run trains."""

import torch

from slbench.torch_runtime import DETERMINISTIC, reproducible
from tests.contracts.small import loss, small


def settings() -> tuple[object, ...]:
    fills = DETERMINISTIC.fill_uninitialized_memory
    return torch.get_num_threads(), torch.get_deterministic_debug_mode(), fills


def test_settings_hold_within_the_block_and_are_restored() -> None:
    before = settings()
    with reproducible(1):
        assert settings() == (1, 2, False)
    assert settings() == before


def gradients(backbone: str) -> list[torch.Tensor]:
    network = small(backbone, "both").train()
    loss(network, backbone).backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def test_no_gradient_reads_memory_that_is_not_initialised() -> None:
    """Torch fills new memory with NaN only while algorithms are deterministic and the setting is on."""
    for backbone in ("vit", "swin"):
        with reproducible(1):
            without = gradients(backbone)
            DETERMINISTIC.fill_uninitialized_memory = True
            filled = gradients(backbone)
        assert without and all(map(torch.equal, without, filled)), backbone
