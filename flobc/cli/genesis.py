"""``flobc genesis new``: everything a chain begins with, written and not started."""

from __future__ import annotations

from argparse import Namespace

from flobc.cli.options import apply_options
from flobc.cli.output import Talk, print_json
from flobc.cli.places import expand_path
from flobc.cli.run import check_settings, complete
from flobc.composition.local.system import create_system
from flobc.composition.presets import get_preset
from flobc.composition.run_directory import is_run_directory, load_genesis, validate_room
from flobc.errors import UsageError
from flobc.protocol.params import get_chain_id


def execute_new(arguments: Namespace) -> int:
    """Write keys, genesis, first model and settings of a new chain; keys that lie there already are kept."""
    root, talk = expand_path(arguments.dir), Talk(arguments.quiet)
    if is_run_directory(root):
        raise UsageError(f"The directory {root} holds a chain already and none is overwritten; choose another --dir.")
    settings = complete(apply_options(get_preset(arguments.given.preset or "default"), arguments.given))
    check_settings(settings)
    if root.exists() and not (root / "nodes").exists():
        validate_room(root)
    create_system(root, settings, 0)
    chain = get_chain_id(load_genesis(root)).hex()
    if arguments.json:
        print_json(
            {
                "directory": str(root),
                "chain": chain,
                "trainers": settings.trainers,
                "validators": settings.validators,
            }
        )
    else:
        print(chain)
    talk.say(
        f"The chain's genesis is in {root}, the nodes' secret keys in {root / 'nodes'}; keep a copy in a safe place."
    )
    return 0
