"""Find the constructor of a foreign model, check its arguments and call it."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from slbench import registrations, user_files
from slbench.backbones.specs.foreign import ForeignSpec, check_arguments, image_arguments, package_version
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.text import one_line, shown

TORCHVISION_RATE = "stochastic_depth_prob"
DROP_PATH = ("drop_path_rate", "drop_path", TORCHVISION_RATE)
# What slbench does itself, and what would fetch weights or change the output.
REFUSED = {
    **dict.fromkeys(("pretrained", "weights", "checkpoint_path"), "write pretrained = 'FILE.safetensors'"),
    **dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args", "cache_dir"), "leave it out"),
    **dict.fromkeys(("features_only", "feature_cfg", "out_indices", "device", "dtype"), "leave it out"),
    **dict.fromkeys(DROP_PATH, "set recipe.drop_path"),
    **dict.fromkeys(("num_classes", "in_chans", "in_channels"), "the data set says it"),
}


@dataclass(frozen=True)
class Constructor:
    """Constructor of a model and what it accepts."""

    title: str  # in errors
    call: Callable[..., Any]
    accepts: tuple[str, ...]  # keyword arguments, as far as signatures tell
    open_ended: bool  # accepts others too, which only a call shows


def construct(spec: ForeignSpec, *, shape: ImageShape, drop_path: float) -> nn.Module:
    """Return a model as its own constructor makes it, for images and classes of this shape as far as it has arguments.

    Raises:
        InputError: for arguments that it does not accept, or if it cannot be constructed for such images.
    """
    constructor = constructor_of(spec)
    arguments = spec.keywords
    for argument, cure in REFUSED.items():
        if argument in arguments:
            raise InputError(f"{spec.name}: {argument}: not an argument of a study (got {shown(argument)}); {cure}")
    if not constructor.open_ended:
        check_arguments(arguments, list(constructor.accepts), constructor.title)
    given = defaults(constructor, arguments, shape, drop_path)
    return called(spec, constructor, {**given, **as_tuples(arguments)}, shape)


def constructor_of(spec: ForeignSpec) -> Constructor:
    """Return the constructor of a model.

    Raises:
        InputError: if the package is missing or has another version, or if no named file has the content.
    """
    if spec.is_own:
        return of_file(spec)
    installed = package_version(spec.package)
    if installed != spec.version:
        raise InputError(f"{spec.name}: is of {spec.version}, and {installed} is installed")
    return of_timm(spec.model) if spec.package == "timm" else of_torchvision(spec.model)


def of_file(spec: ForeignSpec) -> Constructor:
    file = registrations.locate(spec.content, what=f"model {spec.model}")
    call = user_files.load_object(file, spec.model)
    return signed(f"{file.where}:{spec.model}", call, [call])


def of_timm(model: str) -> Constructor:
    import timm

    def call(**arguments: Any) -> Any:
        return timm.create_model(model, pretrained=False, **arguments)

    entry = timm.model_entrypoint(model)
    module: ModuleType = sys.modules[entry.__module__]
    return signed(f"timm:{model}", call, [built_by(entry, module) or entry])


def built_by(entry: Callable[..., Any], module: ModuleType) -> type | None:
    """Return the class that an entry point of timm builds, by the source of its module; None if that does not tell.

    An entry point calls a function of its module, such as `_create_swin_transformer`, which names the class.
    """
    creators = re.findall(r"\b(_create\w+|_build\w+)\(", source_of(entry))
    for creator in creators:
        made = re.search(r"build_model_with_cfg\(\s*(\w+)", source_of(getattr(module, creator, None)))
        found = getattr(module, made[1], None) if made else None
        if isinstance(found, type):
            return found
    return None


def source_of(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""


def of_torchvision(model: str) -> Constructor:
    import torchvision

    cls = getattr(torchvision.models, model, None)
    if isinstance(cls, type):
        return signed(f"torchvision:{model}", cls, [cls])
    build = torchvision.models.get_model_builder(model)
    module = sys.modules[build.__module__]
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    made = re.search(r"\b(_\w+)\(", source_of(build))
    creator = source_of(getattr(module, made[1], None)) if made else ""
    used = [each for each in classes if re.search(rf"\b{each.__name__}\(", creator)]
    fixed = fixed_arguments(build)
    rate = fixed.pop(TORCHVISION_RATE, None)

    def call(**arguments: Any) -> Any:
        if not rate:
            return build(weights=None, **arguments)
        drop_path = arguments.pop(TORCHVISION_RATE)
        return with_drop_path(build(weights=None, **arguments), drop_path / rate)

    constructor = signed(f"torchvision:{model}", call, used or [build])
    accepts = dict.fromkeys([*constructor.accepts, *([TORCHVISION_RATE] if rate else [])])
    return replace(constructor, accepts=tuple(name for name in accepts if name not in fixed))


def fixed_arguments(build: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments that a function of torchvision fixes in the call that it returns; None if not a literal."""
    try:
        tree = ast.parse(textwrap.dedent(source_of(build)))
    except SyntaxError:
        return {}
    calls = (node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and isinstance(node.value, ast.Call))
    keywords = [keyword for call in calls for keyword in call.keywords if keyword.arg is not None]
    return {
        str(keyword.arg): keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        for keyword in keywords
    }


def with_drop_path(model: nn.Module, factor: float) -> nn.Module:
    """Multiply the rates of a model's stochastic depth, in place: they are proportional to the rate of its last layer.

    Functions of torchvision such as swin_t fix that rate, which the recipe of a run sets.
    """
    from torchvision.ops import StochasticDepth

    for module in model.modules():
        if isinstance(module, StochasticDepth):
            module.p *= factor
    return model


def signed(title: str, call: Callable[..., Any], described_by: list[Any]) -> Constructor:
    """Return a constructor with the keyword arguments of the signatures that describe it."""
    names, open_ended = dict[str, None](), False
    for each in described_by:
        try:
            parameters = inspect.signature(each).parameters.values()
        except (TypeError, ValueError):
            return Constructor(title, call, (), True)
        open_ended |= any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names |= dict.fromkeys(parameter.name for parameter in parameters if parameter.kind in kinds)
    return Constructor(title, call, tuple(names), open_ended)


def defaults(
    constructor: Constructor, arguments: Mapping[str, Any], shape: ImageShape, drop_path: float
) -> dict[str, Any]:
    """Return the arguments that follow from the data set and the recipe, where the constructor has them.

    Raises:
        InputError: for stochastic depth that the constructor does not have.
    """
    given = {
        name: value
        for name, value in image_arguments(shape).items()
        if name in constructor.accepts and name not in arguments
    }
    rate = next((name for name in DROP_PATH if name in constructor.accepts), None)
    if rate is not None:
        given[rate] = drop_path
    elif drop_path:
        raise InputError(
            f"{constructor.title}: has no stochastic depth (got recipe.drop_path {drop_path:g}); "
            f"set it to 0, or accept one of {', '.join(DROP_PATH)}"
        )
    return given


def as_tuples(value: Any) -> Any:
    """Return JSON values with lists as tuples, which constructors compare and multiply; a table stays one."""
    if isinstance(value, dict):
        return {key: as_tuples(each) for key, each in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def called(spec: ForeignSpec, constructor: Constructor, arguments: dict[str, Any], shape: ImageShape) -> nn.Module:
    """Return the model; whatever its constructor raises is one line."""
    try:
        model = constructor.call(**arguments)
    except InputError:
        raise
    except Exception as error:
        if spec.is_own:
            raise user_files.raised_in(registrations.locate(spec.content, what=spec.name), error) from error
        got = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if got and got[1] in spec.keywords:
            check_arguments({got[1]: None}, list(constructor.accepts), constructor.title)
        raise cannot_build(constructor.title, spec, shape, error) from error
    if not isinstance(model, nn.Module):
        raise InputError(f"{constructor.title}: must return a torch.nn.Module (got {type(model).__name__})")
    return model


def cannot_build(title: str, spec: ForeignSpec, shape: ImageShape, error: Exception) -> InputError:
    height, width = shape.size
    reason = one_line(str(error)) or "no message"
    return InputError(
        f"{title}: cannot be constructed for images of {height} x {width} px with arguments {spec.arguments}: "
        f"{type(error).__name__} in {place_of(error)}: {reason}"
    )


def place_of(error: BaseException) -> str:
    """Return file and line in which an exception was raised."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "?" if last is None else f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}"


def adapt_channels(model: nn.Module, channels: int) -> None:
    """Give a model whose first convolution reads 3 channels another number of channels, in place.

    One channel is read as three equal ones: the weights are summed. Other numbers repeat the weights in turn and scale
    them by 3 / channels. Source: the convention of timm's `adapt_input_conv`.
    """
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or channels == 3 or first.groups != 1:
        return
    weight = first.weight.detach()
    if channels == 1:
        adapted = weight.sum(dim=1, keepdim=True)
    else:
        adapted = weight[:, [channel % 3 for channel in range(channels)]] * (3 / channels)
    first.in_channels = channels
    first.weight = nn.Parameter(adapted)
