"""Tables in ``spec/`` that the code writes.

``python -m tests.support.tables`` renews them; a test compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from flobc.protocol.trust.params import TrustParams
from tests.support import sync_stories, trust_world

SPEC = Path(__file__).parents[2] / "spec"

TABLES = {
    "TRUST.md": {
        "flobc_plus": lambda: trust_world.render_table(TrustParams()),
        "flobc": lambda: trust_world.render_table(TrustParams(policy="flobc")),
    },
    "SYNC.md": {"stories": sync_stories.render_stories},
}


def render(page: str) -> str:
    """The page as it should be."""
    text = (SPEC / page).read_text(encoding="utf-8")
    for name, render_table in TABLES[page].items():
        pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        body = render_table()
        text, found = pattern.subn(lambda match, body=body: match[1] + body + match[2], text)
        if found != 1:
            raise ValueError(f"expected one place for the table {name} in {page}, found {found}")
    return text


if __name__ == "__main__":
    for page in TABLES:
        (SPEC / page).write_text(render(page), encoding="utf-8")
