"""The committed boards of Grafana, panel by panel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.chart import CHART

BOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))


def load_panels(path: Path) -> list[dict[str, Any]]:
    """Every panel of a board but the rows' headings."""
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]
