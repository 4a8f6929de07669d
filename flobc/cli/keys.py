"""``flobc keys``: make a node's key and show its public half. The secret is never printed."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from flobc.adapters.filesystem.keys import create_key_file, is_private, load_key_file
from flobc.cli import kinds
from flobc.cli.output import Talk, print_json
from flobc.protocol.identity import Identity


def execute_new(arguments: Namespace) -> int:
    """Make a key file and print the public key."""
    path = kinds.path().read("FILE", arguments.file)
    print_key(path, create_key_file(path), arguments)
    Talk(arguments.quiet).say(f"The secret key is in {path}; keep a copy of it in a safe place.")
    return 0


def execute_show(arguments: Namespace) -> int:
    """Print the public key of a key file."""
    path = kinds.path().read("FILE", arguments.file)
    print_key(path, load_key_file(path), arguments)
    if not is_private(path):
        Talk(arguments.quiet).warn(f"others may read the secret key; run: chmod 600 {path}")
    return 0


def print_key(path: Path, identity: Identity, arguments: Namespace) -> None:
    """Print a public key in hex."""
    if arguments.json:
        print_json({"public_key": identity.public_key.hex(), "file": str(path)})
    else:
        print(identity.public_key.hex())
