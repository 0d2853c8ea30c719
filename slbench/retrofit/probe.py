"""Probe of a foreign model: which modules embed patches and attend, found by running one batch through it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slbench.errors import InputError
from slbench.retrofit.interception import CallKind, Calls, Operands, Plan

Relation = Literal["self", "cross", "none", "unknown"]
BATCH = 5  # unlike usual numbers of heads


@dataclass(eq=False)
class Call:
    """A product of queries and keys that a softmax follows, in a forward of a layer."""

    kind: CallKind
    plan: Plan
    shape: tuple[int, ...]  # of the scores
    head_dim: int
    scale: float | None  # that the model applies; None: unknown
    scale_after: float = 1.0  # the part of it that is applied to the product
    mixes: bool = False  # heads are mixed between product and softmax
    relation: Relation = "none"


@dataclass(eq=False)
class Layer:
    """A module that attends."""

    path: str
    module: nn.Module
    calls: list[Call] = field(default_factory=list)
    counts: tuple[int, ...] = ()  # fused calls, products and softmaxes of one forward
    softmaxes: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)  # number and shape, of all softmaxes


class Recorder(Calls):
    """Records the calls of attention by the module that makes them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.stack = list[str]()
        self.modules = dict(model.named_modules())
        self.layers = dict[str, Layer]()
        self.counts = dict[str, list[int]]()
        self.open = dict[str, list[tuple[int, Operands, Tensor]]]()  # products of a layer that no softmax followed yet
        self.mixing = set[str]()  # layers whose next product is that of weights and values
        self.readers = list[tuple[str, Any]]()  # modules that read the images, the innermost first, and their outputs

    def layer(self) -> Layer:
        """Return the innermost running module that is not the softmax itself."""
        path = next(name for name in reversed(self.stack) if not isinstance(self.modules[name], nn.Softmax))
        return self.layers.setdefault(path, Layer(path, self.modules[path]))

    def number(self, kind: int) -> int:
        path = self.layer().path
        counts = self.counts.setdefault(path, [0, 0, 0])
        counts[kind] += 1
        return counts[kind] - 1

    def fused(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **named: Any) -> Tensor:
        q, k, v = query, key, value
        if named.get("enable_gqa"):
            raise InputError("attention of grouped queries is not supported")
        own = named.get("scale")
        scale = q.shape[-1] ** -0.5 if own is None else float(own)
        shape = (*q.shape[:-1], k.shape[-2])
        call = Call("fused", Plan(self.number(0), None), shape, q.shape[-1], scale)
        self.found(call, Operands(q, k), None)
        return self.attended(torch.nn.functional.scaled_dot_product_attention(q, k, v, *args, **named))

    def product(self, found: Operands, output: Tensor) -> Tensor:
        number = self.number(1)
        if self.layer().path in self.mixing:  # the product of weights and values
            self.mixing.discard(self.layer().path)
            return self.attended(output)
        self.open.setdefault(self.layer().path, []).append((number, found, output))
        return output

    def softmax(self, scores: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        number, layer = self.number(2), self.layer()
        layer.softmaxes.append((number, tuple(scores.shape)))
        products = self.open.get(layer.path, [])
        for position in reversed(range(len(products))):
            product, found, output = products[position]
            if output.shape[-2:] == scores.shape[-2:] and output.numel() == scores.numel():
                call = Call("product", Plan(product, number), tuple(output.shape), found.q.shape[-1], None)
                self.found(call, found, (output, scores))
                del products[position]
                self.mixing.add(layer.path)
                break
        return compute(scores)

    def attended(self, output: Tensor) -> Tensor:
        """Return the output of attention."""
        return output

    def found(self, call: Call, operands: Operands, flow: tuple[Tensor, Tensor] | None) -> None:
        """Keep a call; `flow` is its product and what its softmax receives."""
        del operands, flow
        self.layer().calls.append(call)


class Prover(Recorder):
    """Records calls and proves by gradients which have the same tokens as queries and keys.

    The inputs of each attention layer become leaves. Scores of query i and key j depend on the inputs of both; if
    queries and keys are the same tokens, those of i and j depend on exactly what those of (i, i) and (j, j) depend on.
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        super().__init__(model)
        self.paths = paths
        self.leaves = dict[str, list[Tensor]]()

    def found(self, call: Call, operands: Operands, flow: tuple[Tensor, Tensor] | None) -> None:
        layer = self.layer()
        leaves = self.leaves.get(layer.path, [])
        if leaves:
            call.relation = relation(operands, leaves)
        if flow is not None:
            call.scale_after, call.mixes = factor(*flow)
        if (call.kind, call.plan) not in [(known.kind, known.plan) for known in layer.calls]:  # else it runs again
            layer.calls.append(call)

    def attended(self, output: Tensor) -> Tensor:
        """Return the output of attention as a new leaf: later attention of the layer starts from these tokens."""
        leaves = self.leaves.get(self.layer().path)
        if leaves is None:
            return output
        leaves.append(output.detach().clone().requires_grad_())
        return leaves[-1].clone()

    def make_leaves(self, path: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """Replace the tensors among the inputs of a layer by leaves; the same tensor becomes the same leaf."""
        copies = dict[int, Tensor]()

        def leaf(value: Any) -> Any:
            if not isinstance(value, Tensor) or not value.is_floating_point():
                return value
            if id(value) not in copies:
                copies[id(value)] = value.detach().clone().requires_grad_()
            return copies[id(value)].clone()  # the layer may change it in place

        replaced = tuple(map(leaf, args)), {name: leaf(value) for name, value in named.items()}
        self.leaves[path] = list(copies.values())
        return replaced


def relation(operands: Operands, leaves: list[Tensor]) -> Relation:
    """Return whether queries and keys are the same tokens, tokens of other kinds, or no tokens."""
    q, k = (tensor.flatten(0, -3)[:1] for tensor in operands)  # the first sequence and head
    queries, keys = q.shape[-2], k.shape[-2]
    if not (q.requires_grad or k.requires_grad):
        return "none"

    def support(tensor: Tensor, row: int) -> list[Tensor]:
        """Return which values of the inputs a row depends on."""
        if not tensor.requires_grad:
            return [torch.zeros_like(leaf, dtype=torch.bool) for leaf in leaves]
        source = torch.Generator().manual_seed(row)
        weights = torch.randn(tensor.shape[-1], generator=source).to(tensor)
        gradients = torch.autograd.grad((tensor[0, row] * weights).sum(), leaves, retain_graph=True, allow_unused=True)
        return [
            torch.zeros_like(leaf, dtype=torch.bool) if gradient is None else gradient != 0
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ]

    def same(a: list[Tensor], b: list[Tensor]) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    def reads(parts: list[Tensor]) -> set[int]:
        """Return the numbers of the leaves that a row depends on."""
        return {number for number, part in enumerate(parts) if part.any()}

    def over(axis: int, parts: list[Tensor]) -> list[Tensor]:
        """Return supports reduced along an axis, that of the channels."""
        return [part.any(axis) if part.ndim > 1 else part for part in parts]

    rows = sorted({0, keys // 2, keys - 1})
    of_keys = {row: support(k, row) for row in rows}
    if len(rows) > 1 and same(of_keys[rows[0]], of_keys[rows[-1]]):
        return "none"  # every key depends on the same inputs: channels, or pooled
    if queries != keys or queries < 2:
        return "cross"
    of_queries = {row: support(q, row) for row in rows}
    rows = [row for row in rows if reads(of_keys[row]) or reads(of_queries[row])]  # the others are padding
    if not rows or not all(reads(of_queries[row]) & reads(of_keys[row]) for row in rows):
        return "unknown"  # queries and keys come from other inputs, or from none
    if all(same(of_queries[row], of_keys[row]) for row in rows):
        return "self"
    for axis in (-1, 1):  # queries and keys may be made of other channels of the same tokens
        tokens = {row: over(axis, parts) for row, parts in of_keys.items()}
        distinct = len(rows) > 1 and not same(tokens[rows[0]], tokens[rows[-1]])
        if distinct and all(same(over(axis, of_queries[row]), tokens[row]) for row in rows):
            return "self"
    return "cross"


def factor(product: Tensor, scores: Tensor) -> tuple[float, bool]:
    """Return d score / d product, and whether a score depends on the products of several heads."""
    if not product.requires_grad or not scores.requires_grad:
        return 1.0, False
    (gradient,) = torch.autograd.grad(scores.flatten()[0], product, retain_graph=True, allow_unused=True)
    if gradient is None:
        return 1.0, True
    value = float(gradient.flatten()[0])
    mixes = int((gradient != 0).sum()) > 1
    return (value, mixes) if value > 0 and not mixes else (1.0, mixes)


@contextlib.contextmanager
def hooked(recorder: Recorder, images: Tensor) -> Iterator[None]:
    """Tell a recorder which modules run and read the images; a prover gets the inputs of its layers as leaves."""

    def reads_images(args: Sequence[Any]) -> bool:
        return (
            bool(args)
            and isinstance(args[0], Tensor)
            and args[0].shape == images.shape
            and torch.equal(args[0].detach(), images)
        )

    with contextlib.ExitStack() as hooks:
        for path, module in recorder.modules.items():

            def enter(_module: nn.Module, args: Any, named: Any, path: str = path) -> Any:
                recorder.stack.append(path)
                recorder.counts.pop(path, None)
                if isinstance(recorder, Prover) and path in recorder.paths:
                    return recorder.make_leaves(path, args, named)
                return None

            def leave(_module: nn.Module, args: Any, named: Any, output: Any, path: str = path) -> None:
                recorder.stack.pop()
                if path in recorder.layers:
                    recorder.layers[path].counts = tuple(recorder.counts.get(path, (0, 0, 0)))
                if path and reads_images(args or tuple(named.values())):
                    recorder.readers.append((path, output))

            hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(leave, with_kwargs=True, always_call=True).remove)
        yield


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode without a trace: random state and modes of modules are restored."""
    modes = {module: module.training for module in model.modules()}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # of the CPU alone
        model.eval()
        try:
            yield
        finally:
            model.train()  # some models drop what they kept for inference
            for module, mode in modes.items():
                module.training = mode


@dataclass(frozen=True, eq=False)
class Probe:
    """What one batch of images through a model showed."""

    layers: tuple[Layer, ...]  # that attend, in order of computation
    readers: tuple[tuple[str, Any], ...]  # modules that read the images, the innermost first, and their outputs


def probe(model: nn.Module, images: Tensor) -> Probe:
    """Return the layers of a model that attend, what their queries and keys are, and what reads the images.

    Args:
        images: `BATCH` images (b c h w) with random values.
    """
    with undisturbed(model):
        first = Recorder(model)
        with torch.no_grad(), hooked(first, images), first:
            model(images)
        prover = Prover(model, [path for path, layer in first.layers.items() if layer.calls])
        with torch.enable_grad(), hooked(prover, images), prover:
            model(images)
    return Probe(tuple(layer for layer in prover.layers.values() if layer.calls), tuple(first.readers))
