"""Random images, and what the softmaxes of a forward return."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def images(size: tuple[int, int], channels: int = 3) -> Tensor:
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))


class Softmaxes(TorchFunctionMode):
    """Keeps the outputs of every softmax, whoever calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = list[Tensor]()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in (torch.Tensor.softmax, torch.softmax, F.softmax):
            self.weights.append(output.detach())
        return output


@contextmanager
def softmaxes(*, gradients: bool = False) -> Iterator[list[Tensor]]:
    with Softmaxes() as seen, torch.set_grad_enabled(gradients):
        yield seen.weights


def same_tokens(weights: list[Tensor]) -> list[Tensor]:
    return [value for value in weights if value.shape[-1] == value.shape[-2]]
