"""Every command: its name, its options, and the function that carries it out, imported when it is called."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable

from flobc.cli.options import CHAIN, GROUPS, PRESET_NAMES, read_options
from flobc.cli.parser import (
    CommandParser,
    Commands,
    add_commands,
    add_option,
    add_output_options,
    add_place,
    build_root,
)


def lazily(module: str, function: str = "execute") -> Callable[[Namespace], int]:
    """Return a function that imports its module when called, so that ``flobc --help`` loads no library."""

    def execute(arguments: Namespace) -> int:
        found: Callable[[Namespace], int] = getattr(importlib.import_module(f"flobc.cli.{module}"), function)
        return found(arguments)

    return execute


def execute_run(arguments: Namespace) -> int:
    """Read the options of ``flobc run`` before anything is loaded, so that a mistake is named at once."""
    arguments.given = read_options(vars(arguments))
    return lazily("run")(arguments)


def execute_up(arguments: Namespace) -> int:
    """Read the options of ``flobc up`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("system", "execute_up")(arguments)


def execute_genesis(arguments: Namespace) -> int:
    """Read the options of ``flobc genesis new`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("genesis", "execute_new")(arguments)


def execute_propose(arguments: Namespace) -> int:
    """Read the options of ``flobc succession propose`` before anything is loaded."""
    arguments.given = read_options(vars(arguments))
    return lazily("succession", "execute_propose")(arguments)


def build_parser() -> CommandParser:
    """Return the parser of the whole program."""
    root = build_root()
    commands = add_commands(root, "commands")
    add_run(commands)
    add_system(commands)
    add_genesis(commands)
    add_succession(commands)
    add_looks(commands)
    add_verify(commands)
    add_export(commands)
    add_keys(commands)
    add_data(commands)
    for name, about in (("tasks", "list the shipped tasks"), ("presets", "show what each preset sets")):
        add_output_options(commands.add(name, lazily("lists", f"execute_{name}"), about))
    return root


def add_run(commands: Commands) -> None:
    """Add ``flobc run`` with the options of the table."""
    command = commands.add("run", execute_run, "train a model among trainers and validators in this process")
    command.usage = "flobc run [OPTIONS]"
    add_run_options(command)
    group = command.add_argument_group("directory and output")
    add_option(
        group,
        command,
        "--dir",
        metavar="DIR",
        help="where the run is kept; a stopped run there goes on, a finished one may be extended with --rounds "
        "(default: a new directory in your data folder, or your same command's unfinished run)",
    )
    add_option(group, command, "--new", action="store_true", help="start anew; a run in --dir is moved aside")
    add_output_options(command)


def add_run_options(command: CommandParser) -> None:
    """Add the options of the table: what is learnt, by whom, and by which rules."""
    add_option(command, command, "--preset", metavar="|".join(PRESET_NAMES), help="starting point; see flobc presets")
    for title, options in GROUPS.items():
        group = command.add_argument_group(title)
        for option in options:
            action = "append" if option.repeatable else "store"
            add_option(group, command, option.flag, metavar=option.kind.metavar, help=option.help, action=action)


def add_system(commands: Commands) -> None:
    """Add ``flobc up`` and ``flobc down``."""
    up = commands.add("up", execute_up, "start Kafka, Redis and every service of a chain on this machine")
    up.usage = "flobc up --dir DIR [OPTIONS]"
    add_run_options(up)
    add_option(up, up, "--ledgers", metavar="N", default="1", help="how many ledgers; 1 unless given")
    down = commands.add("down", lazily("system", "execute_down"), "stop what flobc up started")
    for command in (up, down):
        add_option(command, command, "--dir", metavar="DIR", required=True, help="where the system lives")
        add_output_options(command)


def add_genesis(commands: Commands) -> None:
    """Add ``flobc genesis new``."""
    group = add_commands(commands.add("genesis", None, "make what a chain begins with"), "what")
    new = group.add("new", execute_genesis, "write keys, genesis and first model of a new chain, and start nothing")
    new.usage = "flobc genesis new --dir DIR [OPTIONS]"
    add_run_options(new)
    add_option(new, new, "--dir", metavar="DIR", required=True, help="where the chain's files are written")
    add_output_options(new)


def add_succession(commands: Commands) -> None:
    """Add ``flobc succession propose``, ``approve`` and ``assemble``."""
    group = add_commands(commands.add("succession", None, "end a chain and begin its successor"), "what")
    propose = group.add("propose", execute_propose, "write a plan: who validates and trains next, by which rules")
    propose.usage = "flobc succession propose [PATH] --out PLAN [OPTIONS]"
    add_place(propose, "the chain that ends; the newest run unless given")
    for role in ("validator", "trainer"):
        for verb, about in (("add", f"public key of a {role} that comes"), ("remove", "public key of one that goes")):
            add_option(
                propose, propose, f"--{verb}-{role}", metavar="KEY", action="append", help=f"{about}; repeatable"
            )
    rules = propose.add_argument_group("rules (as before unless given)")
    for option in CHAIN:
        add_option(rules, propose, option.flag, metavar=option.kind.metavar, help=option.help)
    approve = group.add(
        "approve", lazily("succession", "execute_approve"), "approve a plan for one validator, for ever"
    )
    approve.add_argument("plan", metavar="PLAN", help="the plan's file")
    add_option(approve, approve, "--genesis", metavar="FILE", required=True, help="genesis of the chain that ends")
    add_option(approve, approve, "--data", metavar="DIR", required=True, help="the validator's directory (FLOBC_DATA)")
    add_option(approve, approve, "--key", metavar="FILE", required=True, help="the validator's secret key")
    add_option(approve, approve, "--never-sealed", action="store_true", help="it never sealed a block of this chain")
    assemble = group.add("assemble", lazily("succession", "execute_assemble"), "write the successor's genesis")
    add_place(assemble, "a copy of the chain that ends, its log included")
    add_option(assemble, assemble, "--plan", metavar="PLAN", required=True, help="the plan's file")
    add_option(
        assemble, assemble, "--approval", metavar="FILE", action="append", required=True, help="an approval; repeatable"
    )
    about = "secret key of a new member on this machine, for flobc up; repeatable"
    add_option(assemble, assemble, "--node-key", metavar="FILE", action="append", help=about)
    for command, what in ((propose, "the plan"), (approve, "the approval"), (assemble, "the successor's directory")):
        add_option(command, command, "--out", metavar="PATH", required=True, help=f"where {what} is written")
        add_output_options(command)


def add_looks(commands: Commands) -> None:
    """Add ``flobc status``, ``flobc watch`` and ``flobc blocks``."""
    status = commands.add("status", lazily("status", "execute_status"), "show what a chain is and how far it is")
    add_place(status)
    add_output_options(status)
    watch = commands.add("watch", lazily("watch"), "show a chain's blocks as they come")
    add_place(watch)
    add_option(watch, watch, "--until", metavar="H", help="end with this height")
    add_output_options(watch)
    blocks = commands.add("blocks", lazily("status", "execute_blocks"), "show a chain's blocks")
    add_place(blocks)
    add_option(blocks, blocks, "--from", metavar="H", dest="from_height", help="first height")
    add_option(blocks, blocks, "--to", metavar="H", dest="to_height", help="last height")
    add_option(blocks, blocks, "--height", metavar="H", help="one block, with every decision")
    add_output_options(blocks)


def add_verify(commands: Commands) -> None:
    """Add ``flobc verify``."""
    command = commands.add("verify", lazily("verify"), "check a chain from its genesis to its head")
    add_place(command, "the run to verify; the newest unless given")
    add_option(command, command, "--full", action="store_true", help="also compute each model again from its updates")
    add_option(
        command, command, "--chain", metavar="DIGEST", help="the chain id that it must be, as its validators say"
    )
    add_option(command, command, "--parent", metavar="PATH", help="the chain (or its genesis) that it must succeed")
    add_output_options(command)


def add_export(commands: Commands) -> None:
    """Add ``flobc export model`` and ``flobc export chain``."""
    group = add_commands(commands.add("export", None, "write a model or a chain to a file"), "what")
    model = group.add("model", lazily("export", "execute_model"), "write a model as safetensors, with a manifest")
    add_option(model, model, "--height", metavar="H", help="the model of this height; the newest unless given")
    chain = group.add("chain", lazily("export", "execute_chain"), "write a chain as one file that anyone can verify")
    add_option(chain, chain, "--no-payloads", action="store_true", help="leave the updates out: small, but no --full")
    for command in (model, chain):
        add_place(command, "the run to export; the newest unless given")
        add_option(command, command, "--out", metavar="FILE", required=True, help="the file to write")
        add_option(command, command, "--force", action="store_true", help="overwrite the file")
        add_output_options(command)


def add_keys(commands: Commands) -> None:
    """Add ``flobc keys new`` and ``flobc keys show``."""
    group = add_commands(commands.add("keys", None, "make or show a node's key"), "what")
    for name, about in (("new", "make a secret key file"), ("show", "print the public key of a key file")):
        command = group.add(name, lazily("keys", f"execute_{name}"), about)
        command.add_argument("file", metavar="FILE", help="the key file")
        add_output_options(command)


def add_data(commands: Commands) -> None:
    """Add ``flobc data fetch``, ``list`` and ``split``."""
    group = add_commands(commands.add("data", None, "fetch, list and divide data sets"), "what")
    fetch = group.add("fetch", lazily("data", "execute_fetch"), "fetch a public data set and check it")
    fetch.add_argument("name", metavar="NAME", help="mnist or fashion-mnist")
    add_option(fetch, fetch, "--source", metavar="NAME", help="use this source only; see flobc data list")
    listed = group.add("list", lazily("data", "execute_list"), "list the data sets and which are here")
    split = group.add("split", lazily("data", "execute_split"), "divide a data set into one file per party")
    split.add_argument("source", metavar="FILE|TASK", help="a .npz or .csv file, or a task such as digits")
    add_option(split, split, "--parties", metavar="N", required=True, help="how many parties")
    add_option(split, split, "--out", metavar="DIR", required=True, help="a new directory")
    add_option(split, split, "--scheme", metavar="SCHEME", default="iid", help="as --sharding of flobc run")
    add_option(split, split, "--seed", metavar="N", default="0", help="of the draw; 0 unless given")
    add_option(split, split, "--label", metavar="NAME", default="label", help="the column to predict of a .csv")
    for command in (fetch, listed, split):
        add_option(command, command, "--data-dir", metavar="PATH", help="where data sets lie (also FLOBC_DATA_DIR)")
        add_output_options(command)
