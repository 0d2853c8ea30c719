"""Steps of a receptive field: kernel, stride and padding of each layer from the image to a token."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Step:
    """Kernel, stride and padding of one layer, equal along both axes."""

    name: str
    kernel: int  # inputs per output
    stride: int = 1
    padding: int = 0  # before the first input
    padding_after: int | None = None  # after the last input; default: padding

    def outputs(self, inputs: int) -> int:
        """Return the number of outputs along an axis of `inputs`."""
        after = self.padding if self.padding_after is None else self.padding_after
        return (inputs + self.padding + after - self.kernel) // self.stride + 1

    def __str__(self) -> str:
        return f"{self.name} {self.kernel}/{self.stride}"


Chain = tuple[Step, ...]  # from the image to the output


def steps_of(*modules: nn.Module) -> Chain:
    """Return the steps of modules that run in order, and whose children run in order.

    A module of its own kind says its steps in an attribute `receptive_steps`. Pointwise layers have none.
    """
    return tuple(step for module in modules for step in module_steps(module))


def module_steps(module: nn.Module) -> Chain:
    declared: Chain | None = getattr(module, "receptive_steps", None)
    if declared is not None:
        return declared
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d):
        return steps_of(*module.children())
    kernel, stride, padding, dilation = (
        one_side(size) for size in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    return (Step("conv" if isinstance(module, nn.Conv2d) else "pool", dilation * (kernel - 1) + 1, stride, padding),)


def one_side(size: object) -> int:
    """Return the common size of both axes."""
    if isinstance(size, int):
        return size
    assert isinstance(size, tuple) and len(set(size)) == 1, f"{size}: differs between the axes"
    return int(size[0])
