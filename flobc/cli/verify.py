"""``flobc verify``: check a chain from its genesis keys, and its models if asked to."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from typing import TYPE_CHECKING

from flobc.cli.archives import open_chain
from flobc.cli.output import Talk, print_fields, print_json
from flobc.cli.steps import show_steps
from flobc.composition.verification import verify_chain
from flobc.errors import VerificationError

if TYPE_CHECKING:
    from flobc.composition.verification import VerifyReport


def execute(arguments: Namespace) -> int:
    """Verify and print what was checked. **Raises** VerificationError."""
    talk = Talk(arguments.quiet)
    archive = open_chain(arguments)
    try:
        with show_steps("verifying", talk) as progress:
            report = verify_chain(archive, full=arguments.full, progress=progress)
        for warning in report.warnings:
            talk.warn(warning)
        require_complete(report)
    except VerificationError as error:
        if arguments.json:
            print_json({"verified": False, "height": error.height, "rule": error.rule, "message": str(error)})
        raise
    if arguments.json:
        print_json(describe_report(report))
    else:
        print_report(report, full=arguments.full)
    return 0


def require_complete(report: VerifyReport) -> None:
    """Check that nothing was skipped that was asked for. **Raises** VerificationError."""
    if not report.complete:
        skipped = report.certificate_only or (report.height,)
        raise VerificationError(
            skipped[0],
            "full verification",
            f"{len(skipped)} of {report.height} models could not be computed again because their payloads are not "
            "held, so their certificates alone were checked; verify without --full or where the payloads are.",
        )


def describe_report(report: VerifyReport) -> dict[str, object]:
    """Return what was checked as JSON data."""
    data = dataclasses.asdict(report)
    return {**data, "head": report.head.hex(), "verified": True}


def print_report(report: VerifyReport, *, full: bool) -> None:
    """Print what was checked for people."""
    models = f"{len(report.recomputed)} computed again, each with the same digest" if full else "not computed again"
    print_fields(
        (
            ("verified", "yes"),
            ("height", report.height),
            ("head", report.head.hex()),
            ("blocks", f"{report.blocks_checked} checked: links, certificates, bodies and the log that made them"),
            ("models", models if full else f"{models}; flobc verify --full does"),
            ("records", f"{report.rejected_records} rejected"),
        )
    )
