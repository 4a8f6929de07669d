"""``flobc export``: a model or a whole chain as files to hand on."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from flobc.cli import kinds
from flobc.cli.archives import open_chain, require_height
from flobc.cli.output import Talk, print_fields, print_json
from flobc.cli.steps import show_steps
from flobc.composition.archive import export_chain, export_model
from flobc.errors import UsageError


def execute_model(arguments: Namespace) -> int:
    """Write a model as safetensors with a manifest beside it."""
    out = choose_out(arguments)
    height = None if arguments.height is None else kinds.whole(0).read("--height", arguments.height)
    archive = open_chain(arguments)
    if height:
        require_height(height, "--height", archive.height)
    manifest = export_model(archive, out, height, force=arguments.force)
    if arguments.json:
        print_json({"out": str(out), **manifest})
    else:
        print_fields((("written", out), ("height", manifest["height"]), ("bytes", out.stat().st_size)))
    return 0


def execute_chain(arguments: Namespace) -> int:
    """Write a chain as one file that anyone can verify."""
    out = choose_out(arguments)
    archive = open_chain(arguments)
    with show_steps("exporting", Talk(arguments.quiet)) as progress:
        export_chain(archive, out, payloads=not arguments.no_payloads, progress=progress, force=arguments.force)
    data: dict[str, object] = {"out": str(out), "height": archive.height, "bytes": out.stat().st_size}
    if arguments.json:
        print_json(data)
    else:
        print_fields((("written", out), ("height", archive.height), ("bytes", data["bytes"])))
    return 0


def choose_out(arguments: Namespace) -> Path:
    """Return where to write. **Raises** UsageError when its folder is not there."""
    out: Path = kinds.path().read("--out", arguments.out)
    if not out.parent.is_dir():
        raise UsageError(f"There is no directory {out.parent} to write {out.name} into; make it first.")
    return out
