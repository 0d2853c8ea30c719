"""TokenGrid: where the tokens of an attention layer lie in the image."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TokenGrid:
    """Tokens of an attention layer: a grid of patches in row-major order, after the class token and registers if any.

    A positional mask or bias is made from it. In windows the batch axis of the scores counts windows, image by image.
    """

    height: int  # patch tokens of an image, down
    width: int  # across
    class_token: bool = False  # the first key is the class token
    registers: int = 0  # keys after the class token that belong to no patch
    class_query_only: bool = False  # only the class token is a query, as in class attention
    window: int = 0  # side of a window in tokens; 0: no windows
    shift: int = 0  # cyclic shift of the windows in tokens, down and right

    @property
    def size(self) -> tuple[int, int]:
        """Return the patch tokens (down, across)."""
        return self.height, self.width

    @property
    def prefix(self) -> int:
        """Return the number of keys before the patches."""
        return int(self.class_token) + self.registers

    @property
    def class_query(self) -> bool:
        """Return whether the first query is the class token."""
        return self.class_token or self.class_query_only

    @property
    def queries_are_keys(self) -> bool:
        """Return whether each query is also a key, the first queries being the first keys."""
        return self.class_token or not self.class_query_only

    @property
    def windows(self) -> int:
        """Return the windows per image; 1 without windows."""
        return (self.height // self.window) * (self.width // self.window) if self.window else 1

    @property
    def sides(self) -> tuple[int, int]:
        """Return the patches (down, across) that attend to each other: those of a window, or all."""
        return (self.window, self.window) if self.window else self.size

    def offsets(self) -> Int[Tensor, "two n n"]:
        """Return rows and columns from patch i to patch j, of the patches that attend to each other, row by row."""
        places = torch.stack(torch.meshgrid(*map(torch.arange, self.sides), indexing="ij")).flatten(1)
        return places[:, None, :] - places[:, :, None]

    def to_windows(self, tokens: Shaped[Tensor, "b n *d"]) -> Shaped[Tensor, "b_windows m *d"]:
        """Rearrange tokens from image order to windows, after the shift."""
        grid = rearrange(tokens, "b (h w) ... -> b h w ...", h=self.height)
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), dims=(1, 2))
        return rearrange(grid, "b (h p) (w q) ... -> (b h w) (p q) ...", p=self.window, q=self.window)

    def from_windows(self, tokens: Shaped[Tensor, "b_windows m *d"]) -> Shaped[Tensor, "b n *d"]:
        """Rearrange tokens from windows to image order, before the shift."""
        sides = {"h": self.height // self.window, "w": self.width // self.window, "p": self.window, "q": self.window}
        grid = rearrange(tokens, "(b h w) (p q) ... -> b (h p) (w q) ...", **sides)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), dims=(1, 2))
        return rearrange(grid, "b h w ... -> b (h w) ...")
