"""Refuse what cannot fit into memory or takes too long, by lower bounds, before it is begun. Free of torch."""

from typing import Literal

from slbench.backbones import backbone_entry, lower_bounds
from slbench.errors import InputError
from slbench.limits import NETWORK_MACS
from slbench.measure.network import Network
from slbench.spec import RunSpec

Use = Literal["training", "gradients", "forward"]
FP32, BF16 = 4, 2  # bytes of a number; activations of a training may be in bf16
TRAINED_WEIGHTS = 4 * FP32  # a weight, its gradient and the two moments of AdamW


def check_training(spec: RunSpec, device: str, memory: int) -> None:
    """Raise InputError if a run certainly needs more than the free `memory` bytes of a device, or too much time.

    Nothing is compared with an unknown memory (0).
    """
    batch = min(spec.recipe.batch_size, spec.samples_per_epoch)
    check_network(Network.of(spec), memory, batch=batch, where=device)


def check_network(
    network: Network,
    memory: int,
    *,
    batch: int,
    where: str,
    use: Use = "training",
) -> None:
    """Raise InputError if a network with a batch of images certainly needs more than the free `memory` bytes.

    Nothing is compared with an unknown memory (0). Multiply-adds per image above NETWORK_MACS are refused too.

    Args:
        where: the device, or a flag.
        use: training of the weights; gradients of the images of the batch, one image at a time; or a forward pass of
            one image.
    """
    bounds = lower_bounds(network.backbone, network.method, shape=network.shape)
    height, width = network.image_size
    needed = batch * network.in_channels * height * width * FP32
    needed += bounds.parameters * (TRAINED_WEIGHTS if use == "training" else FP32)
    needed += {
        "training": BF16 * bounds.activations * batch,
        "gradients": FP32 * bounds.activations,
        "forward": FP32 * bounds.largest,
    }[use]
    name = backbone_entry(network.backbone.name).title
    title = f"{name} of {bounds.parameters / 1e6:,.0f} M parameters, {height} x {width} px"
    if memory and needed > memory:
        raise InputError(
            f"{where}: {title}, batch {batch:,}: needs more memory than is free (got {needed / 1e9:,.1f} GB or more); "
            f"allowed: {memory / 1e9:,.1f} GB; use a smaller network, image or batch"
        )
    if bounds.macs > (most := NETWORK_MACS.value):
        raise InputError(
            f"{where}: {title}: needs too many multiply-adds per image (got {bounds.macs:.3g} or more); "
            f"allowed: {most:.3g}; use a smaller network or image, or raise {NETWORK_MACS.variable}"
        )
