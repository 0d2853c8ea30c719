"""Checks of the shapes in annotations, by jaxtyping and beartype."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slbench


def modules_with_shapes() -> list[str]:
    """Return the names of all modules of the package that import jaxtyping."""
    root = Path(slbench.__file__).parent
    return [
        ".".join(path.relative_to(root.parent).with_suffix("").parts)
        for path in sorted(root.rglob("*.py"))
        if "from jaxtyping import" in path.read_text()
    ]


def check_on_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that beartype checks; it is built at the first call, since most are never called."""
    checked: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not checked:
            from beartype import beartype

            checked.append(beartype(function))
        return checked[0](*arguments, **named)

    return call
