"""``flobc watch``: a chain as it grows; a line for each block, or on a terminal a picture that changes in place."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from flobc.cli import kinds
from flobc.cli.archives import choose_path, open_chain, read_addresses, read_tls
from flobc.cli.output import print_json
from flobc.cli.status import BLOCK_TITLES, describe_row
from flobc.cli.terminal import is_plain
from flobc.cli.watch_live import WINDOW, LiveWatch
from flobc.composition.archive.following import follow_blocks, follow_ledgers
from flobc.composition.reports import describe_block
from flobc.protocol.chain.block import Block

LAST_BLOCKS = 5
WIDTHS = (6, 9, 8, 8, 9, 8, 5, 16, 16)


def execute(arguments: Namespace) -> int:
    """Print the last blocks and every new one, until Ctrl-C or ``--until``."""
    path, archive = choose_path(arguments), open_chain(arguments)
    until = None if arguments.until is None else int(kinds.whole(1).read("--until", arguments.until))
    height = archive.height
    archive.close()
    is_live = not (arguments.json or is_plain(sys.stdout))
    first = max(1, height - (WINDOW if is_live else LAST_BLOCKS) + 1)
    addresses = read_addresses(arguments)
    blocks = follow_ledgers(addresses, read_tls(arguments), first) if addresses else follow_blocks(path, first)
    if is_live:
        show_live(blocks, height, until)
        return 0
    if not arguments.json:
        print_row(BLOCK_TITLES)
    for block in blocks:
        described = describe_block(block)
        if arguments.json:
            print_json(described)
        else:
            print_row(describe_row(described))
        if until is not None and block.height >= until:
            break
    return 0


def show_live(blocks: Iterator[Block], before: int, until: int | None) -> None:
    """Draw blocks until a height is reached; those up to ``before`` were there already."""
    with LiveWatch() as live:
        for block in blocks:
            live.show(describe_block(block), block.height > before)
            if until is not None and block.height >= until:
                break


def print_row(cells: tuple[str, ...]) -> None:
    """Print a row of a table whose end is not known, at once even into a pipe."""
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)
