"""``flobc genesis``: everything a chain begins with, by one party or by several, written and not started."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path

from flobc.adapters.filesystem.keys import load_key_file
from flobc.cli import kinds
from flobc.cli.options import apply_options
from flobc.cli.output import Talk, print_fields, print_json, print_table
from flobc.cli.places import expand_path
from flobc.cli.public_keys import read_public_key
from flobc.cli.run import check_settings, complete
from flobc.composition.local.system import create_system
from flobc.composition.organisations.beginnings import describe_beginning, load_beginning
from flobc.composition.organisations.draft_file import load_draft, save_draft
from flobc.composition.organisations.drafts import Draft, Role, add_member, build_draft, seal_draft
from flobc.composition.presets import get_preset
from flobc.composition.run_directory import is_run_directory, load_genesis, validate_room
from flobc.composition.settings import RunSettings
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.protocol.identity import short_id
from flobc.protocol.params import get_chain_id

MODES = kinds.choice("allowlist", "invite", "open")
ROLES: tuple[Role, ...] = ("validator", "trainer", "operator")


def execute_new(arguments: Namespace) -> int:
    """Write a whole chain's beginning, keys included, or a draft that several parties complete."""
    if (arguments.dir is None) == (arguments.draft is None):
        raise UsageError("flobc genesis new needs --dir DIR (all keys here) or --draft FILE (parties add theirs).")
    settings = complete(apply_options(get_preset(arguments.given.preset or "default"), arguments.given))
    settings = apply_admission(settings, arguments)
    return _write_draft(settings, arguments) if arguments.draft is not None else _write_chain(settings, arguments)


def apply_admission(settings: RunSettings, arguments: Namespace) -> RunSettings:
    """Return the settings with the options on who may train. **Raises** UsageError."""
    admission = settings.params.admission
    if arguments.admission is not None:
        admission = dataclasses.replace(admission, mode=MODES.read("--admission", arguments.admission))
    if arguments.operator is not None:
        admission = dataclasses.replace(admission, operator=read_public_key("--operator", arguments.operator))
    if arguments.max_trainers is not None:
        most = kinds.whole(1, 2**32 - 1).read("--max-trainers", arguments.max_trainers)
        admission = dataclasses.replace(admission, max_trainers=most)
    return dataclasses.replace(settings, params=dataclasses.replace(settings.params, admission=admission))


def _write_chain(settings: RunSettings, arguments: Namespace) -> int:
    """Write keys, genesis, first model and settings of a new chain; keys that lie there already are kept."""
    root, talk = expand_path(arguments.dir), Talk(arguments.quiet)
    if is_run_directory(root):
        raise UsageError(f"The directory {root} holds a chain already and none is overwritten; choose another --dir.")
    admission = settings.params.admission
    if admission.mode == "invite" and admission.operator is None:
        raise UsageError("Admission by invitation needs who invites; add --operator KEY.")
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


def _write_draft(settings: RunSettings, arguments: Namespace) -> int:
    path, talk = expand_path(arguments.draft), Talk(arguments.quiet)
    given = {option.flag for option, _ in arguments.given.values}
    counted = sorted(given & {"--trainers", "--validators"})
    if counted:
        raise UsageError(
            f"{counted[0]} does not go with --draft: its members are who adds a key with flobc genesis add."
        )
    if path.exists():
        raise UsageError(f"{path} exists already and a draft is never overwritten; choose another name.")
    save_draft(path, build_draft(settings))
    _print_draft(load_draft(path), path, arguments)
    talk.say(f"Pass {path} on; each party adds its keys with: flobc genesis add {path} --validator KEY --trainer KEY")
    return 0


def execute_add(arguments: Namespace) -> int:
    """Add public keys to a draft: all of them, or none when one cannot be added."""
    path = expand_path(arguments.file)
    draft = load_draft(path)
    given = [(role, text) for role in ROLES for text in getattr(arguments, role) or ()]
    if not given:
        raise UsageError("flobc genesis add needs a key; give --validator, --trainer or --operator.")
    for role, text in given:
        draft = add_member(draft, role, read_public_key(f"--{role}", text))
    save_draft(path, draft)
    _print_draft(draft, path, arguments)
    return 0


def _print_draft(draft: Draft, path: Path, arguments: Namespace) -> None:
    if arguments.json:
        counts = {"validators": len(draft.validators), "trainers": len(draft.trainers)}
        print_json({"draft": str(path), **counts, "operator": draft.operator.hex() if draft.operator else None})
    else:
        members = f"{show_count(len(draft.validators), 'validator')}, {show_count(len(draft.trainers), 'trainer')}"
        print(f"{path}: {members}, not sealed")


def execute_seal(arguments: Namespace) -> int:
    """Turn a draft into a chain's genesis and first model."""
    root, talk = expand_path(arguments.dir), Talk(arguments.quiet)
    genesis = seal_draft(load_draft(expand_path(arguments.file)), root)
    chain = get_chain_id(genesis).hex()
    if arguments.json:
        counts = {"validators": len(genesis.validators), "trainers": len(genesis.trainers)}
        print_json({"directory": str(root), "chain": chain, **counts})
    else:
        print(chain)
    talk.say(f"Everybody compares this chain id before starting anything; see it with: flobc genesis show {root}")
    return 0


def execute_show(arguments: Namespace) -> int:
    """Print what a chain begins with: of a directory, a genesis or a draft."""
    beginning = load_beginning(expand_path(arguments.file))
    own = load_key_file(expand_path(arguments.key)).public_key if arguments.key is not None else None
    data = describe_beginning(beginning)
    if arguments.json:
        print_json({**data, **({} if own is None else {"own_role": beginning.find_role(own)})})
        return 0
    print_fields((name.replace("_", " "), _show(value)) for name, value in data.items() if not isinstance(value, list))
    members = beginning.list_members()
    if members:
        print()
        print_table(("role", "id", "public key"), [(role, short_id(key), key.hex()) for role, key in members])
    if own is not None:
        print(f"\nYour key {short_id(own)} is {beginning.find_role(own) or 'no member'} of this chain.")
    return 0


def _show(value: object) -> object:
    return "-" if value is None else value
