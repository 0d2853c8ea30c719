"""Check that networks made of others' code can be built and take their images, before any run uses them."""

import warnings
from collections.abc import Iterable

import torch

from slbench import user_files
from slbench.backbones import construct
from slbench.backbones.specs import BackboneSpec
from slbench.errors import InapplicableError, InputError, RetrofitWarning
from slbench.foreign.constructors import place_of
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.text import one_line

Sized = tuple[BackboneSpec, Method, ImageShape, float]  # with the rate of stochastic depth


def check_models(networks: Iterable[tuple[str, Sized]]) -> list[str]:
    """Build each distinct network once without values, and pass it two images; return notes on what methods leave out.

    A title is in the notes of one size of images: "gated, lsa: softmaxes of ... stay as they are".

    Args:
        networks: each with its title, such as "vit_tiny_patch16_224, spt".
    Raises:
        InputError, InapplicableError: for the first that cannot be built or does not take its images.
    """
    seen, notes = set[Sized](), dict[str, list[str]]()
    for title, sized in networks:
        if sized not in seen:
            seen.add(sized)
            try:
                found = check_model(*sized)
                if found:
                    notes.setdefault(title, found)
            except InapplicableError as error:
                raise InapplicableError(f"{title}: {error}") from error
            except InputError as error:
                raise InputError(f"{title}: {error}") from error
    return [f"{title}: {note}" for title, found in notes.items() for note in found]


def check_model(spec: BackboneSpec, method: Method, shape: ImageShape, drop_path: float) -> list[str]:
    """Raise InputError or InapplicableError unless a network can be built and maps images to one score per class.

    Return the warnings of the retrofit. On the meta device, where nothing is allocated, unless the model reads values
    that this device does not have.
    """
    try:
        return check_on("meta", spec, method, shape, drop_path)
    except InapplicableError:
        raise
    except InputError as error:
        if "meta" not in str(error):
            raise
        return check_on("cpu", spec, method, shape, drop_path)


def check_on(device: str, spec: BackboneSpec, method: Method, shape: ImageShape, drop_path: float) -> list[str]:
    height, width = shape.size
    with (
        torch.device(device),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("ignore")  # loading pretrained weights does nothing on the meta device
        warnings.simplefilter("always", RetrofitWarning)
        try:
            network = construct(spec, method, shape=shape, drop_path=drop_path, seed=0).eval()
        except InapplicableError:
            raise
        except InputError as error:
            raise (user_files.blamed(error.__cause__) if error.__cause__ else None) or error from error
        except Exception as error:
            raise failed(error, f"{spec.name}: cannot be built") from error
        try:
            scores = network(torch.zeros(2, shape.channels, *shape.size))
        except Exception as error:
            images = f"2 images of {height} x {width} px with {shape.channels} channels"
            raise failed(error, f"{spec.name}: a forward pass of {images}") from error
    if not isinstance(scores, torch.Tensor) or tuple(scores.shape) != (2, shape.classes):
        got = list(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise InputError(f"{spec.name}: must return scores of shape [2, {shape.classes}] for 2 images (got {got})")
    for name, _ in network.named_parameters():
        network.parameter_kind(name)
    return list(dict.fromkeys(each.message.text for each in caught if isinstance(each.message, RetrofitWarning)))


def failed(error: Exception, doing: str) -> InputError:
    """Return the line for an exception: of a user's file with file and line, of a package with its own."""
    of_user = user_files.blamed(error)
    if of_user is not None:
        return of_user
    return InputError(f"{doing}: {type(error).__name__} in {place_of(error)}: {one_line(str(error)) or 'no message'}")
