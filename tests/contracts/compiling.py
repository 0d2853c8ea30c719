"""Exports and compiles the small networks of one backbone, every row of it, and names those done.

One row, with all parts that the backbone can have, is also compiled by inductor, which takes most of a minute.
"""

import sys

import torch

from slbench.backbones.layers import Backbone
from tests.contracts.small import PAIRS, images, small


def check(backbone: str, method: str) -> None:
    """Raise unless torch.export and torch.compile take the network whole, and compute what it does."""
    network, batch = small(backbone, method).eval(), images(backbone)
    exported = torch.export.export(network, (batch,)).module()
    torch.testing.assert_close(exported(batch), network(batch))
    compile_with("aot_eager", network, batch)


def compile_with(backend: str, network: Backbone, batch: torch.Tensor) -> None:
    """Raise unless a compiler takes the network without a break in its graph, and it computes what it does."""
    torch.compiler.reset()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(batch), network(batch))


if __name__ == "__main__":
    rows = [row for name, row in PAIRS if name == sys.argv[1]]
    for row in rows:
        check(sys.argv[1], row)
        print(row)
    whole = "both" if "both" in rows else "none"
    compile_with("inductor", small(sys.argv[1], whole).eval(), images(sys.argv[1]))
    print("inductor")
