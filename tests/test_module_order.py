"""The map of the package in slbench/__init__.py: complete, and imports only go down."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import slbench

PACKAGE = Path(slbench.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path not in (PACKAGE / "__init__.py", PACKAGE / "__main__.py"))
MAY_PRINT = ("cli/", "grid/worker.py")


@cache
def modules() -> list[str]:
    """Return the modules from top to bottom, as in the docstring: "cli", "report", ..., "errors"."""
    assert slbench.__doc__ is not None
    lines = slbench.__doc__.partition("Modules from top to bottom")[2].splitlines()
    names = []
    for line in lines:
        if match := re.match(r"    ([a-z_]+(?:/|\.py)(?:, [a-z_]+\.py)*)", line):
            names += [name.strip().removesuffix("/").removesuffix(".py") for name in match[1].split(",")]
    return names


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of all imports of a file, also those inside functions and for types."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_the_map_names_every_module_once() -> None:
    existing = {module_of(path) for path in FILES}
    assert len(modules()) == len(set(modules()))
    assert set(modules()) == existing


def test_the_map_has_the_order_of_the_design() -> None:
    order = ["cli", "report", "train", "measure", "study", "store", "spec", "data", "backbones", "methods", "recipes"]
    assert [module for module in modules() if module in order] == order
    assert modules()[-3:] == ["names", "errors", "text"]


def test_imports_go_down() -> None:
    upward = [
        f"{name(path)} imports {target}"
        for path in FILES
        for target in imported(path)
        if target.startswith("slbench.") and target != "slbench.__version__"
        if modules().index(target.split(".")[1]) < modules().index(module_of(path))
    ]
    assert not upward


def test_only_the_command_line_imports_typer_and_rich() -> None:
    users = {name(path) for path in FILES for target in imported(path) if target.partition(".")[0] in ("typer", "rich")}
    assert users
    assert all(user.startswith("cli/") for user in users)


def test_only_the_command_line_and_the_worker_print_and_exit() -> None:
    printing = {name(path) for path in FILES for call in calls(path) if call in ("print", "sys.exit", "exit", "quit")}
    assert printing
    assert all(user.startswith(MAY_PRINT) for user in printing)


def test_modules_that_list_and_check_names_import_nothing_heavy_at_the_top() -> None:
    free = (
        "study",
        "store",
        "spec",
        "machine",
        "validation",
        "recipes",
        "numerics_versions",
        "names",
        "errors",
        "cli",
        "grid",
    )
    heavy = {"torch", "torchvision", "pandas", "fvcore", "matplotlib", "numpy"}
    for path in FILES:
        if module_of(path) in free:
            top = {node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)}
            imports = {getattr(node, "module", None) or node.names[0].name for node in top}
            assert not heavy & {module.partition(".")[0] for module in imports}, name(path)


def test_no_file_imports_itself_through_others() -> None:
    paths = {f"slbench.{name(path)[:-3].replace('/', '.').removesuffix('.__init__')}": path for path in FILES}
    imports = {
        module: {part for target in imported(path) for part in (target, target.rpartition(".")[0]) if part in paths}
        for module, path in paths.items()
    }
    done: set[str] = set()

    def visit(module: str, chain: tuple[str, ...]) -> None:
        assert module not in chain, " -> ".join((*chain, module))
        if module not in done:
            for target in imports[module] - {module}:
                visit(target, (*chain, module))
            done.add(module)

    for module in paths:
        visit(module, ())
