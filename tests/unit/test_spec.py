"""Every rule has a test, and every rule that is cited exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULE = r"(?:WIRE|CHAIN|ROUND|SYNC|TRUST|AGG)-W?\d+"
RANGE = re.compile(rf"({RULE})(?: to |\.\.)({RULE})")


def split(rule: str) -> tuple[str, int]:
    prefix, number = re.fullmatch(r"(.*?)(\d+)", rule).groups()
    return prefix, int(number)


def find_cited(text: str) -> set[str]:
    """Rules named in a text; "SYNC-6 to SYNC-8" names three."""
    cited = set(re.findall(RULE, text))
    for first, last in RANGE.findall(text):
        (prefix, start), (_, end) = split(first), split(last)
        cited.update(f"{prefix}{number}" for number in range(start, end + 1))
    return cited


def read(folder: str, pattern: str) -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob(pattern)}


SPEC = read("spec", "*.md")
DEFINED = [rule for text in SPEC.values() for rule in re.findall(rf"^- \*\*({RULE})\*\*", text, re.MULTILINE)]
TESTED = {rule for text in read("tests", "test_*.py").values() for rule in find_cited(text)}
CITING = {**SPEC, **read("flobc", "*.py"), **read("tests", "*.py")}


def test_rules_are_defined_once():
    assert len(DEFINED) == len(set(DEFINED)) > 70


@pytest.mark.parametrize("rule", sorted(set(DEFINED), key=split))
def test_every_rule_is_cited_by_a_test(rule):
    assert rule in TESTED


@pytest.mark.parametrize("path", sorted(CITING))
def test_every_cited_rule_exists(path):
    assert set(re.findall(RULE, CITING[path])) <= set(DEFINED)
