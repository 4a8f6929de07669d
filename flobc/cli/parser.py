"""The argument parser: every mistake becomes one sentence with the nearest right name."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from flobc import __version__
from flobc.errors import UsageError
from flobc.learning.suggest import suggest


class CommandParser(argparse.ArgumentParser):
    """A parser that raises UsageError instead of printing its usage and leaving."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(allow_abbrev=False, **options)
        self.known: list[str] = ["--help"]

    def learn(self, *names: str) -> None:
        """Remember names of commands or options, to suggest them."""
        self.known += names

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with one sentence. **Raises** UsageError."""
        unknown = re.search(r"invalid choice: '([^']*)'", message)
        if unknown:
            near = suggest(unknown[1], self.known)
            raise UsageError(f"There is no command {unknown[1]!r}{near} See: {self.prog} --help")
        flag, _, reason = message.removeprefix("argument ").rpartition(": ")
        if "expected one argument" in reason:
            raise UsageError(f"{flag} needs a value; see: {self.prog} --help")
        if "ignored explicit argument" in reason:
            raise UsageError(f"{flag} takes no value; see: {self.prog} --help")
        if reason == "COMMAND":
            raise UsageError(f"A command is missing; see: {self.prog} --help")
        if "required" in message:
            raise UsageError(f"{self.prog} needs {reason}; see: {self.prog} --help")
        raise UsageError(f"{message}; see: {self.prog} --help")


class HelpFormatter(argparse.HelpFormatter):
    """Help in one column for long options, wide enough to read."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 30, width: int = 100) -> None:
        super().__init__(prog, indent_increment, max_help_position, width)


def parse(parser: CommandParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed arguments; ``parser`` in them is the command's own. **Raises** UsageError."""
    parsed, extra = parser.parse_known_args(arguments)
    if not extra:
        return parsed
    command: CommandParser = getattr(parsed, "parser", parser)
    options = [item.partition("=")[0] for item in extra if item.startswith("-")]
    if options:
        near = suggest(options[0], command.known)
        raise UsageError(f"There is no option {options[0]!r}{near} See: {command.prog} --help")
    raise UsageError(f"{command.prog} does not expect {extra[0]!r}; see: {command.prog} --help")


def lazily(module: str, function: str = "execute") -> Callable[[argparse.Namespace], int]:
    """Return a function that imports its module when called, so that ``flobc --help`` loads no library."""

    def execute(arguments: argparse.Namespace) -> int:
        found: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(f"flobc.cli.{module}"), function)
        return found(arguments)

    return execute


def add_commands(parser: CommandParser, title: str) -> Commands:
    """Return what adds commands below a parser; one of them must be given."""
    return Commands(parser, parser.add_subparsers(title=title, metavar="COMMAND", required=True))


class Commands:
    """Adds commands below a parser."""

    def __init__(self, parser: CommandParser, actions: Any) -> None:
        self._parser = parser
        self._actions = actions

    def add(self, name: str, run: Any, about: str) -> CommandParser:
        """Add a command that calls ``run(arguments)``; ``run`` is None for a group of commands."""
        self._parser.learn(name)
        command: CommandParser = self._actions.add_parser(name, help=about, description=about.capitalize() + ".")
        command.set_defaults(run=run, parser=command)
        return command


def add_option(parser: Any, command: CommandParser, flag: str, **options: Any) -> None:
    """Add an option to a parser, or to a group in it, and remember its name."""
    parser.add_argument(flag, **options)
    command.learn(flag)


def add_output_options(command: CommandParser) -> None:
    """Add what every command takes."""
    add_option(command, command, "--json", action="store_true", help="data as JSON on stdout")
    add_option(command, command, "--quiet", action="store_true", help="say nothing on stderr but errors")


def add_place(command: CommandParser, what: str = "the run to look at; the newest unless given") -> None:
    """Add the two ways to name a run: a path, or ``--dir``."""
    command.add_argument("path", nargs="?", metavar="PATH", help=f"{what} (or an exported chain)")
    add_option(command, command, "--dir", metavar="DIR", help="the same as PATH")


def add_ledger_access(command: CommandParser) -> None:
    """Add what a command shows ledgers that ask who it is, when its PATH is their address."""
    group = command.add_argument_group("PATH may also be ledgers, HOST:PORT,HOST:PORT, and these their mutual TLS")
    add_option(group, command, "--tls-ca", metavar="FILE", help="PEM file of the authority")
    add_option(group, command, "--tls-certificate", metavar="FILE", help="PEM file of your certificate")
    add_option(group, command, "--tls-key", metavar="FILE", help="PEM file of its key")


def build_root() -> CommandParser:
    """Return the parser of ``flobc`` itself, without commands."""
    parser = CommandParser(prog="flobc", description="Federated learning on a chain that anyone can verify.")
    parser.add_argument("--version", action="version", version=f"flobc {__version__}")
    parser.learn("--version")
    return parser
