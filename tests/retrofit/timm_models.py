"""Models of timm with the class and the options of a registered one, but shallow, narrow and for small images."""

import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import timm
import torch
from timm.models._registry import _model_to_module
from torch import nn

# Modules of timm that have transformers; those without attention among their models are told by running them.
FAMILIES = (
    *("beit", "byoanet", "cait", "coat", "convit", "cpubone", "crossvit", "csatv2", "davit", "deepseek_vit", "deit"),
    *("edgenext", "efficientformer", "efficientformer_v2", "efficientvit_mit", "efficientvit_msra", "eva", "fastvit"),
    *("gcvit", "gemma4_vit", "hiera", "hieradet_sam2", "iformer", "levit", "lowformer", "maxxvit", "metaformer"),
    *("mobilenetv5", "mobilevit", "mvitv2", "naflexvit", "nest", "nextvit", "pit", "pvt_v2", "qwen3_vit", "shvit"),
    *("swiftformer", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr", "tiny_vit", "tnt", "twins"),
    *("vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos", "vision_transformer_sam"),
    *("visformer", "vitamin", "volo", "xcit"),
)
# Sides in px where 64 does not fit.
SIDES = {
    **dict.fromkeys(("maxxvit", "nest", "levit", "coat", "volo", "efficientformer_v2", "mobilevit", "csatv2"), 128),
    **dict.fromkeys(("gcvit", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr"), 128),
    **dict.fromkeys(("hieradet_sam2", "vision_transformer_hybrid", "vitamin", "visformer"), 128),
    **dict.fromkeys(("hiera", "efficientformer", "efficientvit_msra", "fastvit", "tiny_vit"), 224),
    **dict.fromkeys(("qwen3_vit", "gemma4_vit"), 96),
    "deepseek_vit": 84,
}
DEPTHS = ("depth", "depths", "layers", "serial_depths", "stages", "depth_list", "parallel_depth")
WIDTHS = (
    ("embed_dim", "num_heads"),
    ("embed_dims", "num_heads"),
    ("embed_dim", "num_heads_outer"),
    ("base_dims", "heads"),
)


def family_of(name: str) -> str:
    """Return the module of timm that defines a model."""
    return str(_model_to_module[name])


def names() -> Iterator[str]:
    """Yield the names of the models of the families."""
    for name in timm.list_models():
        if family_of(name) in FAMILIES:
            yield name


def shallow(value: Any, most: int) -> Any:
    """Return depths, nested as they are, with no more than `most` layers each."""
    if isinstance(value, list | tuple):
        return type(value)(shallow(each, most) for each in value)
    return min(value, most) if isinstance(value, int) else value


def narrow(widths: Any, heads: Any) -> tuple[Any, Any]:
    """Return widths and numbers of heads divided by a common factor, so that at least two heads are left somewhere."""
    if isinstance(heads, int):
        if not isinstance(widths, int) or heads < 4 or widths % heads:
            return widths, heads
        few = 3 if heads % 3 == 0 else 2
        return widths // heads * few, few
    factor = math.gcd(*heads)
    factor = factor // 2 if factor == max(heads) and factor % 2 == 0 else factor
    scaled = [width // factor for width in widths] if isinstance(widths, list | tuple) else widths // factor
    return (type(widths)(scaled) if isinstance(scaled, list) else scaled), type(heads)(h // factor for h in heads)


def fields_of(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor: those given, its other defaults, and those of the classes it extends."""
    defaults: dict[str, Any] = {}
    for base in kind.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values() if "__init__" in vars(base) else ()
        defaults = {each.name: each.default for each in parameters if each.default is not each.empty} | defaults
        if parameters and not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return {**defaults, **given}


def shrunk(kind: Any, given: dict[str, Any], family: str) -> dict[str, Any]:
    """Return the arguments of a model's class, changed to make it small."""
    values = fields_of(kind, given)
    changes: dict[str, Any] = {}
    for name in DEPTHS:
        if name in values:
            changes[name] = shallow(values[name], 2)
    for widths, heads in WIDTHS:
        if widths in values and heads in values:
            changes[widths], changes[heads] = narrow(values[widths], values[heads])
    if "img_size" in values or family == "levit":
        changes["img_size"] = side_of(family, values)
    own: Callable[[dict[str, Any]], dict[str, Any]] = OWN.get(family, lambda _: {})
    return {**given, **changes, **own(values)}


def side_of(family: str, values: dict[str, Any]) -> int:
    """Return the side in px of small images."""
    if family == "crossvit":  # whose second branch reads a smaller image
        return 120 if values["img_scale"][1] < 0.94 else 204
    if family == "byoanet":  # blocks of the last stage, whose stride is 32, attend
        return 32 * int((values["model_cfg"].self_attn_kwargs or {}).get("block_size", 8))
    patch_size = values.get("patch_size", 16)
    if family not in SIDES and isinstance(patch_size, int):
        return 4 * patch_size if patch_size > 8 else 64
    return SIDES.get(family, 64)


def configuration(values: dict[str, Any]) -> str:
    """Return the name of the configuration, which some classes take in place of arguments."""
    return "model_cfg" if "model_cfg" in values else "cfg"


def configured(values: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the change of a configuration."""
    name = configuration(values)
    return {name: dataclasses.replace(values[name], **changes)}


def of_byobnet(values: dict[str, Any]) -> dict[str, Any]:
    def small(block: Any) -> Any:
        if isinstance(block, list | tuple):
            return type(block)(map(small, block))
        kwargs = dict(block.block_kwargs or {})
        if "transformer_depth" in kwargs:
            kwargs["transformer_depth"] = 1
        return dataclasses.replace(block, d=min(block.d, 2), block_kwargs=kwargs or block.block_kwargs)

    return configured(values, blocks=small(values["model_cfg"].blocks))


def of_maxxvit(values: dict[str, Any]) -> dict[str, Any]:
    blocks = values["model_cfg"].block_type
    depths = tuple(2 if isinstance(block, tuple) else 1 for block in blocks)
    return configured(values, depths=depths, embed_dim=(32, 64, 64, 64), stem_width=(16, 32))


def of_mvitv2(values: dict[str, Any]) -> dict[str, Any]:
    heads = values[configuration(values)].num_heads
    return configured(values, depths=(1, 1, 1, 1), embed_dim=tuple(32 * each for each in heads))


def of_naflexvit(values: dict[str, Any]) -> dict[str, Any]:
    cfg = values["cfg"]
    width, heads = narrow(cfg.embed_dim, cfg.num_heads)
    return configured(values, depth=2, embed_dim=width, num_heads=heads)


def of_hieradet(values: dict[str, Any]) -> dict[str, Any]:
    """Let the last block of the third stage attend to all tokens, as in the deep model."""
    stages = shallow(values["stages"], 2)
    return {"global_att_blocks": (sum(stages[:3]) - 1,)}


def of_eva(values: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(values["num_kv_heads"], tuple):
        return {}
    _, heads = narrow(values["embed_dim"], values["num_heads"])
    grouped = set(values["num_kv_heads"]) != {values["num_heads"]}  # in blocks in the middle
    return {"num_kv_heads": (heads, 1 if grouped else heads)}


def of_mobilenetv5(values: dict[str, Any]) -> dict[str, Any]:
    stages = [list({block["block_type"]: block for block in stage}.values()) for stage in values["block_args"]]
    ends = [(stage[0], stage[-1]) for stage in values["block_args"]]  # the first has the stride
    return {
        "block_args": [
            [first, *(block for block in kinds if block is not first and block is not last), last]
            for (first, last), kinds in zip(ends, stages, strict=True)
        ]
    }


OWN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "byoanet": of_byobnet,
    "mobilevit": of_byobnet,
    "maxxvit": of_maxxvit,
    "mvitv2": of_mvitv2,
    "naflexvit": of_naflexvit,
    "mobilenetv5": of_mobilenetv5,
    "swin_transformer": lambda _: {"window_size": 4},
    "swin_transformer_v2": lambda _: {"window_size": 4},
    "swin_transformer_v2_cr": lambda _: {"window_size": 4},
    "gcvit": lambda _: {"window_size": (4, 4, 4, 4)},
    "eva": of_eva,
    "hieradet_sam2": of_hieradet,
    "csatv2": lambda values: {"transformer_depths": shallow(values["transformer_depths"], 1)},
    "nextvit": lambda values: {"depths": values["depths"]},
    "iformer": lambda _: {"depths": (1, 1, 3, 3), "attn_groups": (0, 0, 1, 1), "attn_head_dim_reduction": (0, 0, 2, 4)},
    **dict.fromkeys(
        ("vitamin", "vision_transformer_hybrid"),
        lambda values: {name: values[name] for name in ("embed_dim", "num_heads")},  # those of the network before it
    ),
    "crossvit": lambda values: {"depth": shallow(values["depth"], 1)},
    "metaformer": lambda _: {"dims": (16, 32, 64, 96)},
    "vision_transformer_sam": lambda values: {
        "global_attn_indexes": (1,),
        "window_size": min(values["window_size"], 3),
    },
}


class Read(Exception):  # noqa: N818
    """Ends a constructor whose arguments are known."""


@contextmanager
def intercepted(name: str, build: Callable[..., Any]) -> Iterator[None]:
    """Let a function build the model of an entry point of timm."""
    module = sys.modules[timm.model_entrypoint(name).__module__]
    with patch.object(module, "build_model_with_cfg", build):
        yield


@functools.cache
def options_of(name: str) -> tuple[str, ...]:
    """Return the class of a model and its arguments after shrinking, as text: models of equal options are equal."""
    found = list[str]()

    def read(kind: Any, _variant: str, _pretrained: bool = False, *_: Any, **given: Any) -> Any:
        arguments = shrunk(kind, given, family_of(name))
        ignored = ("pretrained_filter_fn", "feature_cfg", "pretrained_strict", "pretrained_cfg", "kwargs_filter")
        found.append(f"{kind.__module__}.{kind.__name__}")
        found.extend(f"{key}={value}" for key, value in sorted(arguments.items()) if key not in ignored)
        raise Read

    with intercepted(name, read):
        try:
            timm.create_model(name, num_classes=10)
        except Read:
            return tuple(found)
    raise AssertionError(name)


def small_model(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """Return a small model of timm in eval mode, and the size of its images; its weights are those of a seed."""
    family = family_of(name)
    module = sys.modules[timm.model_entrypoint(name).__module__]
    real, side = module.build_model_with_cfg, 64

    def build(kind: Any, variant: str, pretrained: bool = False, *rest: Any, **given: Any) -> Any:
        nonlocal side
        side = side_of(family, fields_of(kind, given))
        return real(kind, variant, pretrained, *rest, **shrunk(kind, given, family))

    torch.manual_seed(0)
    with intercepted(name, build):
        model = timm.create_model(name, num_classes=10).eval()
    return model, (side, side)
