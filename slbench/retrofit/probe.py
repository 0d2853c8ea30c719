"""Probe of a foreign model: which modules embed patches and attend, found by running one batch through it."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slbench.errors import InputError
from slbench.methods.lsa import AttentionLogits
from slbench.retrofit.interception import CallKind, Calls, Operands, Plan, own_class

Relation = Literal["self", "cross", "none", "unknown"]
BATCH = 5  # unlike usual numbers of heads
ANCESTORS = 2  # modules around a layer whose inputs may show what its own do not

# Relations of layers, by package and class, whose inputs do not show them: GCViT's global queries are tokens of a
# coarser grid of the whole image.
KNOWN: dict[tuple[str, str], Relation] = {("timm.models.gcvit", "WindowAttentionGlobal"): "cross"}


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
    folded_heads: int | None = None  # heads in the first of 3 axes, as its faster index; None: unknown
    learns_scale: bool = False  # a parameter of the layer is a factor of the scores


@dataclass(eq=False)
class Layer:
    """A module that attends."""

    path: str
    module: nn.Module
    calls: list[Call] = field(default_factory=list)
    counts: tuple[int, ...] = ()  # fused calls, products and softmaxes of one forward
    softmaxes: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)  # number and shape, of all softmaxes
    others: list[tuple[int, ...]] = field(default_factory=list)  # shapes of softmaxes along other axes than the last

    @property
    def num_heads(self) -> int | None:
        """Return the number of heads that the module states."""
        names = ("num_heads", "num_attention_heads", "heads")
        values = (getattr(self.module, name, None) for name in names)
        return next((value for value in values if isinstance(value, int)), None)


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
        """Return the innermost running module that is neither the softmax itself nor scores of slbench."""
        parts = nn.Softmax | AttentionLogits
        path = next(name for name in reversed(self.stack) if not isinstance(self.modules[name], parts))
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

    def other_softmax(self, scores: Tensor) -> None:
        self.layer().others.append(tuple(scores.shape))

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

    Args:
        anchors: by path of a layer, the module whose inputs become leaves: the layer itself or one around it.
    """

    def __init__(self, model: nn.Module, anchors: Mapping[str, str]) -> None:
        super().__init__(model)
        self.anchors = anchors
        self.leaves = dict[str, list[Tensor]]()  # by anchor

    def found(self, call: Call, operands: Operands, flow: tuple[Tensor, Tensor] | None) -> None:
        layer = self.layer()
        leaves = self.leaves.get(self.anchors.get(layer.path, ""), [])
        if leaves:
            call.relation = relation(operands, leaves)
            if call.relation == "unknown":
                call.relation = KNOWN.get(own_class(layer.module), "unknown")
            call.folded_heads = folded_heads(operands.q, leaves, layer.num_heads)
        if flow is not None:
            call.scale_after, call.mixes = factor(*flow)
        if call.relation != "none":
            scores = operands.q @ operands.k.transpose(-2, -1) if flow is None else flow[1]
            call.learns_scale = learns_scale(scores, layer.module.parameters())
        if (call.kind, call.plan) not in [(known.kind, known.plan) for known in layer.calls]:  # else it runs again
            layer.calls.append(call)

    def attended(self, output: Tensor) -> Tensor:
        """Return the output of attention as a new leaf: later attention of the layer starts from these tokens."""
        leaves = self.leaves.get(self.anchors.get(self.layer().path, ""))
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
    for entry in sorted(
        {0, min(1, scores.numel() - 1), min(scores.shape[-1], scores.numel() - 1)}
    ):  # one may be hidden
        score = scores.flatten()[entry]
        (gradient,) = torch.autograd.grad(score, product, retain_graph=True, allow_unused=True)
        if gradient is None:
            return 1.0, True
        if int((gradient != 0).sum()) > 1:
            return 1.0, True
        if (value := float(gradient.flatten()[entry])) > 0:
            return value, False
    return 1.0, False


def folded_heads(q: Tensor, leaves: list[Tensor], stated: int | None) -> int | None:
    """Return the heads in the first axis of queries (s n d), if those of a sequence follow each other there; else None.

    Args:
        leaves: inputs of the layer, with sequences along the first axis.
        stated: heads of the layer.
    """
    if q.ndim != 3 or not q.requires_grad or leaves[0].ndim < 3:
        return None
    sequences = len(leaves[0])
    if len(q) == sequences:
        return 1
    if sequences < 2 or stated is None or len(q) != sequences * stated:
        return None
    for row, sequence in ((0, 0), (stated - 1, 0), (stated, 1)):
        (gradient,) = torch.autograd.grad(q[row].sum(), leaves[:1], retain_graph=True, allow_unused=True)
        if gradient is None or gradient.flatten(1).any(1).nonzero().flatten().tolist() != [sequence]:
            return None
    return stated


def learns_scale(scores: Tensor, parameters: Iterable[nn.Parameter]) -> bool:
    """Return whether a parameter is a factor of scores (s ... n m): one for all heads, or one per head.

    The gradient of a score is nonzero for one value of such a parameter and, unlike that of a bias, differs between
    images.
    """
    sizes = {1, *scores.shape[1:-2]}
    found = [parameter for parameter in parameters if parameter.requires_grad and parameter.numel() in sizes]
    if not found or not scores.requires_grad:
        return False
    last = len(scores) // BATCH * (BATCH - 1)  # the same sequence of the last image
    entry = min(1, scores[0].numel() - 1)
    gradients = [
        torch.autograd.grad(scores[sequence].flatten()[entry], found, retain_graph=True, allow_unused=True)
        for sequence in (0, last)
    ]
    for first, second in zip(*gradients, strict=True):
        if first is None or second is None or int((first != 0).sum()) != 1:
            continue
        if not torch.allclose(first, second, rtol=1e-3, atol=0):
            return True
    return False


@contextlib.contextmanager
def hooked(recorder: Recorder, images: Tensor) -> Iterator[None]:
    """Tell a recorder which modules run and read the images; a prover gets the inputs of its layers as leaves."""

    with contextlib.ExitStack() as hooks:
        for path, module in recorder.modules.items():

            def enter(_module: nn.Module, args: Any, named: Any, path: str = path) -> Any:
                recorder.stack.append(path)
                recorder.counts.pop(path, None)
                if isinstance(recorder, Prover) and path in recorder.anchors.values():
                    return recorder.make_leaves(path, args, named)
                return None

            def leave(_module: nn.Module, args: Any, named: Any, output: Any, path: str = path) -> None:
                recorder.stack.pop()
                if path in recorder.layers:
                    recorder.layers[path].counts = tuple(recorder.counts.get(path, (0, 0, 0)))
                if path and any(shows(value, images) for value in (*args, *named.values())[:1]):
                    recorder.readers.append((path, output))

            hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(leave, with_kwargs=True, always_call=True).remove)
        yield


def shows(value: Any, images: Tensor) -> bool:
    """Return whether a value is the images (b c h w), up to a factor and an offset per channel, and their order."""
    if not isinstance(value, Tensor) or value.shape != images.shape:
        return False
    if torch.equal(value.detach(), images):
        return True
    a, b = (x.detach().float().transpose(0, 1).flatten(1) for x in (value, images))
    a, b = ((x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True).clamp(min=1e-12) for x in (a, b))
    correlation = (a @ b.T).abs() / a.shape[1]
    return bool((correlation > 0.999).sum(1).eq(1).all())


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
    others: tuple[Layer, ...] = ()  # with softmaxes, but of no products


def probe(model: nn.Module, images: Tensor) -> Probe:
    """Return the layers of a model that attend, what their queries and keys are, and what reads the images.

    Args:
        images: `BATCH` images (b c h w) with random values.
    """
    with undisturbed(model):
        first = Recorder(model)
        with torch.no_grad(), hooked(first, images), first:
            model(images)
        layers = proven(model, images, {path: path for path, layer in first.layers.items() if layer.calls})
        anchors = {layer.path: layer.path for layer in layers}
        for _ in range(ANCESTORS):
            unclear = [layer for layer in layers if any(call.relation == "unknown" for call in layer.calls)]
            anchors = {layer.path: path for layer in unclear if (path := around(model, anchors[layer.path]))}
            if anchors:
                settle(unclear, proven(model, images, anchors))
    others = tuple(layer for layer in first.layers.values() if not layer.calls and (layer.softmaxes or layer.others))
    return Probe(layers, tuple(first.readers), others)


def proven(model: nn.Module, images: Tensor, anchors: Mapping[str, str]) -> tuple[Layer, ...]:
    """Return the layers of a model that attend, with relations by the inputs of their anchors."""
    prover = Prover(model, anchors)
    with torch.enable_grad(), hooked(prover, images), prover:
        model(images)
    return tuple(layer for layer in prover.layers.values() if layer.calls)


def around(model: nn.Module, path: str) -> str:
    """Return the path of the nearest module around another that has a forward of its own; "" for the model."""
    path = path.rpartition(".")[0]
    while path and isinstance(model.get_submodule(path), nn.ModuleList | nn.ModuleDict):
        path = path.rpartition(".")[0]
    return path


def settle(unclear: Iterable[Layer], again: Iterable[Layer]) -> None:
    """Set the unknown relations of layers to those found again, where they are known now."""
    found = {layer.path: layer for layer in again}
    for layer in unclear:
        for call, other in zip(layer.calls, found[layer.path].calls, strict=True):
            if call.relation == "unknown" and other.relation in ("self", "cross"):
                call.relation = other.relation
                call.learns_scale = other.learns_scale
