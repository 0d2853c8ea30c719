"""Contract of models from elsewhere: what the documented table says of each, observed on the model."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from torch import nn

import slbench
from slbench.errors import InapplicableError
from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from slbench.methods import METHODS
from slbench.retrofit.apply import check, retrofit
from slbench.retrofit.embedding import TokensInPlace, linear_maps
from slbench.retrofit.scores import RetrofittedScores
from slbench.retrofit.structure import Structure
from tests.retrofit.observe import images, same_tokens, softmaxes
from tests.retrofit.support import TIMM, TORCHVISION, construct

NAMES = [*(f"timm:{name}" for name in TIMM), *(f"torchvision:{name}" for name in TORCHVISION)]
PRODUCTS = {"matmul", "bmm", "baddbmm", "addmm", "linear", "einsum", "_convolution", "scaled_dot_product_attention"}


@functools.cache
def documented() -> dict[str, str]:
    """Return the verdict of each model in the documented table."""
    page = (Path(__file__).parents[2] / "docs" / "model-support.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    return {row[0].replace("\\", ""): row[2] for row in rows[2:]}


def test_the_table_has_every_model() -> None:
    assert set(documented()) == set(NAMES)
    assert len(TIMM) >= 60


def fitting(structure: Structure) -> list[str]:
    """Return which of SPT and LSA fit."""
    found = []
    for name in ("spt", "lsa"):
        try:
            check(structure, METHODS[name], name)
        except InapplicableError:
            continue
        found.append(name)
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*softmaxes of no products")
@pytest.mark.parametrize("name", NAMES)
def test_a_model_takes_what_the_table_says(name: str) -> None:
    model, size = construct(name)
    structure = slbench.describe(model, size)
    methods = fitting(structure)
    assert documented()[name] == ("refused", "partly", "supported")[len(methods)]
    if not methods:
        return
    retrofit(model, structure, METHODS["both" if len(methods) == 2 else methods[0]], from_scratch=True, seed=1)
    twin = copy.deepcopy(model)
    with torch.no_grad():  # zeros at the start, of layer scales and norms, hide gradients
        source = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.02)
    x = images(size, structure.in_channels)
    with softmaxes(gradients=True) as weights:
        output = first(model(x))
    torch.autograd.backward(output.square().mean())
    assert output.isfinite().all()
    for module in model.modules():
        if isinstance(module, RetrofittedScores | TokensInPlace):
            for parameter in module.parameters():
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, type(module)
    if "lsa" in methods:
        sizes = {found.call.shape[-1] for found in structure.self_attention}  # not those of attention over channels
        values = [value for value in same_tokens(weights) if value.shape[-1] in sizes and value.shape[-1] > 1]
        most = [float(value.diagonal(dim1=-2, dim2=-1).max()) for value in values]
        masked = [value for value in most if value < 1]  # 1: a query that a mask of the model leaves alone
        assert masked.count(0.0) >= len([found for found in structure.self_attention if found.call.shape[-1] > 1])
        crossed = [found.call.shape[-2:] for found in structure.attention if found.relation == "cross"]
        if all(queries != keys for queries, keys in crossed):
            assert set(masked) == {0.0}
    if "spt" in methods:
        check_field(model, structure, size)
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(first(twin(x)), first(model(x)))
    cost = count(twin, shape=ImageShape(size=size, channels=structure.in_channels, classes=10))
    assert not PRODUCTS & set(cost.uncounted_operators)


def first(output: object) -> torch.Tensor:
    """Return the logits of a model that may return those of several heads."""
    tensor = output[0] if isinstance(output, tuple) else output
    assert isinstance(tensor, torch.Tensor)
    return tensor


def check_field(model: nn.Module, structure: Structure, size: tuple[int, int]) -> None:
    """Assert that an inner token of the embedding reads its window and what the shifts add, and nothing else."""
    found = structure.tokenizer
    assert found is not None and found.grid is not None
    module = model.get_submodule(found.path)
    assert len(linear_maps(module)) == 1
    x = images(size, structure.in_channels).requires_grad_()
    row, column = found.grid[0] // 2, found.grid[1] // 2
    output = module(x)
    token = {
        "grid": lambda: output[0, :, row, column],
        "channels last": lambda: output[0, row, column],
        "tokens": lambda: output[0, row * found.grid[1] + column],
    }[found.layout]()
    (gradient,) = torch.autograd.grad(token.sum(), x)
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    shift = METHODS["spt"].pixels(found.stride)
    for index, position in ((rows, row), (columns, column)):
        start = position * found.stride - found.padding
        assert [int(index.min()), int(index.max())] == [start - shift, start + found.kernel - 1 + shift]
