"""Export and compile the small networks of one backbone with every method, and print each when done.

One method with all parts of the backbone is also compiled by inductor, which takes most of a minute.
"""

import sys

import torch

from slbench.backbones.layers import Backbone
from tests.contracts.small import PAIRS, images, small


def check(backbone: str, method: str) -> None:
    """Raise unless torch.export and torch.compile capture the network without graph breaks and reproduce its output."""
    network, batch = small(backbone, method).eval(), images(backbone)
    exported = torch.export.export(network, (batch,)).module()
    torch.testing.assert_close(exported(batch), network(batch))
    compile_with("aot_eager", network, batch)


def compile_with(backend: str, network: Backbone, batch: torch.Tensor) -> None:
    """Raise unless the network compiles without graph breaks and reproduces its output."""
    torch.compiler.reset()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(batch), network(batch))


if __name__ == "__main__":
    methods = [method for name, method in PAIRS if name == sys.argv[1]]
    for method in methods:
        check(sys.argv[1], method)
        print(method)
    whole = "both" if "both" in methods else "none"
    compile_with("inductor", small(sys.argv[1], whole).eval(), images(sys.argv[1]))
    print("inductor")
