"""Interception of the products, masks and softmax of an attention layer while its own forward runs.

A layer is intercepted by a subclass of its class that is made for it: its parameters keep their names, and torch's
functions stay as they are everywhere else. During its forward a torch function mode sees the calls of the layer:

- `scaled_dot_product_attention` is computed from explicit scores;
- else the products of queries and keys, by `matmul`, `bmm` or `einsum`, are scaled, and their softmax is masked.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from slbench.errors import InputError
from slbench.retrofit.scores import UNSEEN, RetrofittedScores

MATMUL = {torch.Tensor.matmul, torch.Tensor.__matmul__, torch.matmul, torch.bmm, torch.Tensor.bmm}
EINSUM = {torch.einsum, torch.functional.einsum}
SOFTMAX = {torch.Tensor.softmax, torch.softmax, F.softmax}


class Operands(NamedTuple):
    """Queries (... n d) and keys (... m d) of a product."""

    q: Tensor
    k: Tensor


def operands(function: Callable[..., Any], arguments: Sequence[Any]) -> Operands | None:
    """Return the operands of a product of two tensors of two or more axes by one of torch's functions; else None."""
    if function in MATMUL and len(arguments) > 1:
        a, b = arguments[:2]
        if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or min(a.ndim, b.ndim) < 3:
            return None
        return Operands(a, b.transpose(-2, -1))
    if function in EINSUM and isinstance(arguments[0], str):
        return einsum_operands(arguments[0], arguments[1:])
    return None


def einsum_operands(equation: str, tensors: Sequence[Any]) -> Operands | None:
    """Return the operands of an einsum that is a batched product, such as bhid,bhjd->bhij; else None."""
    left, _, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tensors[0]
    if len(terms) != 2 or len(tensors) != 2 or "." in equation or len(out) < 3:
        return None
    *batch, i, j = list(out)
    (contracted,) = inner if len(inner := set(terms[0]) & set(terms[1]) - set(out)) == 1 else ("",)
    if not contracted or set(terms[0]) != {*batch, i, contracted} or set(terms[1]) != {*batch, j, contracted}:
        return None
    q, k = (
        tensor.permute([term.index(axis) for axis in (*batch, last, contracted)])
        for tensor, term, last in zip(tensors, terms, (i, j), strict=True)
    )
    return Operands(q, k)


def softmax_axis(arguments: Sequence[Any], named: dict[str, Any]) -> int | None:
    """Return the axis of a call of softmax, counted from the end; None where it is not given."""
    axis = named.get("dim", arguments[1] if len(arguments) > 1 else None)
    if axis is None:
        return None
    return int(axis) if axis < 0 else int(axis) - arguments[0].ndim


class Calls(TorchFunctionMode):
    """Torch function mode that hands products, softmaxes and fused attention to the methods of a subclass."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        named = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self.fused(*args, **named)
        if func in SOFTMAX and "input" in named:
            args, named = (named["input"], *args), {key: value for key, value in named.items() if key != "input"}
        if func in SOFTMAX and softmax_axis(args, named) == -1:
            scores, *rest = args
            return self.softmax(scores, lambda values: func(values, *rest, **named))
        if func in SOFTMAX:
            self.other_softmax(args[0])
        found = operands(func, args)
        output = func(*args, **named)
        return output if found is None else self.product(found, output)

    def fused(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **named: Any) -> Tensor:
        """Return the output of fused attention."""
        raise NotImplementedError

    def product(self, found: Operands, output: Tensor) -> Tensor:
        """Return a product in place of `output`."""
        raise NotImplementedError

    def softmax(self, scores: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the softmax of scores along the last axis."""
        raise NotImplementedError

    def other_softmax(self, scores: Tensor) -> None:
        """Note a softmax along another axis."""


CallKind = Literal["fused", "product"]


class Plan(NamedTuple):
    """Which calls of a layer belong to its scores, counted from 0 among those of one forward."""

    product: int  # or the fused call
    softmax: int | None  # None: fused
    also_masked: tuple[int, ...] = ()  # softmaxes over the same tokens without products, as of positions


class Progress:
    """What was seen in one forward of a layer; apart from the function mode, whose values torch.compile loses."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0]  # fused calls, products, softmaxes
        self.pending: dict[int, tuple[RetrofittedScores, Operands, Tensor]] = {}  # by softmax
        self.met = 0  # plans of which a call was seen

    def next(self, kind: int) -> int:
        """Return the number of a call of a kind, and count it."""
        number = self.counts[kind]
        self.counts[kind] += 1
        return number


class Apply(Calls):
    """Applies the scores of a layer to its calls."""

    def __init__(self, layer: "Intercepted", progress: Progress) -> None:
        super().__init__()
        self.layer, self.progress = layer, progress

    def fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        q, k, v = query, key, value
        try:
            scores = self.layer.scores_of("fused", self.progress.next(0))
            self.progress.met += 1
        except KeyError:  # not over tokens
            scores = None
        if scores is None or not (scores.changes_scores or scores.observed):
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if is_causal:
            attn_mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
        own = q.shape[-1] ** -0.5 if scale is None else scale
        values = scores(q * own, k, attn_mask=attn_mask)
        if not scores.changes_scores:  # observed only: the outputs are the model's own to the bit
            return F.scaled_dot_product_attention(
                q, k, v, None if is_causal else attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        return F.dropout(values.softmax(-1), dropout_p) @ v

    def product(self, found: Operands, output: Tensor) -> Tensor:
        number = self.progress.next(1)
        for plan, scores in self.layer.plans():
            if plan.softmax is not None and plan.product == number:
                self.progress.pending[plan.softmax] = scores, found, (scaled := scores.scaled(output))
                return scaled
        return output

    def softmax(self, scores: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        number = self.progress.next(2)
        if number in self.progress.pending:
            module, (q, k), products = self.progress.pending.pop(number)
            self.progress.met += 1
            if module.mask_self or module.observed:
                scores = module(q, k, scores=scores, products=products)
        for plan, module in self.layer.plans():
            if number in plan.also_masked and module.mask_self:
                scores = module.masked(scores, scores < UNSEEN)
        return compute(scores)


class Mixin:
    """Mixed into the class of a module by `mixed`; such modules can be copied and pickled."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)
        return (new_mixed, type(self).__bases__, *reduced[2:])


class Intercepted(Mixin):
    """Mixed into the class of an attention layer by `intercept`."""

    seen_calls: tuple[int, ...]  # fused calls, products and softmaxes of the last forward
    attention_plans: dict[str, tuple[CallKind, Plan]]  # by name of the scores module

    def plans(self) -> list[tuple[Plan, RetrofittedScores]]:
        """Return the plan and the scores module of each product of the layer."""
        return [(plan, getattr(self, name)) for name, (_, plan) in self.attention_plans.items()]

    def scores_of(self, kind: CallKind, number: int) -> RetrofittedScores:
        """Return the scores module of a call by its number among the fused calls or the products of the layer.

        Raises:
            KeyError: if there is none.
        """
        for name, (known, plan) in self.attention_plans.items():
            if (known, plan.product) == (kind, number):
                module: RetrofittedScores = getattr(self, name)
                return module
        raise KeyError(kind, number)

    def forward(self, *args: Any, **named: Any) -> Any:
        progress = Progress()
        with Apply(self, progress):
            output = super().forward(*args, **named)  # type: ignore[misc]
        self.seen_calls = tuple(progress.counts)
        if progress.met < len(self.attention_plans):
            raise InputError(
                f"{type(self).__name__}: its attention takes another path than when the method was applied; "
                "choose the path, such as fused or not, before slbench.apply"
            )
        return output


def intercept(layer: nn.Module, plans: dict[str, tuple[CallKind, Plan]]) -> None:
    """Make a layer apply its scores modules, which are its attributes named in `plans`, in place."""
    layer.__class__ = mixed(Intercepted, type(layer))
    layer.attention_plans = plans  # type: ignore[assignment]


MIXED: dict[tuple[type, type], type] = {}


def mixed(mixin: type, kind: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of a class of modules that a mixin extends; one per class, as torch.compile expects."""
    if (mixin, kind) not in MIXED:
        MIXED[mixin, kind] = type(f"Retrofitted{kind.__name__}", (mixin, kind), {"__module__": kind.__module__})
    return MIXED[mixin, kind]


def own_class(module: nn.Module) -> tuple[str, str]:
    """Return package and name of the class of a module, as it was before anything was mixed in."""
    kind = type(module).__bases__[1] if isinstance(module, Mixin) else type(module)
    return kind.__module__, kind.__name__


def new_mixed(mixin: type, kind: type[nn.Module]) -> nn.Module:
    """Return an object of a mixed class without a state, as pickle does of classes that a module names."""
    cls = mixed(mixin, kind)
    return cls.__new__(cls)


class ExplicitAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` by torch's public functions, without its fused path for inference."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs and, if asked for, weights; args as of the class. `is_causal` is a hint, as there."""
        del is_causal
        batched = query.ndim == 3
        inputs = (query, key, value)
        if not batched:
            inputs = tuple(x[None] for x in inputs)  # type: ignore[assignment]
        elif not self.batch_first:
            inputs = tuple(x.transpose(0, 1) for x in inputs)  # type: ignore[assignment]
        q, k, v = (
            F.linear(x, weight, bias).view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
            for x, weight, bias in zip(inputs, *self.projections(), strict=True)
        )
        mask = added_mask(attn_mask, key_padding_mask, q)
        rate, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
            weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), rate)
            mixed = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, rate)
        output = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def projections(self) -> tuple[Sequence[Tensor], Sequence[Tensor | None]]:
        """Return weights and biases of queries, keys and values."""
        weights: Sequence[Tensor] = (
            self.in_proj_weight.chunk(3)
            if self._qkv_same_embed_dim
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        return weights, (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)


def added_mask(attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor) -> Tensor | None:
    """Return the masks of `nn.MultiheadAttention` as one that is added to scores (b h n m), or None."""
    total = None
    if attn_mask is not None:
        total = as_added(attn_mask, q)
        if total.ndim == 3:  # (b * h, n, m)
            total = total.view(-1, q.shape[1], *total.shape[1:])
    if key_padding_mask is not None:
        padding = as_added(key_padding_mask, q).reshape(-1, 1, 1, key_padding_mask.shape[-1])
        total = padding if total is None else total + padding
    return total


def as_added(mask: Tensor, q: Tensor) -> Tensor:
    """Return a mask that is True where a key is hidden as one that is added."""
    return torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, -math.inf) if mask.dtype == torch.bool else mask


def make_explicit(model: nn.Module) -> None:
    """Let every `nn.MultiheadAttention` of a model run by torch's public functions, in place.

    Those with learned extra keys stay as they are.
    """
    for module in model.modules():
        if type(module) is nn.MultiheadAttention and module.bias_k is None and not module.add_zero_attn:
            module.__class__ = ExplicitAttention
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # else inference skips self_attn
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # which only that inference takes
