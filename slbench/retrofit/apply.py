"""Put a method into a model from elsewhere: its embedding, its merging layers, its attention."""

import dataclasses
import warnings
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slbench.errors import InapplicableError, InputError, RetrofitWarning
from slbench.methods import METHODS, Method
from slbench.methods.lsa import AttentionLogits
from slbench.names import lookup
from slbench.retrofit.embedding import add_copies, replacement
from slbench.retrofit.interception import intercept
from slbench.retrofit.probe import BATCH, undisturbed
from slbench.retrofit.scores import RetrofittedScores
from slbench.retrofit.structure import LOOKED_FOR, FoundAttention, Structure, examine


def describe(model: nn.Module, image_size: int | tuple[int, int] | None = None) -> Structure:
    """Return what a method would meet in a model: tokenizer, attention layers, grids, class tokens, pooling.

    Found by running random images through the model; `print` it. Attention of the same tokens is told by gradients.
    Of a model that has a method already, it tells the new tokenizer, temperatures and masks.

    Args:
        image_size: (height, width) or side in px; default: the model's own.
    Raises:
        InputError: if the image size is unknown, or the model does not take such images.
    """
    return examine(model, image_size)


def apply(
    model: nn.Module,
    method: str | Method,
    *,
    image_size: int | tuple[int, int] | None = None,
    from_scratch: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Put a method into a model in place, change nothing else, and return the model.

    The patch embedding becomes the method's tokenizer, and so do pooling and patch merging layers where the method has
    S_pool and the model such layers of a known class. Every self-attention gets LSA's scores: a temperature per head
    that starts at the model's own scale, and a masked diagonal. Attention of other tokens, such as class attention,
    gets the temperature alone. A token that sees no other key keeps its diagonal.

    Args:
        model: maps images (b c h w) to outputs of any form.
        method: name in `slbench.methods.METHODS`, or a `Method`.
        image_size: (height, width) or side in px; default: the model's own.
        from_scratch: draw the new tokenizer as the method of the paper, for training from scratch. Otherwise the model
            keeps its function: shifted copies start with weights of zero and, unless `layer_norm` is true, no layer
            norm is added; with `mask_self` the function changes, by the mask alone.
        seed: of new parameters, each drawn from (seed, name).
    Raises:
        InapplicableError: if the method finds nothing to change; names what was looked for. The model is unchanged.
        InputError: for an unknown method or image size, or a model that has a method already.
    Warns:
        RetrofitWarning: if `layer_norm` changes the function of the model, or softmaxes of other kinds stay.
    Source: SPT and LSA of arXiv:2112.13492.
    """
    wanted = lookup(METHODS, method, "method") if isinstance(method, str) else method
    if any(isinstance(module, AttentionLogits) for module in model.modules()) or hasattr(model, "slbench_method"):
        known = getattr(model, "slbench_method", "a backbone of slbench")
        raise InputError(f"{type(model).__name__}: has a method already (got {known}); apply one to a fresh model")
    if wanted != Method():
        retrofit(model, examine(model, image_size), wanted, from_scratch=from_scratch, seed=seed)
    return model


def retrofit(model: nn.Module, structure: Structure, method: Method, *, from_scratch: bool, seed: int) -> None:
    """Put a method into a model whose structure is known, in place; see `apply`."""
    title = next((name for name, known in METHODS.items() if known == method), "own method")
    check(structure, method, title)
    before = [(module, module.__class__, dict(module._modules)) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]):  # new layers draw values that are replaced
            if method.changes_tokenizer:
                embed(model, structure, method, keep=not from_scratch, seed=seed)
            if method.changes_attention:
                attend(structure, method)
            verify(model, structure)
    except Exception:
        for module, kind, children in before:
            module.__class__, module._modules = kind, children
        raise
    model.slbench_method = title  # type: ignore[assignment]
    if method.changes_attention and structure.other_softmaxes:
        first, *more = structure.other_softmaxes
        layers = f"{first}{f' and {len(more)} more layers' if more else ''}"
        text = f"softmaxes of no products of queries and keys over tokens stay as they are: {layers}"
        warnings.warn(RetrofitWarning(f"{structure.model}: {title}", text), stacklevel=3)


def check(structure: Structure, method: Method, title: str) -> None:
    """Raise InapplicableError if a method finds nothing in a model to change, or InputError for an impossible shift."""
    if method.matched is not None or method.additions:
        fields = ", ".join(method.additions) or "the width of its MLP"
        raise InapplicableError(f"{structure.model}: {title}: changes {fields}, as only backbones of slbench let it")
    if method.changes_tokenizer and structure.tokenizer is None:
        raise missing(structure, title, "tokenizer")
    if method.changes_tokenizer and structure.other_embeddings:
        raise InapplicableError(
            f"{structure.model}: {title}: images enter by {structure.other_embeddings[0]} as well, which would be plain"
        )
    if method.s_pool == "yes" and not structure.merging:
        raise InapplicableError(f"{structure.model}: s_pool: no patch merging or pooling layer of a known class")
    if method.changes_attention and not structure.over_tokens:
        raise missing(structure, title, "attention")
    if method.mask_self and (unknown := [found for found in structure.attention if found.relation == "unknown"]):
        raise InapplicableError(
            f"{structure.model}: {title}: {unknown[0].path}: cannot tell whether queries and keys are the same tokens: "
            "they come from separate inputs of the layer, or do not depend on them"
        )
    per_head = method.learn_temperature and method.temperature_per == "head"
    if per_head and (unclear := [f for f in structure.over_tokens if f.ambiguous and not f.learns_scale]):
        raise InapplicableError(
            f"{structure.model}: {title}: {unclear[0].path}: cannot tell the axis of its heads in scores of shape "
            f"{unclear[0].call.shape}; use temperature_per = 'layer'"
        )
    if method.mask_self and not any(found.call.shape[-1] > 1 for found in structure.self_attention):
        raise InapplicableError(f"{structure.model}: {title}: no self-attention over two or more tokens to mask")
    if structure.tokenizer is not None:
        method.check_shift(structure.tokenizer.stride, structure.image_size)


def missing(structure: Structure, title: str, part: str) -> InapplicableError:
    """Return the error for a part that a method needs and a model lacks."""
    return InapplicableError(f"{structure.model}: {title}: no {part} found; looked for: {LOOKED_FOR[part]}")


def embed(model: nn.Module, structure: Structure, method: Method, *, keep: bool, seed: int) -> None:
    """Put the tokenizer of a method into a model, and S_pool into its merging layers."""
    assert structure.tokenizer is not None
    norm = method.layer_norm
    if norm is None:
        norm = method.shift != "none" and not keep
    pools = method.s_pool == "yes" or (method.s_pool == "auto" and method.shift != "none" and bool(structure.merging))
    method = dataclasses.replace(method, layer_norm=norm, s_pool="yes" if pools else "no")
    if keep and norm:
        text = "layer_norm = true changes the function of the model; its outputs are no longer those of its weights"
        warnings.warn(RetrofitWarning(structure.model, text), stacklevel=3)
    chosen = [structure.tokenizer, *(structure.merging if pools else ())]
    if keep and not norm and method.shift != "none":
        for found in chosen:
            add_copies(found, method)
        return
    new = {found.path: replacement(found, method, keep=keep, seed=seed) for found in chosen}
    for path, module in new.items():  # nothing is changed before all are made
        model.set_submodule(path, module)


def attend(structure: Structure, method: Method) -> None:
    """Give the attention layers of a model the scores of a method."""
    by_path: dict[str, list[FoundAttention]] = {}
    for found in structure.over_tokens:
        by_path.setdefault(found.path, []).append(found)
    for layers in by_path.values():
        module = layers[0].layer.module
        plans = {}
        for number, found in enumerate(layers):
            name = "logits" if number == 0 else f"logits_{number + 1}"
            parameter = next(module.parameters(), torch.empty(0))
            scores = RetrofittedScores(
                found.num_heads,
                found.call.head_dim,
                own_scale=found.own_scale,
                scale_after=found.scale_after,
                heads_axis=found.heads_axis,
                learns_scale=found.learns_scale,
                mixes=found.call.mixes,
                method=method,
                can_mask=found.relation == "self",
                tokens=found.tokens,
            )
            module.add_module(name, scores.to(parameter.device, parameter.dtype))
            plans[name] = (found.call.kind, found.plan)
        intercept(module, plans)


def verify(model: nn.Module, structure: Structure) -> None:
    """Raise InputError unless every changed attention layer runs through its scores, in evaluation and in training.

    Each layer must make as many calls as when it was probed, since calls are told apart by their number. Norms with
    running statistics stay in evaluation mode.
    """
    scores = {path: module for path, module in model.named_modules() if isinstance(module, RetrofittedScores)}
    parameter = next(model.parameters())
    images = torch.zeros(BATCH, structure.in_channels, *structure.image_size).to(parameter.device, parameter.dtype)
    for training in (False, True):
        called = set[str]()
        hooks = [module.register_forward_hook(partial(note, called, path)) for path, module in scores.items()]
        try:
            with undisturbed(model), torch.no_grad():
                for module in model.modules():
                    module.training = training and not isinstance(module, _NormBase)
                model(images)
        finally:
            for hook in hooks:
                hook.remove()
        for found in structure.over_tokens if scores else ():
            module = found.layer.module
            if module.seen_calls != found.layer.counts:
                raise InputError(
                    f"{structure.model}: {found.path}: attention makes other calls in "
                    f"{'training' if training else 'evaluation'} than alone; it is not supported"
                )
        if left := sorted(set(scores) - called):
            mode = "training" if training else "evaluation"
            raise InputError(
                f"{structure.model}: {left[0]}: attention takes another path in {mode}; it is not supported"
            )


def note(called: set[str], path: str, *_: Any) -> None:
    """Add a path to those that were called."""
    called.add(path)
