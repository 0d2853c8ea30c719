"""SPT: hand-computed values, a plain reference, and the receptive field of a token."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slbench.methods import METHODS, Method
from slbench.methods.method import CARDINAL, DIAGONAL, DIRECTIONS
from slbench.methods.spt import OverlappingConv, Patches, Shift, Tokenizer, Windows, tokenizer
from tests.support import naming

IMAGE = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[None, None]


@pytest.mark.parametrize(
    ("direction", "pixels", "expected"),
    [
        ((1, 0), 1, [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        ((-1, 0), 1, [[4, 5, 6], [7, 8, 9], [0, 0, 0]]),
        ((0, 1), 1, [[0, 1, 2], [0, 4, 5], [0, 7, 8]]),
        ((1, 1), 1, [[0, 0, 0], [0, 1, 2], [0, 4, 5]]),
        ((-1, 1), 1, [[0, 4, 5], [0, 7, 8], [0, 0, 0]]),
        ((1, 1), 2, [[0, 0, 0], [0, 0, 0], [0, 0, 1]]),
    ],
)
def test_copies_are_shifted_and_padded_with_zeros(
    direction: tuple[int, int], pixels: int, expected: list[list[int]]
) -> None:
    shifted = Shift((direction,), pixels=pixels)(IMAGE)
    assert shifted[0, 0].tolist() == IMAGE[0, 0].tolist()
    assert shifted[0, 1].tolist() == expected


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=naming("shift", "3 px", "3 x 3")):
        Shift(DIAGONAL, pixels=3)(IMAGE)


def test_directions_are_diagonals_cardinals_or_all_eight() -> None:
    assert sorted(DIAGONAL) == [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    assert sorted(CARDINAL) == [(-1, 0), (0, -1), (0, 1), (1, 0)]
    assert len(set(DIRECTIONS["all8"])) == 8


def test_patches_are_ordered_row_by_row() -> None:
    image = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert Patches(2)(image).tolist()[0][:4] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11], [12, 13, 18, 19]]


def test_windows_are_centred_on_their_patches() -> None:
    image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    windows = Windows(2)(image)
    assert windows.shape == (1, 4, 16)
    assert windows[0, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11]


def reference(images: Tensor, module: Tokenizer, pixels: int, patch: int) -> Tensor:
    """Return SPT in loops: shift by indexing, flatten patch by patch, explicit layer norm and linear map."""
    batch, _, height, width = images.shape
    copies = [images]
    for down, right in DIAGONAL:
        copy = torch.zeros_like(images)
        for row in range(height):
            for column in range(width):
                y, x = row - down * pixels, column - right * pixels
                if 0 <= y < height and 0 <= x < width:
                    copy[:, :, row, column] = images[:, :, y, x]
        copies.append(copy)
    stacked = torch.stack(copies, dim=1).reshape(batch, -1, height, width)
    assert isinstance(module.norm, nn.LayerNorm)
    tokens = []
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            pixels_first = stacked[:, :, top : top + patch, left : left + patch].permute(0, 2, 3, 1)
            flat = pixels_first.reshape(batch, -1)
            centred = flat - flat.mean(dim=1, keepdim=True)
            normal = centred / (centred.square().mean(dim=1, keepdim=True) + module.norm.eps).sqrt()
            normal = normal * module.norm.weight + module.norm.bias
            tokens.append(torch.einsum("bf,df->bd", normal, module.project.weight) + module.project.bias)
    return torch.stack(tokens, dim=1)


def test_spt_equals_a_reference() -> None:
    torch.manual_seed(0)
    module = tokenizer(METHODS["spt"], 3, 7, patch_size=4).double()
    assert isinstance(module, Tokenizer)
    nn.init.normal_(module.norm.weight)  # type: ignore[arg-type]
    images = torch.randn(2, 3, 8, 20, dtype=torch.float64)
    assert torch.allclose(module(images), reference(images, module, pixels=2, patch=4), atol=1e-12)


def receptive_field(method: Method, patch: int, *, token: tuple[int, int] = (1, 1), tokens: int = 3) -> Tensor:
    """Return a mask (h, w) of the pixels with a gradient from one token, with random weights."""
    torch.manual_seed(1)
    module = tokenizer(method, 2, 5, patch_size=patch).double()
    images = torch.randn(1, 2, tokens * patch, tokens * patch, dtype=torch.float64, requires_grad=True)
    module(images)[0, token[0] * tokens + token[1]].square().sum().backward()
    assert images.grad is not None
    return images.grad.abs().sum(dim=(0, 1)) > 0


def test_cardinal_shifts_cover_three_quarters_of_the_diagonal_window() -> None:
    assert receptive_field(METHODS["spt-cardinal"], 4).sum().item() == 0.75 * 8 * 8


def test_the_diagonal_window_has_holes_at_ratio_three_quarters() -> None:
    window = receptive_field(Method(shift="diagonal", shift_ratio=0.75), 4)
    rows, columns = window.any(dim=1), window.any(dim=0)
    assert rows.sum().item() == columns.sum().item() == (1 + 2 * 0.75) * 4
    assert not window[rows][:, columns].all()


def test_spt_without_its_norm_is_an_overlapping_convolution() -> None:
    """Each of its weights is added to that of the pixel it reads."""
    torch.manual_seed(2)
    patch, channels, dim = 4, 3, 5
    spt = tokenizer(METHODS["spt-no-layer-norm"], channels, dim, patch_size=patch).double()
    conv = tokenizer(METHODS["overlapping-conv"], channels, dim, patch_size=patch).double()
    assert isinstance(spt, Tokenizer)
    assert isinstance(conv, OverlappingConv)
    weights = spt.project.weight.detach().reshape(dim, patch, patch, 5, channels).permute(3, 0, 4, 1, 2)
    kernel = torch.zeros(dim, channels, 2 * patch, 2 * patch, dtype=torch.float64)
    for weight, (down, right) in zip(weights, ((0, 0), *DIAGONAL), strict=True):
        top, left = patch // 2 - down * patch // 2, patch // 2 - right * patch // 2
        kernel[:, :, top : top + patch, left : left + patch] += weight
    conv.conv.weight.data, conv.conv.bias.data = kernel, spt.project.bias.data  # type: ignore[union-attr]
    images = torch.randn(2, channels, 8, 12, dtype=torch.float64)
    assert torch.allclose(spt(images), conv(images), atol=1e-12)


def test_the_window_tokenizer_without_norm_is_a_convolution() -> None:
    torch.manual_seed(3)
    windows = Tokenizer(3, 5, patch_size=4, window=2).double()
    images = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    kernel = windows.project.weight.reshape(5, 3, 8, 8)
    expected = F.conv2d(images, kernel, windows.project.bias, stride=4, padding=2).flatten(2).transpose(1, 2)
    assert torch.allclose(windows(images), expected, atol=1e-12)


def test_odd_patch_sizes_give_one_token_per_patch() -> None:
    images = torch.randn(2, 3, 9, 15)
    for method in METHODS.values():
        if method.embedding == "default":
            assert tokenizer(method, 3, 7, patch_size=3)(images).shape == (2, 15, 7)


@pytest.mark.parametrize("name", ["none", "spt", "overlapping-conv", "window-2p"])
def test_a_patch_size_that_does_not_divide_the_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=naming("patch", "4 px", "8 x 10")):
        tokenizer(METHODS[name], 3, 7, patch_size=4)(torch.randn(1, 3, 8, 10))
