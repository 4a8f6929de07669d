"""``flobc doctor``: what is wrong with a chain's machine and servers, and the command that mends it."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

from flobc.cli.joining import read_genesis
from flobc.cli.output import print_json, show_text
from flobc.cli.places import expand_path
from flobc.composition.doctor import Finding, Subject, examine, find_subject
from flobc.composition.services.settings import split_addresses
from flobc.errors import UsageError

EXIT_PROBLEM = 1


def execute(arguments: Namespace) -> int:
    """Print one line per finding; 0 when none is a problem."""
    findings = []
    for finding in examine(read_subject(arguments)):
        findings.append(finding)
        if not arguments.json and not (arguments.quiet and finding.level == "ok"):
            print(describe(finding), flush=True)
    problems = sum(finding.level == "problem" for finding in findings)
    if arguments.json:
        listed = [dataclasses.asdict(finding) for finding in findings]
        print_json({"problems": problems, "findings": listed})
    return EXIT_PROBLEM if problems else 0


def read_subject(arguments: Namespace) -> Subject:
    """Return what is to be examined. **Raises** UsageError when nothing is named."""
    given = {
        "kafka": arguments.kafka,
        "redis": arguments.redis,
        "ledgers": None if arguments.ledgers is None else split_addresses(arguments.ledgers),
        "genesis": None if arguments.genesis is None else read_genesis(arguments.genesis),
    }
    if arguments.dir is None and all(given[name] is None for name in ("kafka", "redis", "ledgers")):
        raise UsageError("flobc doctor needs something to look at: --dir DIR, --kafka, --redis or --ledgers.")
    subject = Subject() if arguments.dir is None else find_subject(expand_path(arguments.dir))
    return dataclasses.replace(subject, **{name: value for name, value in given.items() if value is not None})


def describe(finding: Finding) -> str:
    """Return a finding as one line."""
    fix = "" if finding.fix is None else f" Run: {finding.fix}"
    return show_text(f"{finding.level:<7}  {finding.check}: {finding.message}{fix}")
