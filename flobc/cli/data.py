"""``flobc data``: fetch public data sets, list them, and divide a set among parties."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from flobc.cli import kinds
from flobc.cli.options import check_scheme
from flobc.cli.output import Talk, print_fields, print_json, print_table
from flobc.cli.places import expand_path, get_data_directory
from flobc.learning.data.fetch import SOURCES, fetch_data_set
from flobc.learning.data.files import MANIFEST_NAME, read_examples, split_to_directory
from flobc.learning.shards import parse_scheme
from flobc.learning.task import DataSource, Examples
from flobc.learning.tasks import get_task


def execute_fetch(arguments: Namespace) -> int:
    """Fetch a data set and print where it is."""
    talk, directory = Talk(arguments.quiet), choose_directory(arguments)
    found = fetch_data_set(arguments.name, directory, talk.say, arguments.source)
    if arguments.json:
        print_json({"name": arguments.name, "path": str(found)})
    else:
        print(found)
    return 0


def execute_list(arguments: Namespace) -> int:
    """Print the data sets that can be fetched, and which are there."""
    directory = choose_directory(arguments)
    sets = [
        {
            "name": name,
            "present": (directory / name).is_dir(),
            "path": str(directory / name),
            "sources": [source.name for source in sources],
        }
        for name, sources in SOURCES.items()
    ]
    if arguments.json:
        print_json({"directory": str(directory), "data_sets": sets})
        return 0
    rows = (
        (name, "yes" if (directory / name).is_dir() else "no", " ".join(source.name for source in sources))
        for name, sources in SOURCES.items()
    )
    print_table(("name", "present", "sources"), rows)
    Talk(arguments.quiet).say(f"They lie in {directory}; digits and synthetic need no files.")
    return 0


def execute_split(arguments: Namespace) -> int:
    """Divide a data set into one file per party."""
    parties = kinds.whole(1, 10_000).read("--parties", arguments.parties)
    seed = kinds.seed().read("--seed", arguments.seed)
    scheme = parse_scheme(kinds.text("SCHEME", check_scheme).read("--scheme", arguments.scheme))
    out: Path = kinds.path().read("--out", arguments.out)
    manifest = split_to_directory(read_source(arguments), out, parties, scheme, seed)
    files = [{"file": party.file, "examples": party.examples, "sha256": party.digest} for party in manifest.parties]
    if arguments.json:
        print_json({"out": str(out), "scheme": manifest.scheme, "seed": manifest.seed, "parties": files})
        return 0
    print_fields((("written", out), ("scheme", manifest.scheme), ("manifest", out / MANIFEST_NAME)))
    print_table(("file", "examples"), ((party.file, str(party.examples)) for party in manifest.parties))
    return 0


def read_source(arguments: Namespace) -> Examples:
    """Return the examples of a file, or the training part of a task's data. **Raises** DataError, UsageError."""
    path = expand_path(arguments.source)
    if path.suffix in (".npz", ".csv") or path.exists():
        return read_examples(path, arguments.label)
    return get_task(arguments.source).load(DataSource(choose_directory(arguments))).train


def choose_directory(arguments: Namespace) -> Path:
    """Return where data sets lie."""
    if arguments.data_dir is None:
        return get_data_directory()
    chosen: Path = kinds.path().read("--data-dir", arguments.data_dir)
    return chosen
