"""Training steps compiled by torch.compile, before any clock runs; eager, with a reason, where that fails.

Only the network's forward and backward pass of a training step is compiled, as one graph. Weights, their names,
optimizer, checkpoints and evaluation are those of the eager network, and stochastic depth draws from the same streams.
Sums may be taken in another order, so that a compiled run equals an eager one up to rounding only. Torch keeps compiled
code in the folder that `slbench.grid.processes.compile_environment` names.
"""

import contextlib
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from slbench.text import duration, one_line
from slbench.torch_runtime import autocast
from slbench.train.loop import Training

Forward = Callable[[Tensor], Tensor]
MAX_REASON = 200  # characters
log = logging.getLogger(__name__)


def compile_steps(training: Training, *, threads: int) -> str:
    """Compile the training steps of a run; return "" or why they stay eager.

    Draws no random numbers and changes no weights. Needs `reproducible(threads)`, whose threads are compiled in.
    """
    if reason := missing_compiler(training.device.type):
        return reason
    began = time.monotonic()
    try:
        with quiet():
            torch.compiler.reset()  # graphs of earlier runs of this process count towards a limit
            forward = compiled(training.network, threads=threads)

            def cast(images: Tensor) -> Tensor:
                with autocast(training.device, training.precision):  # as in a training step
                    return forward(images)

            warm_up(training.network, cast, first_and_last_batch(training))
    except Exception as error:  # of any kind: what is wrong with the network itself shows in the eager step
        return one_line(reason_of(error))[:MAX_REASON]
    training.forward = forward
    log.info("training steps compiled in %s", duration(time.monotonic() - began))
    return ""


def missing_compiler(device_kind: str) -> str:
    """Return that a processor has no C++ compiler, which saves the imports that would find that out; "" if it has."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device_kind != "cpu" or shutil.which(name):
        return ""
    return f"no C++ compiler: {name} is not installed (another one: CXX)"


def compiled(network: nn.Module, *, threads: int) -> Forward:
    """Return the compiled forward pass of a network, which compiles when it is first called with a shape.

    Each shape has a graph of its own, whatever shapes came before, so that a resumed run computes the same bits.
    """
    network_of_graph: Forward = torch.compile(
        network,
        fullgraph=True,
        dynamic=False,
        options={"fallback_random": True, "cpp.threads": threads},  # random numbers as in the eager network
    )
    return lambda images: network_of_graph(images.contiguous())


def warm_up(network: nn.Module, forward: Forward, batches: Iterable[Tensor]) -> None:
    """Run a forward and backward pass on each batch of images; leave the network in training mode, else as it was."""
    network.train()
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # running statistics
    try:
        for images in batches:
            forward(images).float().sum().backward()  # type: ignore[no-untyped-call]
    finally:
        network.zero_grad()
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])


def first_and_last_batch(training: Training) -> Iterator[Tensor]:
    """Yield the images of the first batch of an epoch, and of the last if there are fewer."""
    recipe, images = training.spec.recipe, training.spec.epoch_images
    sizes = set[int]()
    for number in (0, recipe.batches(images) - 1):
        batches = training.training.training(recipe, seed=training.spec.seed, epoch=1, first=number, images=images)
        batch = next(iter(batches))
        if len(batch.images) not in sizes:
            sizes.add(len(batch.images))
            yield batch.images


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what torch says of its own code while it compiles."""
    torch_log = logging.getLogger("torch")
    before = torch_log.level
    torch_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch_log.setLevel(before)


def reason_of(error: Exception) -> str:
    """Return the first line of an error, with its type."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
