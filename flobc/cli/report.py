"""``flobc report``: the page about one chain, of a run, a simulation or an export."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path

from flobc.cli.archives import choose_path
from flobc.cli.output import Talk, print_fields, print_json
from flobc.cli.places import expand_path
from flobc.cli.scaling import require_operator
from flobc.cli.status import show_value
from flobc.cli.steps import show_steps
from flobc.composition.archive import open_archive
from flobc.errors import UsageError


def execute(arguments: Namespace) -> int:
    """Write the page and say where it is."""
    require_operator("flobc report", "matplotlib")
    from flobc.composition.chain_report.page import write_chain_report  # noqa: PLC0415 - an optional package
    from flobc.composition.chain_report.reading import read_story  # noqa: PLC0415

    path = choose_path(arguments)
    output = choose_output(path, arguments.output)
    archive = open_archive(path)
    try:
        with show_steps("reading", Talk(arguments.quiet)) as progress:
            story = read_story(archive, path, progress)
    finally:
        archive.close()
    write_chain_report(story, output, shlex.join(["flobc", "report", path.name]))
    last = next((row.test_accuracy for row in reversed(story.blocks) if row.test_accuracy is not None), None)
    data = {"report": str(output / "report.md"), "height": len(story.blocks), "head": story.head, "test_accuracy": last}
    if arguments.json:
        print_json(data)
    else:
        print_fields((name.replace("_", " "), show_value(value)) for name, value in data.items())
    return 0


def choose_output(path: Path, given: str | None) -> Path:
    """Return where the page goes: into a run's directory, or beside an export. **Raises** UsageError for a file."""
    beside = path / "report" if path.is_dir() else path.with_name(f"{path.stem}-report")
    output = beside if given is None else expand_path(given)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, not a directory; choose another --output.")
    return output
