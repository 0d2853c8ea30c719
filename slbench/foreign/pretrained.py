"""Initial weights of a foreign model from a safetensors file that its user named."""

import hashlib
import sys
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from slbench.backbones.specs.foreign import ForeignSpec
from slbench.errors import InputError, unreadable
from slbench.image_shape import ImageShape
from slbench.text import one_line, plural, shown
from slbench.user_files import UserFile

Unmatched = tuple[list[str], list[str]]  # names that only the model, only the file has
HEADS = ("head", "heads.head", "head.fc", "fc", "classifier")  # names of classifiers where a model does not say


def load_pretrained(model: nn.Module, file: UserFile, *, spec: ForeignSpec, shape: ImageShape) -> None:
    """Load weights into a model, in place.

    A classifier of other classes keeps its own initial values. Models of timm go through timm's own loader: it renames
    keys of older versions, interpolates position embeddings and biases to the image, and adapts the first
    convolution to the channels of the images.

    Raises:
        InputError: if the file has changed or is no safetensors file, or if its weights do not fit the model.
    """
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise unreadable(file.path, error) from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise InputError(f"{file.where}: has changed since this command began; run the command again")
    try:
        weights = load(content)
    except SafetensorError as error:
        raise InputError(f"{file.where}: is no safetensors file: {one_line(str(error))}") from error
    heads = heads_of(model)
    if spec.package == "timm":
        unmatched = load_by_timm(model, weights, heads, shape, file)
    else:
        unmatched = load_exactly(model, weights)
    for problem, names in zip(("lacks", "has too many"), unmatched, strict=True):
        others = [name for name in names if not name.startswith(tuple(f"{head}." for head in heads))]
        if others:
            raise InputError(
                f"{file.where}: does not fit {spec.name} with arguments {spec.arguments}: "
                f"{problem} {plural(len(others), 'weight')} of its names and shapes (first: {shown(others[0])})"
            )


def heads_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the classifiers of a model."""
    named: Any = getattr(model, "pretrained_cfg", {}).get("classifier")
    if isinstance(named, str):
        return (named,)
    return tuple(named) if named else HEADS


def load_by_timm(
    model: nn.Module, weights: dict[str, Tensor], heads: tuple[str, ...], shape: ImageShape, file: UserFile
) -> Unmatched:
    """Load weights by timm's loader; return the names that only the model or only the file has."""
    from timm.models import load_pretrained as load_into

    config: dict[str, Any] = dict(getattr(model, "pretrained_cfg", {}))
    classes = next((len(weights[f"{head}.weight"]) for head in heads if f"{head}.weight" in weights), 0)
    config |= {
        "state_dict": dict(weights),
        "source": "",
        "custom_load": False,
        "num_classes": classes,
        "label_offset": 0,
    }
    unmatched: Unmatched = [], []

    def note(_model: nn.Module, keys: Any) -> None:
        for names, found in zip(unmatched, (keys.missing_keys, keys.unexpected_keys), strict=True):
            names += found

    hook: Any = model.register_load_state_dict_post_hook(note)  # type: ignore[no-untyped-call]
    filter_fn = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    channels = getattr(model, "in_chans", shape.channels)
    try:
        load_into(model, config, num_classes=shape.classes, in_chans=channels, filter_fn=filter_fn, strict=False)
    except Exception as error:  # of shapes that differ, or of a filter that meets other keys
        reason = one_line(str(error)).partition(" size mismatch for ")[2] or one_line(str(error)) or "no message"
        reason = reason.partition(" size mismatch for ")[0]
        raise InputError(f"{file.where}: does not fit {type(model).__name__} of timm: {reason}") from error
    finally:
        hook.remove()
    return unmatched


def load_exactly(model: nn.Module, weights: dict[str, Tensor]) -> Unmatched:
    """Load the weights whose names and shapes are those of the model; return the other names of model and file."""
    state = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in state and state[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return [name for name in state if name not in fitting], [name for name in weights if name not in fitting]
