"""Write Grafana's boards into the chart, or check that what is committed is what is generated.

Usage: PYTHONPATH=tools python -m dashboards [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards import chain, scaling, servers, services, training
from dashboards.drawing import draw

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "charts" / "flobc" / "files" / "dashboards"
BOARDS = (training.BOARD, chain.BOARD, services.BOARD, servers.BOARD, scaling.BOARD)


def main(arguments: list[str]) -> int:
    """Write the files, or compare; 1 when they differ."""
    fresh = {FOLDER / f"{board.uid}.json": draw(board) for board in BOARDS}
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    different = sorted(path for path in fresh.keys() | there.keys() if fresh.get(path) != there.get(path))
    if "--check" in arguments:
        for path in different:
            print(f"{path.relative_to(ROOT)} is not what tools/dashboards makes; run `make dashboards`.")
        return 1 if different else 0
    FOLDER.mkdir(exist_ok=True)
    for path in different:
        if path in fresh:
            path.write_text(fresh[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
