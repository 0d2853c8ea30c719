"""Python files and weights that the user of this process named: read without being run, run on request.

A run stores the hash of such a file, never its path. Paths come from a study file, a flag or SLBENCH_PLUGINS, so that
no store or archive can have code run; a worker process gets the paths from its launcher. Free of torch.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from slbench.errors import InputError, unreadable
from slbench.text import choices, one_line, shown

VARIABLE = "SLBENCH_PLUGINS"  # files, separated as in PATH
FLAG = "--plugin FILE"
MAX_FILES = 10_000  # of a package
SUFFIXES = (".py", ".safetensors")
SKIPPED = ("__pycache__",)
CHUNK = 1 << 20


@dataclass(frozen=True)
class UserFile:
    """A file or a package folder that the user named, at one content."""

    path: Path  # absolute
    sha256: str  # of the file; of names and contents of all files of a package
    module: str = ""  # name to import an installed package by; empty for a file that the user named by path

    @property
    def source(self) -> Path:
        """Return the file that is read for names: the file itself, or the `__init__.py` of a package."""
        return self.path / "__init__.py" if self.path.is_dir() else self.path

    @property
    def where(self) -> str:
        """Return the path as errors print it: relative to the working directory if that is shorter."""
        return min((str(self.path), os.path.relpath(self.path)), key=len)


named: dict[
    str, UserFile
] = {}  # by content: what the user of this process named, as sys.modules holds what it imported


def add(path: Path, *, module: str = "") -> UserFile:
    """Name a file or a package folder, so that runs of its content may use it. Reads it; runs nothing.

    Args:
        module: of an installed package.
    Raises:
        InputError: if it cannot be read, or is a folder without `__init__.py`.
    """
    path = path.expanduser().resolve()
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise InputError(f"{path}: is a folder without __init__.py; name a Python file, or a package")
    if path.is_file() and path.suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of file (got {shown(path.suffix)}){choices(SUFFIXES)}")
    file = UserFile(path, content_of(path), module)
    return named.setdefault(file.sha256, file)


def paths() -> tuple[str, ...]:
    """Return the paths of all named files, for workers of this process; they find installed packages themselves."""
    return tuple(str(file.path) for file in named.values() if not file.module)


def add_all(files: tuple[str, ...]) -> None:
    """Name the files of a launcher; one that has vanished since is left out, and missed by the run that needs it."""
    for file in files:
        try:
            add(Path(file))
        except InputError:
            continue


def locate(sha256: str, *, what: str) -> UserFile:
    """Return the named file with this content, as it is now.

    Args:
        what: the thing that is needed, for the error: "model TinyViT".
    Raises:
        InputError: if no named file has this content.
    """
    if sha256 not in named:
        add_all(tuple(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))))
    file = named.get(sha256)
    if file is None:
        raise InputError(
            f"{what}: no named file has its content (sha256 {sha256[:12]}); name the file with {FLAG}, "
            f"a study that uses it, or {VARIABLE}"
        )
    return file


def content_of(path: Path) -> str:
    """Return the sha256 of a file, or of the names and contents of all files of a package."""
    try:
        if not path.is_dir():
            return sha256_of(path)
        digest = hashlib.sha256()
        for number, file in enumerate(files_of(path)):
            if number == MAX_FILES:
                raise InputError(f"{path}: more than {MAX_FILES:,} files; name a smaller package")
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise unreadable(error.filename or path, error) from error


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a package in a fixed order, without caches and hidden ones."""
    for path in sorted(folder.iterdir()):
        if path.name in SKIPPED or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files_of(path)
        else:
            yield path


def sha256_of(path: Path) -> str:
    """Return the sha256 of a regular file, read in chunks."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no regular file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=64)
def syntax(file: UserFile) -> ast.Module:
    """Return the syntax tree of a Python file, after checking that its hash covers what it imports.

    Raises:
        InputError: with file and line, for a syntax error, or an import of another local file.
    """
    tree = parsed(file.source, shown_as=file.where)
    sources = [path for path in files_of(file.path) if path.suffix == ".py"] if file.path.is_dir() else [file.path]
    for source in sources:
        check_imports(source, file)
    return tree


def parsed(source: Path, *, shown_as: str) -> ast.Module:
    try:
        return ast.parse(source.read_bytes(), filename=str(source))
    except OSError as error:
        raise unreadable(source, error) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{shown_as}{line}: is no Python: {one_line(reason)}") from error


def check_imports(source: Path, file: UserFile) -> None:
    """Raise InputError if a source imports a local file that the hash of the named file does not cover.

    What stands beside an installed package is installed too, and identified by the versions of an environment.
    """
    if file.module:
        return
    is_package = file.path.is_dir()
    for node in ast.walk(parsed(source, shown_as=str(source))):
        if isinstance(node, ast.ImportFrom) and node.level and not is_package:
            raise InputError(f"{file.where}:{node.lineno}: relative import in a single file; {AS_PACKAGE}")
        heads = []
        if isinstance(node, ast.Import):
            heads = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            heads = [node.module.partition(".")[0]]
        for head in heads:
            beside = file.path.parent / head
            if head in sys.stdlib_module_names or not (
                beside.with_suffix(".py").is_file() or is_python_package(beside)
            ):
                continue
            where = f"{source if is_package else file.where}:{getattr(node, 'lineno', 1)}"
            if beside == file.path:
                raise InputError(f"{where}: imports its own package by name (got '{head}'); use a relative import")
            raise InputError(f"{where}: imports a local file that its hash does not cover (got '{head}'); {AS_PACKAGE}")


AS_PACKAGE = "put both into a package (a folder with __init__.py), import relatively, and name the folder"


def is_python_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def defined(file: UserFile) -> dict[str, ast.stmt]:
    """Return what a file defines at its top level, by name: classes, functions, values and imports."""
    found: dict[str, ast.stmt] = {}
    for node in syntax(file).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name: node for alias in node.names}
    return found


def check_defined(file: UserFile, name: str) -> None:
    """Raise InputError, with the names there are, unless a file defines a class or function of this name."""
    known = defined(file)
    if name not in known:
        callables = [each for each, node in known.items() if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        raise InputError(f"{file.where}: defines no class or function {shown(name)}{choices(callables, name)}")


def parameters(file: UserFile, name: str) -> list[str] | None:
    """Return the keyword arguments of a class or function of a file; None if the syntax does not tell all of them."""
    node = defined(file).get(name)
    if isinstance(node, ast.ClassDef):
        methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
        node = methods.get("__init__")
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg is not None:
        return None
    names = [argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]]
    return [each for each in names if each != "self"]


loaded: dict[str, ModuleType] = {}  # by content


def load(file: UserFile) -> ModuleType:
    """Run a file that the user named, once, and return its module.

    Raises:
        InputError: if its content has changed since it was named, or with file and line if it raises.
    """
    if file.sha256 in loaded:
        return loaded[file.sha256]
    syntax(file)
    if file.module:
        return imported(file)
    source = file.source.read_bytes()
    if (content_of(file.path) if file.path.is_dir() else hashlib.sha256(source).hexdigest()) != file.sha256:
        raise InputError(f"{file.where}: has changed since this command began; run the command again")
    name = f"slbench_user_{file.path.stem}_{file.sha256[:12]}".replace("-", "_").replace(".", "_")
    folder = [str(file.path)] if file.path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file.source, submodule_search_locations=folder)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no cache beside the user's files
    try:
        with redirect_stdout(sys.stderr):  # stdout is for documents
            exec(compile(source, str(file.source), "exec"), module.__dict__)  # the bytes whose hash was checked
    except Exception as error:
        del sys.modules[name]
        raise raised_in(file, error) from error
    finally:
        sys.dont_write_bytecode = writes
    loaded[file.sha256] = module
    return module


def imported(file: UserFile) -> ModuleType:
    """Import an installed package by its name, after checking its content."""
    if content_of(file.path) != file.sha256:
        raise InputError(f"{file.where}: has changed since this command began; run the command again")
    try:
        loaded[file.sha256] = importlib.import_module(file.module)
    except Exception as error:
        raise raised_in(file, error) from error
    return loaded[file.sha256]


def load_object(file: UserFile, name: str) -> Any:
    """Return an object of a file, which is run if it has not been; of a package also "module.Class"."""
    inner, _, name = name.rpartition(".")
    module = load(file)
    if inner:
        try:
            module = importlib.import_module(f"{module.__name__}.{inner}")
        except Exception as error:
            raise raised_in(file, error) from error
    else:
        check_defined(file, name)
    found = getattr(module, name, None)
    if not callable(found):
        raise InputError(f"{file.where}: {name}: must be a class or a function (got {shown(type(found).__name__)})")
    return found


def blamed(error: BaseException) -> InputError | None:
    """Return the line for an exception that a named file raised, or that it was running when it occurred; else None."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for file in named.values():
            if Path(frame.filename).is_relative_to(file.path):
                return raised_in(file, error)
    return None


def raised_in(file: UserFile, error: BaseException, *, doing: str = "") -> InputError:
    """Return the line for an exception of a user's code: file and line of the last frame in it, type and message."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(file.path)]
    line = f":{inside[-1].lineno}" if inside else ""
    at = str(inside[-1].filename) if inside and file.path.is_dir() else file.where
    head = f"{doing}: " if doing else ""
    return InputError(f"{at}{line}: {head}{type(error).__name__}: {one_line(str(error)) or 'no message'}")
