"""Commands that are imported on use: help pages and completion need only their names and first lines."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from slbench.cli.text_layout import help_page
from slbench.cli.usage_errors import name_of
from slbench.errors import InputError


@dataclass(frozen=True)
class CommandEntry:
    """Entry of the table of commands."""

    function: str  # "module:function" below slbench.cli
    help: str  # the first paragraph of its docstring; a test compares them


@dataclass(frozen=True)
class QuickConversion:
    """typer's conversion of a value, without importing pydantic where no conversion is needed."""

    kind: type
    convert: Callable[[], Any]  # returns typer's own conversion

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if self.kind is Path and value == "":  # Path("") is the current folder
            raise InputError(f"{name_of(param)}: must not be empty; for the current folder: .")
        if value is None or isinstance(value, self.kind):
            return value
        return self.convert().coerce(value, param=param, ctx=ctx)


def with_quick_conversion(parameter: Any) -> Any:
    """Return the parameter, patched if it is single-valued and this typer converts with pydantic."""
    convert, descriptor = getattr(parameter, "get_runtime_param", None), getattr(parameter, "type_descriptor", None)
    is_single = not getattr(parameter, "multiple", False) and getattr(parameter, "nargs", 1) == 1
    if convert is not None and descriptor is not None and is_single and not hasattr(parameter, "is_quick"):
        kind = descriptor.annotation if descriptor.annotation in (str, bool, Path) else type(None)
        conversion = QuickConversion(kind, convert)
        parameter.get_runtime_param, parameter.is_quick = lambda: conversion, True
    return parameter


class QuickCommand(TyperCommand):
    """A command whose options load pydantic only for values that need it."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [with_quick_conversion(parameter) for parameter in super().get_params(ctx)]


class LazyCommand(TyperCommand):
    """A command whose module is imported when its arguments are parsed."""

    def __init__(self, name: str, entry: CommandEntry) -> None:
        super().__init__(name, help=entry.help)
        self.function = entry.function

    def load(self) -> TyperCommand:
        """Import the module; return the command with its options."""
        module, name = self.function.split(":")
        app = typer.Typer(rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name, cls=QuickCommand)(getattr(importlib.import_module(f"slbench.cli.{module}"), name))
        command = typer.main.get_command(app)
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        return self.load().make_context(*arguments, **more)


class CommandGroup(TyperGroup):
    """Group of lazy commands. Its help page is drawn without rich, which is slow to import."""

    def add_commands(self, table: Mapping[str, CommandEntry]) -> None:
        for name, entry in table.items():
            self.add_command(LazyCommand(name, entry))

    def get_params(self, ctx: Any) -> list[Any]:
        return [with_quick_conversion(parameter) for parameter in super().get_params(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        records = [record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))]
        commands = [(name, command.help or "") for name, command in self.commands.items()]
        usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])
        formatter.write(help_page(usage, self.help or "", {"Options": records, "Commands": commands}))
