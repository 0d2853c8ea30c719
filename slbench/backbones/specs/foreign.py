"""Sizes of models of other packages and of a user's own files: a constructor and its keyword arguments. Free of torch.

A name is `timm:MODEL`, `torchvision:MODEL`, or `FILE.py:CLASS` (also `PACKAGE_FOLDER:CLASS`), which a spec stores as
`own:CLASS` with the hash of the file.
"""

import dataclasses
import functools
import importlib.machinery
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MaxLen

from slbench import user_files
from slbench.backbones.specs.base import BackboneEntry, BackboneSpec
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.registrations import Registration
from slbench.text import choices, guess, shown
from slbench.user_files import UserFile
from slbench.validation import STRICT

PACKAGES = ("timm", "torchvision")
OWN = "own"
NAME = re.compile(rf"({'|'.join([*PACKAGES, OWN])}):[\w.]+")
FORMS = ("timm:MODEL", "torchvision:MODEL", "FILE.py:CLASS")  # of names in studies and flags
EXTRA = "pip install 'slbench[models]'"
Text = Annotated[str, MaxLen(100_000)]


@dataclass(frozen=True, kw_only=True)
class ForeignSpec(BackboneSpec):
    """A model that slbench did not write, as its constructor is called; the retrofit applies methods to it.

    Number of classes, channels, image size and stochastic depth are passed where the constructor accepts them and
    `arguments` does not say otherwise; they are in the rest of a run's spec.
    """

    __pydantic_config__ = STRICT

    name: Text  # "timm:vit_tiny_patch16_224", "torchvision:swin_t", "own:TinyViT"
    arguments: Text = "{}"  # keyword arguments of the constructor, as canonical JSON
    version: Text = ""  # of the package: "timm 1.0.31"
    content: Text = ""  # sha256 of the user's file or package
    pretrained: Text = ""  # sha256 of the file of initial weights; empty: drawn from the seed

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"name: must be timm:MODEL, torchvision:MODEL or own:CLASS (got {shown(self.name)})")
        if canonical(self.keywords) != self.arguments:
            raise InputError(f"arguments: must be a JSON object with sorted keys (got {shown(self.arguments)})")
        if self.is_own != bool(self.content) or self.is_own == bool(self.version):
            raise InputError(f"content, version: one of them describes {self.name}")

    @property
    def is_own(self) -> bool:
        """Return whether the model is of a user's own file."""
        return self.name.startswith(f"{OWN}:")

    @property
    def package(self) -> str:
        """Return "timm", "torchvision" or "own"."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """Return the name of the model within its package or file."""
        return self.name.partition(":")[2]

    @property
    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of the constructor."""
        try:
            values: dict[str, Any] = json.loads(self.arguments)
        except (ValueError, RecursionError) as error:
            raise InputError(f"arguments: not valid JSON (got {shown(self.arguments)})") from error
        return values

    @property
    def numerics_part(self) -> str:
        return "retrofit"

    @property
    def shift_unit(self) -> int:
        """Return the patch side in px as far as arguments or name tell; the retrofit reads it from the model."""
        patch = self.keywords.get("patch_size")
        in_name = re.search(r"patch(\d+)", self.name)
        return patch if isinstance(patch, int) and patch > 0 else int(in_name[1]) if in_name else 4

    def resolved(self, image_size: tuple[int, int]) -> "ForeignSpec":  # noqa: ARG002  (the constructor checks it)
        return self

    def resolved_method(self, method: Method) -> Method:
        """Return the method with its defaults resolved as far as they do not depend on layers of the model.

        `s_pool = "auto"` stays: it means the pooling layers too where the model has them. A pretrained embedding is
        kept as a function by default, so that no norm is added.

        Raises:
            InapplicableError: for controls that need sizes which only backbones of slbench have.
        """
        if method.matched is not None:
            name = "none-wide" if method.widened else "match_parameters"
            raise InapplicableError(f"{name}: needs a backbone of slbench, whose MLP it widens (got {self.name})")
        others = [*method.additions, *(part for part in ("own_tokenizer", "own_scores") if getattr(method, part))]
        if others:
            raise InapplicableError(f"{', '.join(others)}: needs a backbone of slbench (got {self.name})")
        shifted = method.shift != "none"
        by_ratio = shifted and method.shift_ratio is None and method.shift_pixels is None
        norm = shifted and not self.pretrained
        return dataclasses.replace(
            method,
            shift_ratio=0.5 if by_ratio else method.shift_ratio,
            layer_norm=norm if method.layer_norm is None else method.layer_norm,
        )


def is_foreign(name: object) -> bool:
    """Return whether a name is one of a model of another package or of a user's file."""
    return isinstance(name, str) and ":" in name


def with_absolute_path(name: str) -> str:
    """Return a name with the path of a user's file made absolute; other names are returned as they are."""
    path, colon, model = name.rpartition(":")
    return name if not colon or path in (*PACKAGES, OWN) else f"{Path(path).expanduser().absolute()}:{model}"


def foreign_entry(name: str) -> BackboneEntry:
    """Return the entry of a foreign model; its title is the name within its package or file."""
    return BackboneEntry(
        title=name.rpartition(":")[2],
        spec=ForeignSpec,
        module="slbench.foreign.network:construct",
        source=name.rpartition(":")[0],
        small=(None, (0, 0)),
    )


def foreign_title(table: Mapping[str, Any]) -> str:
    """Return the default label in tables of what a study names: "vit_tiny_patch16_224", with its weights if it has any.

    Variants of one model differ in their arguments, which tables tell apart; or give them labels.
    """
    title = str(table["name"]).rpartition(":")[2]
    return f"{title}, pretrained" if "pretrained" in table else title


def canonical(arguments: Mapping[str, Any]) -> str:
    """Return keyword arguments as JSON with sorted keys."""
    if not isinstance(arguments, dict):
        raise InputError(f"arguments: must be a JSON object (got {shown(arguments)})")
    try:
        return json.dumps(arguments, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("arguments: must be finite numbers, text, booleans, lists or tables") from error


def foreign_spec(table: Mapping[str, Any], *, where: str, folder: Path) -> ForeignSpec:
    """Return the sizes that a study or a flag gives to a foreign model. Imports and runs nothing.

    Args:
        table: `name`, `pretrained`, and keyword arguments of the constructor.
        folder: relative paths start here.
    Raises:
        InputError: for an unknown model, a missing package or file, or an argument that the constructor lacks.
    """
    arguments = dict(table)
    name, weights = arguments.pop("name"), arguments.pop("pretrained", None)
    try:
        return described(name, arguments, weights, folder)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def described(name: str, arguments: dict[str, Any], weights: Any, folder: Path) -> ForeignSpec:
    pretrained = "" if weights is None else weights_of(weights, folder)
    package, _, model = name.partition(":")
    text = canonical(arguments)
    if package in PACKAGES:
        version = package_version(package)
        check_model(package, model)
        return ForeignSpec(name=name, arguments=text, version=version, pretrained=pretrained)
    path, _, model = name.rpartition(":")
    if path == OWN or not path or not model.isidentifier():
        raise InputError(f"unknown model (got {shown(name)}); allowed: {', '.join(FORMS)}")
    if not (folder / path).expanduser().exists() and "/" not in path and not path.endswith(".py"):
        raise InputError(f"unknown package (got {shown(path)}); allowed: {', '.join(FORMS)}{guess(path, PACKAGES)}")
    file = user_files.add(folder / Path(path).expanduser())
    user_files.check_defined(file, model)
    return own_spec(file, model, arguments, pretrained)


def own_spec(file: UserFile, model: str, arguments: Mapping[str, Any], pretrained: str) -> ForeignSpec:
    """Return the sizes of a model of a user's file or package; arguments are checked as far as its syntax tells."""
    known = user_files.parameters(file, model)
    if known is not None:
        check_arguments(arguments, known, f"{file.where}:{model}")
    return ForeignSpec(
        name=f"{OWN}:{model}", arguments=canonical(arguments), content=file.sha256, pretrained=pretrained
    )


def plugin_spec(plugin: Registration, table: Mapping[str, Any], *, where: str, folder: Path) -> ForeignSpec:
    """Return the sizes of a model that a plugin registers, as `foreign_spec` does."""
    arguments = {key: value for key, value in table.items() if key not in ("name", "pretrained")}
    try:
        pretrained = weights_of(table["pretrained"], folder) if "pretrained" in table else ""
        return own_spec(plugin.file, plugin.object, arguments, pretrained)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def check_arguments(arguments: Mapping[str, Any], known: list[str], constructor: str) -> None:
    """Raise InputError for an argument that a constructor lacks."""
    for argument in arguments:
        if argument not in known:
            raise InputError(f"{constructor}: no such argument (got {shown(argument)}){choices(known, argument)}")


def weights_of(weights: Any, folder: Path) -> str:
    """Return the hash of a file of pretrained weights."""
    if not isinstance(weights, str) or not weights.endswith(".safetensors"):
        raise InputError(f"pretrained: must be a .safetensors file (got {shown(weights)})")
    return user_files.add(folder / Path(weights).expanduser()).sha256


def package_version(package: str) -> str:
    """Return "timm 1.0.31" without importing the package. Raises InputError, with the extra, if it is missing."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"{package} is not installed; {EXTRA}") from error


def check_model(package: str, model: str) -> None:
    """Raise InputError for a model that a package does not have."""
    known = models_of(package)
    if known and model not in known:
        raise InputError(
            f"{package} has no model of this name (got {shown(model)}); "
            f"{package}.{'' if package == 'timm' else 'models.'}list_models() lists {len(known):,}{guess(model, known)}"
        )


@functools.cache
def models_of(package: str) -> tuple[str, ...]:
    """Return the names of a package's models, read from its sources without importing it; empty if they are missing."""
    found = importlib.machinery.PathFinder.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return ()
    folder = Path(next(iter(found.submodule_search_locations))) / "models"
    pattern = re.compile(r"^@register_model(?:\([^)]*\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
    classes = re.compile(r"^class (\w+)\(nn\.(?:Module|Sequential)\)", re.MULTILINE)
    names = list[str]()
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        names += pattern.findall(text)
        if package == "torchvision":  # whose classes have sizes that its functions fix
            names += [name for name in classes.findall(text) if not name.startswith("_")]
    return tuple(dict.fromkeys(names))


def image_arguments(shape: ImageShape) -> dict[str, Any]:
    """Return what constructors may be told about images and classes, by the names that packages use."""
    height, width = shape.size
    side = height if height == width else shape.size
    return {
        "num_classes": shape.classes,
        **dict.fromkeys(("in_chans", "in_channels"), shape.channels),
        **dict.fromkeys(("img_size", "image_size"), side),
    }
