"""Exports the small networks of one backbone, every row of it, compiles two of them, and names those done."""

import sys

import torch

from tests.contracts.small import PAIRS, images, small

COMPILED = ("none", "both")  # a compilation takes tens of seconds, and the other rows are made of the same parts


def check(backbone: str, method: str) -> None:
    """Raise unless torch.export and torch.compile take the network whole, and compute what it does."""
    network, batch = small(backbone, method).eval(), images(backbone)
    expected = network(batch)
    torch.testing.assert_close(torch.export.export(network, (batch,)).module()(batch), expected)
    if method in COMPILED:
        compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(batch), expected)


if __name__ == "__main__":
    for name, row in PAIRS:
        if name == sys.argv[1]:
            check(name, row)
            print(row)
