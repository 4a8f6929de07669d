"""A chain's story as files: a page with pictures for people, CSV and JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flobc.adapters.filesystem import write_atomically
from flobc.composition.chain_report.reading import BlockRow, ChainStory, TrainerRow
from flobc.composition.pictures import Labels, Line, Panel, draw_lines
from flobc.composition.sheets import build_csv, build_table, describe_machine

MOST_TRAINERS = 20
"""Trainers in table and picture; the files have all."""
_PERCENT = 100


def write_chain_report(story: ChainStory, output: Path, command: str) -> None:
    """Write ``report.md``, ``blocks.csv``, ``trainers.csv``, ``report.json`` and pictures into ``output``."""
    output.mkdir(parents=True, exist_ok=True)
    reasons = sorted({reason for row in story.blocks for reason in row.rejected})
    pictures = list(_draw_all(story, reasons, output))
    names = [item.name for item in dataclasses.fields(BlockRow) if item.name != "rejected"]
    trainers = ["name", "key", "trust", "accepted", "rejected", "mean_weight"]
    texts = {
        "blocks.csv": build_csv(
            [*names, *(f"rejected_{reason}" for reason in reasons)], [_flatten(row, reasons) for row in story.blocks]
        ),
        "trainers.csv": build_csv(trainers, [_describe_trainer(trainer) for trainer in story.trainers]),
        "report.json": json.dumps(dataclasses.asdict(story), indent=1) + "\n",
        "report.md": _build_page(story, pictures, command),
    }
    for name, text in texts.items():
        write_atomically(output / name, [text.encode()])


def _flatten(row: BlockRow, reasons: Sequence[str]) -> dict[str, Any]:
    data = dataclasses.asdict(row)
    rejected = data.pop("rejected")
    return data | {f"rejected_{reason}": rejected.get(reason, 0) for reason in reasons}


def _describe_trainer(trainer: TrainerRow) -> dict[str, Any]:
    return dataclasses.asdict(trainer) | {"trust": trainer.trust[-1] if trainer.trust else None}


def choose_trainers(story: ChainStory) -> list[TrainerRow]:
    """Return those that are shown: of many, those with the most trust and those with the least."""
    if len(story.trainers) <= MOST_TRAINERS:
        return list(story.trainers)
    ranked = sorted(story.trainers, key=lambda trainer: -(trainer.trust[-1] or 0.0) if trainer.trust else 0.0)
    half = MOST_TRAINERS // 2
    return [*ranked[:half], *ranked[-half:]]


def _draw_all(story: ChainStory, reasons: Sequence[str], output: Path) -> Iterator[tuple[str, str]]:
    """Write each picture that has something to show as PNG and SVG; yield title and file name without suffix."""
    charts: list[tuple[str, Labels, list[Line]]] = [
        ("accuracy", _label("Accuracy by block", "accuracy (%)"), _list_accuracies(story)),
        ("trust", _label("Trust by block", "share of all trust (%)"), _list_trust(story)),
        ("updates", _label("What became of updates", "updates a block"), _list_updates(story, reasons)),
        ("bytes", _label("Bytes by block", "kB a block"), _list_bytes(story)),
        ("time", _label("Time by block", "s"), _list_times(story)),
    ]
    for name, labels, lines in charts:
        if any(line.xs for line in lines):
            picture = draw_lines(labels, [Panel("", tuple(line for line in lines if line.xs))])
            write_atomically(output / f"{name}.png", [picture.png])
            write_atomically(output / f"{name}.svg", [picture.svg])
            yield labels.title, name


def _label(title: str, y: str) -> Labels:
    return Labels(title, "height", y, whole_x=True)


def _build_line(name: str, rows: Sequence[BlockRow], value: Callable[[BlockRow], float | None]) -> Line:
    found = [(row.height, got) for row in rows if (got := value(row)) is not None]
    return Line(name, [height for height, _ in found], [got for _, got in found])


def _list_accuracies(story: ChainStory) -> list[Line]:
    def show(share: float | None) -> float | None:
        return None if share is None else _PERCENT * share

    return [
        _build_line("test set, after the block", story.blocks, lambda row: show(row.test_accuracy)),
        _build_line("validators' median, before it", story.blocks, lambda row: show(row.validators_accuracy)),
    ]


def _list_trust(story: ChainStory) -> list[Line]:
    lines = []
    for trainer in choose_trainers(story):
        found = [(place, _PERCENT * share) for place, share in enumerate(trainer.trust, 1) if share is not None]
        lines.append(Line(trainer.name, [place for place, _ in found], [share for _, share in found]))
    return lines


def _list_updates(story: ChainStory, reasons: Sequence[str]) -> list[Line]:
    heights = [row.height for row in story.blocks]
    accepted = Line("accepted", heights, [row.accepted for row in story.blocks])
    unused = [Line("unused", heights, [row.unused for row in story.blocks])]
    refused = [
        Line(_name(reason), heights, [row.rejected.get(reason, 0) for row in story.blocks]) for reason in reasons
    ]
    return [accepted, *(unused if any(row.unused for row in story.blocks) else []), *refused]


def _list_bytes(story: ChainStory) -> list[Line]:
    return [
        _build_line("updates' payload", story.blocks, lambda row: row.payload_bytes / 1000),
        _build_line("log", story.blocks, lambda row: row.log_bytes / 1000),
    ]


def _list_times(story: ChainStory) -> list[Line]:
    return [
        _build_line("until the last decided update had its median vote", story.blocks, lambda row: row.decided_s),
        Line("between two certificates (virtual)", *_list_steps(story)),
    ]


def _list_steps(story: ChainStory) -> tuple[list[float], list[float]]:
    times = [(row.height, row.virtual_s) for row in story.blocks if row.virtual_s is not None]
    before = [0.0, *(at_s for _, at_s in times)]
    return [float(height) for height, _ in times], [at_s - last for (_, at_s), last in zip(times, before, strict=False)]


def _build_page(story: ChainStory, pictures: Sequence[tuple[str, str]], command: str) -> str:
    lines = [f"# Chain {story.chain[:12]}", "", *_build_summary(story), "", *_build_rounds(story)]
    lines += ["## Trainers", "", *_build_trainers(story), ""]
    for title, name in pictures:
        lines += [f"## {title}", "", f"![{title}]({name}.png)", "", f"[as SVG]({name}.svg)", ""]
    lines += [
        "## How this page was made",
        "",
        f"- `{command}`, which folds the log; `flobc verify --full` checks the chain itself",
        "- `blocks.csv` has a line a block, `trainers.csv` a line a trainer, `report.json` both and trust by block",
        f"- on {describe_machine()}",
    ]
    return "\n".join(lines) + "\n"


def _build_summary(story: ChainStory) -> list[str]:
    tests = [row for row in story.blocks if row.test_accuracy is not None]
    best = max(tests, key=lambda row: row.test_accuracy or 0.0, default=None)
    last = f"{tests[-1].test_accuracy:.2%}" if tests else "not measured"
    rows = [
        ("task", story.task),
        ("trainers, validators", f"{len(story.trainers)}, {story.validators}"),
        ("synchronisation, trust, rule", f"{story.scheme}, {story.policy}, {story.rule}"),
        ("blocks", str(len(story.blocks))),
        ("head", f"`{story.head}`"),
        ("test accuracy of the last model", last),
        ("best", "-" if best is None else f"{best.test_accuracy:.2%} after block {best.height}"),
        ("updates accepted", str(sum(row.accepted for row in story.blocks))),
        ("payload in all", f"{sum(row.payload_bytes for row in story.blocks):,} bytes"),
        ("log in all", f"{sum(row.log_bytes for row in story.blocks):,} bytes"),
    ]
    if story.blocks and story.blocks[-1].virtual_s is not None:
        rows.append(("virtual time", f"{story.blocks[-1].virtual_s:.1f} s"))
    return build_table(("what", "found"), rows)


def _build_rounds(story: ChainStory) -> list[str]:
    closings = Counter(row.closing for row in story.blocks)
    refused: Counter[str] = Counter()
    for row in story.blocks:
        refused.update(row.rejected)
    lines = ["## How rounds closed", ""]
    lines += build_table(
        ("closed by", "blocks"), [(_name(name), str(count)) for name, count in sorted(closings.items())]
    )
    lines += ["", "## Why updates were rejected", ""]
    if not refused:
        return [*lines, "No update was rejected.", ""]
    rows = [(_name(reason), str(count)) for reason, count in sorted(refused.items())]
    return [*lines, *build_table(("reason", "updates"), rows), ""]


def _name(word: str) -> str:
    return word.replace("_", " ")


def _build_trainers(story: ChainStory) -> list[str]:
    rows = [
        (
            trainer.name,
            f"`{trainer.key[:16]}`",
            "-" if not trainer.trust or trainer.trust[-1] is None else f"{trainer.trust[-1]:.2%}",
            f"{trainer.mean_weight:.2%}",
            str(trainer.accepted),
            str(trainer.rejected),
        )
        for trainer in choose_trainers(story)
    ]
    lines = build_table(("trainer", "key", "trust at the end", "mean weight", "accepted", "rejected"), rows)
    hidden = len(story.trainers) - len(rows)
    if hidden > 0:
        lines += ["", f"{hidden} more, between the most and the least trusted, are in `trainers.csv`."]
    return lines
