"""Refuse what cannot fit into memory, by lower bounds, before any of it is used. Free of torch."""

from typing import Literal

from slbench.backbones import BACKBONES
from slbench.errors import InputError
from slbench.measure.network import Network
from slbench.spec import RunSpec

Use = Literal["training", "gradients", "forward"]
FP32, BF16 = 4, 2  # bytes of a number; activations of a training may be in bf16
TRAINED_WEIGHTS = 4 * FP32  # a weight, its gradient and the two moments of AdamW


def check_training(spec: RunSpec, device: str, memory: int) -> None:
    """Raise InputError if a run certainly needs more memory than a device has; nothing if that is unknown (0)."""
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
    """Raise InputError if a network with a batch of images certainly needs more than `memory` bytes, if known (0: not).

    Args:
        where: the device, or a flag.
        use: training of the weights; gradients of the images of the batch, one image at a time; or a forward pass of
            one image.
    """
    bounds = network.backbone.lower_bounds(network.shape)
    height, width = network.image_size
    needed = batch * network.in_channels * height * width * FP32
    needed += bounds.parameters * (TRAINED_WEIGHTS if use == "training" else FP32)
    needed += {
        "training": BF16 * bounds.activations * batch,
        "gradients": FP32 * bounds.activations,
        "forward": FP32 * bounds.largest,
    }[use]
    if memory and needed > memory:
        title = BACKBONES[network.backbone.name].title
        raise InputError(
            f"{where}: {title} of {bounds.parameters / 1e6:,.0f} M parameters, {height} x {width} px, batch {batch:,}: "
            f"needs more memory than there is (got {needed / 1e9:,.1f} GB or more); allowed: {memory / 1e9:,.1f} GB; "
            "use a smaller network, image or batch"
        )
