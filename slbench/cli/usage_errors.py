"""Usage errors that typer finds, in the form of all other messages."""

import re
from typing import Any

import typer

from slbench.text import choices, guess, shown


def usage_message(error: typer.TyperException) -> str:
    """Return the message of a usage error: `--flag: problem (got X)`; typer's own for kinds unknown here."""
    parameter: Any = getattr(error, "param", None)
    problems = getattr(error.__cause__, "errors", None)  # of pydantic, which converts values for newer typers
    if parameter is not None and problems is not None:
        return f"{name_of(parameter)}: {conversion_problem(problems()[0])}"
    text = error.format_message()
    if match := re.match(r"Missing (?:argument|option) '(.*)'", text):
        return f"{match[1]}: is missing"
    if match := re.match(r"Option '(.*?)' (.*?)\.?$", text):
        return f"{match[1]}: {match[2]}"
    if match := re.match(r"No such (command|option):? '?(-*\w[\w-]*)", text):
        return f"{match[2]}: no such {match[1]}{similar_names(text, match[2])}"
    return text


def name_of(parameter: Any) -> str:
    """Return the flag of an option, or the name of an argument in its usage."""
    longest: str = max(parameter.opts, key=len)
    return longest if longest.startswith("-") else str(parameter.metavar or parameter.name)


def conversion_problem(error: dict[str, Any]) -> str:
    """Return what is wrong with a value that could not be converted."""
    from slbench.validation import in_toml_terms

    return f"{in_toml_terms(error['msg'].partition(', unable')[0])} (got {shown(error['input'])})"


def similar_names(text: str, name: str) -> str:
    """Return typer's suggestions, if any: the closest, or all if none is close."""
    found = re.findall(r"-*\w[\w-]*", re.split(r"Did you mean|Possible options:", f"{text} Did you mean ")[1])
    return guess(name, found) or choices(found)
