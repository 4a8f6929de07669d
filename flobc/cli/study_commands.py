"""The commands that ask "what if", and that write pages about what was found."""

from __future__ import annotations

from flobc.cli.parser import Commands, add_option, add_output_options, add_place, lazily


def add_simulate(commands: Commands) -> None:
    """Add ``flobc simulate``."""
    command = commands.add("simulate", lazily("simulate"), "let a scenario's world go on under a virtual clock")
    command.usage = "flobc simulate SCENARIO.yaml [OPTIONS]"
    command.epilog = "example: flobc simulate examples/scenarios/stragglers.yaml --out results"
    command.add_argument("scenario", metavar="SCENARIO.yaml", help="the world; docs/simulation.md lists every key")
    add_option(command, command, "--dir", metavar="DIR", help="keep the chain there, results beside it")
    add_option(command, command, "--out", metavar="DIR", help="write results.json, results.csv and trainers.csv there")
    add_option(command, command, "--new", action="store_true", help="a run in --dir is moved aside")
    add_option(command, command, "--seed", metavar="N", help="instead of the scenario's")
    add_option(command, command, "--rounds", metavar="N", help="instead of the scenario's")
    add_option(
        command,
        command,
        "--workers",
        metavar="N",
        default="0",
        help="threads, and processes with 200 trainers or more; 0 is one per core",
    )
    add_output_options(command)


def add_experiment(commands: Commands) -> None:
    """Add ``flobc experiment``."""
    command = commands.add("experiment", lazily("experiments"), "repeat a study with every seed and write a page of it")
    command.usage = "flobc experiment NAME|FILE.yaml [OPTIONS]"
    command.epilog = "example: flobc experiment reward-penalty --output docs/experiments/reward-penalty"
    command.add_argument(
        "experiment", nargs="?", metavar="NAME|FILE.yaml", help="which one; docs/experiments.md lists every key"
    )
    add_option(
        command, command, "--output", metavar="DIR", help="cells and report; what is there already is not done again"
    )
    add_option(command, command, "--seeds", metavar="N", help="seeds 1 to N instead of the experiment's")
    add_option(command, command, "--only", metavar="CELL", help="cells with this in their name, or of a pattern with *")
    add_option(command, command, "--workers", metavar="N", default="0", help="processes; 0 is one per core")
    add_option(command, command, "--quick", action="store_true", help="one seed and few rounds, to try it out")
    add_option(command, command, "--list", action="store_true", help="show the experiments, or the cells of one")
    add_output_options(command)


def add_report(commands: Commands) -> None:
    """Add ``flobc report``."""
    command = commands.add("report", lazily("report"), "write a page about a chain: accuracy, trust, rejections, bytes")
    command.epilog = "example: flobc report chain --output page"
    add_place(command, "the run to report on; the newest unless given")
    about = "where it is written (default: report/ in the run's directory, NAME-report beside an export)"
    add_option(command, command, "--output", metavar="DIR", help=about)
    add_output_options(command)
