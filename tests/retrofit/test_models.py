"""Contract of models from elsewhere: what the documented table says of each, observed on the model."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import slbench
from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from slbench.methods import Method
from slbench.retrofit.backbone import RetrofittedBackbone
from slbench.retrofit.embedding import TokensInPlace, linear_maps
from slbench.retrofit.scores import RetrofittedScores
from slbench.retrofit.structure import Structure
from tests.retrofit.observe import images, same_tokens, softmaxes
from tests.retrofit.support import VERDICTS, construct, fit
from tests.retrofit.timm_models import family_of

PRODUCTS = {"matmul", "bmm", "baddbmm", "addmm", "linear", "einsum", "_convolution", "scaled_dot_product_attention"}


def documented() -> dict[str, str]:
    """Return the verdict of each model that the documented table names as tested."""
    page = (Path(__file__).parents[2] / "docs" / "model-support.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    return {name: row[2] for row in rows[2:] for name in row[-1].replace("\\", "").split(", ") if name}


DOCUMENTED = documented()


def test_the_table_has_enough_models_and_families() -> None:
    of_timm = [name.partition(":")[2] for name in DOCUMENTED if name.startswith("timm:")]
    assert len(of_timm) >= 60
    assert len({family_of(name) for name in of_timm}) >= 20
    assert len(DOCUMENTED) > len(of_timm)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*softmaxes of no products")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_model_takes_what_the_table_says(name: str) -> None:
    model, size = construct(name)
    structure = slbench.describe(model, size)
    x = images(size, structure.in_channels)
    shape = ImageShape(size=size, channels=structure.in_channels, classes=10)
    with torch.no_grad():
        before = first(model(x))
        plain = RetrofittedBackbone(copy.deepcopy(model), Method(), shape=shape).eval()
        assert torch.equal(plain(x), before)  # method "none"
    methods, _ = fit(model, structure)
    assert DOCUMENTED[name] == VERDICTS[len(methods)]
    if not methods:
        return
    disturb(model)
    with softmaxes(gradients=True) as weights:
        output = first(model(x))
    assert output.isfinite().all()
    check_gradients(model, output)
    if "lsa" in methods:
        check_diagonals(structure, weights)
    if "spt" in methods:
        check_field(model, structure, size)
    twin, _ = construct(name)
    fit(twin, slbench.describe(twin, size))
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(first(twin(x)), output)
        assert not PRODUCTS & set(count(twin, shape=shape).uncounted_operators)


def disturb(model: nn.Module) -> None:
    """Add noise to all parameters: zeros at the start, of layer scales and norms, hide gradients."""
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.02)


def first(output: object) -> Tensor:
    """Return the logits of a model that may return those of several heads."""
    tensor = output[0] if isinstance(output, tuple) else getattr(output, "logits", output)
    assert isinstance(tensor, Tensor)
    return tensor


def check_gradients(model: nn.Module, output: Tensor) -> None:
    """Assert that gradients reach every new parameter."""
    torch.autograd.backward(output.square().mean())
    new = [module for module in model.modules() if isinstance(module, RetrofittedScores | TokensInPlace)]
    assert new
    for module in new:
        for parameter in module.parameters():
            assert parameter.grad is not None, type(module)
            assert parameter.grad.abs().sum() > 0, type(module)


def check_diagonals(structure: Structure, weights: list[Tensor]) -> None:
    """Assert that no token of self-attention has weight on itself, but one that a mask of the model leaves alone."""
    sizes = {found.call.shape[-1] for found in structure.self_attention}  # not those of attention over channels
    values = [value for value in same_tokens(weights) if value.shape[-1] in sizes and value.shape[-1] > 1]
    most = [float(value.diagonal(dim1=-2, dim2=-1).max()) for value in values]
    masked = [value for value in most if value < 1]
    assert masked.count(0.0) >= len([found for found in structure.self_attention if found.call.shape[-1] > 1])
    if all(found.call.shape[-1] != found.call.shape[-2] for found in structure.attention if found.relation == "cross"):
        assert set(masked) == {0.0}


def check_field(model: nn.Module, structure: Structure, size: tuple[int, int]) -> None:
    """Assert that an inner token of the embedding reads its window and what the shifts add, and nothing else."""
    found = structure.tokenizer
    assert found is not None
    assert found.grid is not None
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
    shift = found.stride // 2
    for index, position, side in ((rows, row, size[0]), (columns, column, size[1])):
        start = position * found.stride - found.padding
        ends = [max(start - shift, 0), min(start + found.kernel - 1 + shift, side - 1)]
        assert [int(index.min()), int(index.max())] == ends


COMPILED = """
import gc
import torch
import slbench
from tests.retrofit.observe import images
from tests.retrofit.test_models import DOCUMENTED, construct, disturb, first, fit

for name, verdict in DOCUMENTED.items():
    if verdict == "refused":
        continue
    model, size = construct(name)
    structure = slbench.describe(model, size)
    fit(model, structure)
    disturb(model)
    x = images(size, structure.in_channels)
    with torch.no_grad():
        output = first(model(x))
        compiled = first(torch.compile(model, backend="eager")(x))
    assert torch.allclose(compiled, output, atol=1e-4, rtol=1e-4), (name, (compiled - output).abs().max())
    print(name, flush=True)
    torch._dynamo.reset()
    gc.collect()
"""


@pytest.mark.slow
def test_compiled_models_have_the_outputs_of_the_models() -> None:
    """In a process of its own, since the checks of shapes that pytest adds break graphs."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True, check=False)
    fitting = [name for name, verdict in DOCUMENTED.items() if verdict != "refused"]
    assert done.stdout.split() == fitting, done.stderr[-2000:]
