"""``flobc verify``: check a chain from its genesis keys, and its models if asked to."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from flobc.cli import kinds
from flobc.cli.archives import open_chain, read_addresses
from flobc.cli.output import Talk, print_fields, print_json
from flobc.cli.steps import show_steps
from flobc.composition.archive import open_archive
from flobc.composition.verification import VerifyReport, verify_chain
from flobc.composition.verification.succession import verify_succession
from flobc.errors import VerificationError
from flobc.ports.archive import ChainArchive
from flobc.protocol.params import get_chain_id


def execute(arguments: Namespace) -> int:
    """Verify and print what was checked. **Raises** VerificationError."""
    talk, wanted = Talk(arguments.quiet), read_chain_id(arguments)
    archive = open_chain(arguments)
    try:
        if wanted is not None:
            require_chain(archive, wanted)
        with show_steps("verifying", talk) as progress:
            report = verify_chain(archive, full=arguments.full, progress=progress)
        for warning in report.warnings:
            talk.warn(warning)
        require_complete(report, has_log=not read_addresses(arguments))
        check_parent(archive, arguments, talk)
    except VerificationError as error:
        if arguments.json:
            print_json({"verified": False, "height": error.height, "rule": error.rule, "message": str(error)})
        raise
    if arguments.json:
        print_json(describe_report(report) | describe_parent(archive, arguments))
    else:
        print_report(report, full=arguments.full)
        if archive.genesis.parent is not None:
            print_fields((name, value) for name, value in describe_parent(archive, arguments).items())
    return 0


def check_parent(archive: ChainArchive, arguments: Namespace, talk: Talk) -> None:
    """Check the link to the chain given as ``--parent``. **Raises** VerificationError, DataError."""
    parent = archive.genesis.parent
    if arguments.parent is not None:
        if not verify_succession(kinds.path().read("--parent", arguments.parent), archive.genesis):
            talk.warn("The parent's block at the start is not there to compare; its proof in the genesis was checked.")
    elif parent is not None:
        talk.warn(
            f"This chain says that it succeeds chain {parent.header.chain.hex()} from block {parent.header.height}; "
            "check that with --parent PATH."
        )


def describe_parent(archive: ChainArchive, arguments: Namespace) -> dict[str, object]:
    """Return what the genesis says of its parent, and whether that was checked, as JSON data."""
    parent = archive.genesis.parent
    if parent is None:
        return {}
    return {
        "parent": parent.header.chain.hex(),
        "start": parent.header.height,
        "succession": "verified" if arguments.parent is not None else "not checked",
    }


def read_chain_id(arguments: Namespace) -> bytes | None:
    """Return the chain id that is asked for. **Raises** UsageError when it is none."""
    if arguments.chain is None:
        return None
    wanted: bytes = kinds.digest().read("--chain", arguments.chain)
    return wanted


def require_chain(archive: ChainArchive, wanted: bytes) -> None:
    """Check that this is the chain that is asked for. **Raises** VerificationError."""
    found = get_chain_id(archive.genesis)
    if found != wanted:
        raise VerificationError(
            0, "CHAIN-1", f"this is chain {found.hex()}, but {wanted.hex()} is asked for; get a copy of that one."
        )


def require_complete(report: VerifyReport, *, has_log: bool = True) -> None:
    """Check that nothing was skipped that was asked for; ledgers are not asked for a log. **Raises** VerificationError.

    Without the log a block stands on its certificate: a quorum of validators signed it.
    """
    if report.unlogged and has_log:
        raise VerificationError(
            report.unlogged[0],
            "complete verification",
            f"the log does not reach {count_blocks(report.unlogged)}, so certificates alone were checked there; "
            "verify a copy with the whole log.",
        )
    if report.certificate_only:
        raise VerificationError(
            report.certificate_only[0],
            "full verification",
            f"the updates of {count_blocks(report.certificate_only)} are not held, so their models could not be "
            "computed again; verify without --full, or a copy that has them.",
        )


def count_blocks(heights: Sequence[int]) -> str:
    """Return how many blocks, and which."""
    if len(heights) == 1:
        return f"block {heights[0]}"
    return f"{len(heights)} blocks from {heights[0]} to {heights[-1]}"


def check_chain(root: Path, talk: Talk) -> None:
    """Verify a run's own chain, without computing its models again. **Raises** VerificationError."""
    with show_steps("verifying", talk) as progress:
        require_complete(verify_chain(open_archive(root), full=False, progress=progress))


def describe_report(report: VerifyReport) -> dict[str, object]:
    """Return what was checked as JSON data."""
    data = dataclasses.asdict(report)
    digests = {"chain": report.chain.hex(), "head": report.head.hex()}
    return {"verified": True, **data, **digests, "complete": report.complete}


def print_report(report: VerifyReport, *, full: bool) -> None:
    """Print what was checked for people."""
    log = "; there was no log to check" if report.unlogged else " and the log that made them"
    models = f"{len(report.recomputed)} computed again, each with the same digest" if full else "not computed again"
    print_fields(
        (
            ("verified", "yes"),
            ("chain", report.chain.hex()),
            ("height", report.height),
            ("head", report.head.hex()),
            ("blocks", f"{report.blocks_checked} checked: links, certificates, bodies{log}"),
            ("models", models if full else f"{models}; flobc verify --full does"),
            ("records", f"{report.rejected_records} rejected"),
        )
    )
