"""Commands that are imported when they are used: a help page and completion need their names and first lines alone."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from slbench.cli.text_layout import help_page


@dataclass(frozen=True)
class CommandEntry:
    """What the table of commands says of one."""

    function: str  # "module:function" below slbench.cli
    help: str  # the first paragraph of its docstring; a test compares them


class LazyCommand(TyperCommand):
    """A command whose module is imported when its arguments are parsed."""

    def __init__(self, name: str, entry: CommandEntry) -> None:
        super().__init__(name, help=entry.help)
        self.function = entry.function

    def load(self) -> TyperCommand:
        """Import the module; return the command with its options."""
        module, name = self.function.split(":")
        app = typer.Typer(rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name)(getattr(importlib.import_module(f"slbench.cli.{module}"), name))
        command = typer.main.get_command(app)
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        return self.load().make_context(*arguments, **more)


class CommandGroup(TyperGroup):
    """A group of lazy commands, and groups of them. Its help page is drawn without rich, which takes long to import."""

    def add_commands(self, table: Mapping[str, CommandEntry]) -> None:
        for name, entry in table.items():
            self.add_command(LazyCommand(name, entry))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        records = [record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))]
        commands = [(name, command.help or "") for name, command in self.commands.items()]
        usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])
        formatter.write(help_page(usage, self.help or "", {"Options": records, "Commands": commands}))
