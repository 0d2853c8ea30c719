"""What plugins register, read from their syntax and from the metadata of packages. Runs no plugin; free of torch."""

import ast
import functools
import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from slbench import user_files
from slbench.errors import InputError
from slbench.text import choices, shown
from slbench.user_files import UserFile

Kind = Literal["backbone", "tokenizer", "scores", "dataset", "augmentation"]
GROUPS: dict[str, tuple[Kind, ...]] = {  # of entry points
    "slbench.backbones": ("backbone",),
    "slbench.methods": ("tokenizer", "scores"),
    "slbench.datasets": ("dataset",),
    "slbench.augmentations": ("augmentation",),
}
DECORATORS = {f"register_{kind}": kind for kind in get_args(Kind)}


@dataclass(frozen=True)
class Registration:
    """A name that a plugin registers."""

    kind: Kind
    name: str
    object: str  # class or function: "CosineScores", or "scores.CosineScores" of a package
    file: UserFile
    where: str  # "my_methods.py:12"
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)  # of the method

    @property
    def reference(self) -> str:
        """Return object and content as a run stores them: "CosineScores@0123...", without path or name."""
        return f"{self.object}@{self.file.sha256}"


Registered = dict[tuple[Kind, str], Registration]


def registered(files: Iterable[Path]) -> Registered:
    """Return what installed packages and these files register, by kind and name.

    Raises:
        InputError: with file and line, for a decorator that is not literal, or a name registered twice.
    """
    found = dict(installed())
    of_files: Registered = {}
    for path in files:
        file = user_files.add(path)
        for each in in_file(file):
            other = of_files.setdefault((each.kind, each.name), each)
            if other != each:
                raise InputError(f"{each.where}: registers a name twice (got {shown(each.name)}); also {other.where}")
    return found | of_files


def in_file(file: UserFile) -> Iterator[Registration]:
    """Yield what a file, or the `__init__.py` of a package, registers at its top level."""
    yield from in_body(user_files.syntax(file).body, file, file.where, prefix="")


def in_body(body: list[ast.stmt], file: UserFile, where: str, *, prefix: str) -> Iterator[Registration]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for decorator in node.decorator_list:
                kind = kind_of(decorator)
                if kind is not None:
                    place = f"{where}:{decorator.lineno}"
                    name, fields = literal_arguments(decorator, place)
                    yield Registration(kind, name, prefix + node.name, file, place, fields)


def kind_of(decorator: ast.expr) -> Kind | None:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return DECORATORS.get(name)


def literal_arguments(decorator: ast.expr, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields that a decorator is given."""
    try:
        assert isinstance(decorator, ast.Call)
        positional = [ast.literal_eval(each) for each in decorator.args]
        fields = {each.arg: ast.literal_eval(each.value) for each in decorator.keywords if each.arg is not None}
        name = positional[0] if positional else fields.pop("name")
        assert isinstance(name, str) and name.strip() and len(positional) <= 1
    except (AssertionError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: {ast.unparse(decorator)}: needs a name in quotes, and literals for everything else"
        ) from error
    return name, fields


@functools.cache
def installed() -> Registered:
    """Return what the entry points of installed packages register; one that cannot be read is left out."""
    found: Registered = {}
    for entry, kinds in entry_points():
        try:
            each = of_entry_point(entry, kinds)
        except InputError:
            continue
        if each is not None:
            found[each.kind, each.name] = each
    return found


def entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, tuple[Kind, ...]]]:
    """Yield the entry points of slbench's groups, from metadata alone."""
    for group, kinds in GROUPS.items():
        for entry in importlib.metadata.entry_points(group=group):
            yield entry, kinds


def of_entry_point(entry: importlib.metadata.EntryPoint, kinds: tuple[Kind, ...]) -> Registration | None:
    """Return the registration of an entry point `name = package.module:Object`, whose package is not imported."""
    package, *inner = entry.module.split(".")
    found = importlib.machinery.PathFinder.find_spec(package)
    if found is None or found.origin is None or not entry.attr.isidentifier():
        return None
    origin = Path(found.origin)
    folder = origin.parent if origin.name == "__init__.py" else origin
    file = user_files.add(folder, module=package)
    source = folder.joinpath(*inner) if folder.is_dir() else folder
    source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
    where, prefix = f"{package} ({entry.group})", "".join(f"{part}." for part in inner)
    body = user_files.parsed(source, shown_as=str(source)).body
    of_object = [each for each in in_body(body, file, where, prefix=prefix) if each.object == prefix + entry.attr]
    fields = next((each for each in of_object if each.kind in kinds), None)
    kind = kinds[0] if fields is None else fields.kind
    return Registration(kind, entry.name, prefix + entry.attr, file, where, {} if fields is None else fields.fields)


def reference(plugins: Registered, kind: Kind, name: str, *, where: str) -> str:
    """Return the reference to what is registered under a name; a reference itself is returned as it is.

    Raises:
        InputError: with the names of this kind.
    """
    if "@" in name:
        return name
    if (kind, name) not in plugins:
        known = [each for of_kind, each in plugins if of_kind == kind]
        raise InputError(
            f"{where}: no plugin registers this {kind} (got {shown(name)})"
            + (choices(known, name) or "; name its file: plugins = ['FILE.py'] above [grid]")
        )
    return plugins[kind, name].reference


def locate(sha256: str, *, what: str) -> UserFile:
    """Return the file or installed package with this content; see `user_files.locate`."""
    installed()
    return user_files.locate(sha256, what=what)


def load(reference: str, kind: Kind) -> Any:
    """Return the class or function of a reference. Runs its file, if the user of this process named it.

    Raises:
        InputError: if no named file has its content, or with file and line if it raises.
    """
    name, _, sha256 = reference.partition("@")
    return user_files.load_object(locate(sha256, what=f"{kind} {name}"), name)


def called(reference: str, kind: Kind, *arguments: Any, **keywords: Any) -> Any:
    """Return what the class or function of a reference returns; an exception of it is one line with file and line."""
    name, _, sha256 = reference.partition("@")
    function = load(reference, kind)
    try:
        with redirect_stdout(sys.stderr):
            return function(*arguments, **keywords)
    except InputError:
        raise
    except Exception as error:
        raise user_files.raised_in(locate(sha256, what=name), error, doing=name) from error
