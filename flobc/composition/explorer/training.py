"""How training goes: curves, their comparison with another chain's, and files to download."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from flobc.composition.archive import export_model
from flobc.composition.explorer.asking import read_height
from flobc.composition.explorer.charts import Point, Series, draw_chart
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.index import Row
from flobc.errors import DataError
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.weights import WEIGHT_ONE

MAX_COMPARED_BYTES = 8 * 2**20
CURVES = (("accuracy", "Accuracy", "share of 1"), ("loss", "Loss", "mean loss"))
BLOCK_COLUMNS = (
    "height", "header", "parent", "model", "closing", "loss", "accuracy", "accepted", "rejected", "unused",
    "seals", "size_bytes", "vote_ms", "defect",
)  # fmt: skip
UPDATE_COLUMNS = (
    "height", "update", "trainer", "base", "k", "outcome", "score", "staleness", "weight", "size_bytes", "examples",
)  # fmt: skip
MODEL_FILES = {
    "safetensors": "application/octet-stream",
    "grid": "application/octet-stream",
    "json": "application/json",
}


class Training:
    """Handlers around the curves of one explorer."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._one_model = threading.Lock()

    async def page(self, _: Request) -> Response:
        """Curves over the whole chain."""
        rows = self._explorer.queries.read_curve()
        charts = self._explorer.draw_learning() | {
            "updates_chart": draw_chart(
                "Updates in a block",
                "updates",
                [
                    Series("accepted", [(row["height"], row["accepted"]) for row in rows]),
                    Series("rejected", [(row["height"], row["rejected"]) for row in rows]),
                ],
                from_zero=True,
            ),
            "vote_chart": draw_chart(
                "Time from a round's opening to its votes",
                "seconds",
                [
                    Series(
                        "median", [(row["height"], row["vote_ms"] / 1000) for row in rows if row["vote_ms"] is not None]
                    )
                ],
            ),
        }
        step = self._explorer.queries.step
        return HTMLResponse(self._explorer.render("training.html", step=step, **charts))

    async def compare(self, request: Request) -> Response:
        """Our curves beside those of another chain, whose blocks as CSV the viewer sends; nothing is kept."""
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > MAX_COMPARED_BYTES:
                raise HTTPException(413, f"The file is larger than {MAX_COMPARED_BYTES >> 20} MiB; cut it off sooner.")
            parts.append(part)
        other = await run_in_threadpool(read_curves, b"".join(parts))
        own = self._explorer.queries.read_curve()
        charts = [
            draw_chart(
                f"{title}, this chain and the other",
                unit,
                [
                    Series(
                        "this chain",
                        [(row["height"] - 1, row[name] / SCORE_ONE) for row in own if row[name] is not None],
                    ),
                    Series("the other chain", other[name]),
                ],
            )
            for name, title, unit in CURVES
        ]
        return HTMLResponse(self._explorer.render("compared.html", charts=charts))

    async def blocks_csv(self, _: Request) -> Response:
        """All blocks, a line each."""
        rows = self._explorer.queries.stream_blocks()
        return _send_csv("blocks.csv", BLOCK_COLUMNS, (describe_block_row(row) for row in rows))

    async def updates_csv(self, _: Request) -> Response:
        """All decided updates, a line each."""
        rows = self._explorer.queries.stream_updates()
        return _send_csv("updates.csv", UPDATE_COLUMNS, (describe_update_row(row) for row in rows))

    async def model(self, request: Request) -> Response:
        """A block's model: float32 tensors, the integers that the chain agreed on, or the manifest to check both."""
        kind = request.path_params["kind"]
        if kind not in MODEL_FILES:
            raise HTTPException(404, f"A model comes as {', '.join(MODEL_FILES)}, not as {kind[:20]}.")
        height = read_height(self._explorer, request.path_params["height"])
        data = await run_in_threadpool(self._read_model, height, kind)
        headers = {"content-disposition": f'attachment; filename="model-{height}.{kind}"'}
        return Response(data, headers=headers, media_type=MODEL_FILES[kind])

    def _read_model(self, height: int, kind: str) -> bytes:
        """**Raises** HTTPException, VerificationError, TransientError. One at a time: models are large."""
        with self._one_model, TemporaryDirectory(prefix="flobc-model-") as folder:
            out = Path(folder) / f"model-{height}.safetensors"
            archive = self._explorer.source.open_archive()
            try:
                export_model(archive, out, height)
            except DataError as error:
                raise HTTPException(404, str(error)) from error
            finally:
                archive.close()
            return out.with_suffix(f".{kind}").read_bytes()


def describe_block_row(row: Row) -> tuple[object, ...]:
    """Return a block's values under ``BLOCK_COLUMNS``; shares in units of 1, digests in hex."""
    return (
        row["height"], row["digest"].hex(), row["parent"].hex(), row["model"].hex(), row["closing"],
        _to_one(row["loss"]), _to_one(row["accuracy"]), row["accepted"], row["rejected"], row["unused"],
        row["seals"], row["size_bytes"], row["vote_ms"], row["defect"],
    )  # fmt: skip


def describe_update_row(row: Row) -> tuple[object, ...]:
    """Return an update's values under ``UPDATE_COLUMNS``."""
    return (
        row["height"], row["id"].hex(), row["trainer"].hex(), row["base"], row["k"], row["outcome"],
        _to_one(row["score"]), row["staleness"], row["weight"] / WEIGHT_ONE, row["size_bytes"], row["examples"],
    )  # fmt: skip


def read_curves(data: bytes) -> dict[str, list[Point]]:
    """Return the curves in a file of blocks as ``blocks.csv`` writes it. **Raises** HTTPException."""
    try:
        lines = list(csv.DictReader(io.StringIO(data.decode())))
        found: dict[str, list[Point]] = {}
        for name, _, _ in CURVES:
            points = sorted((int(line["height"]) - 1, float(line[name])) for line in lines if line[name])
            if not all(abs(value) < 1e12 for _, value in points) or not all(0 <= x < 1e15 for x, _ in points):
                raise ValueError(f"{name} is out of range")
            step = max(1, len(points) // 400)
            found[name] = [point for place, point in enumerate(points) if place % step == 0]
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError, OverflowError) as error:
        raise HTTPException(
            422, "This is no blocks.csv of an explorer: it needs the columns height, accuracy and loss."
        ) from error
    return found


def _to_one(value: int | None) -> float | None:
    return None if value is None else value / SCORE_ONE


def _send_csv(name: str, columns: Sequence[str], rows: Iterator[tuple[object, ...]]) -> Response:
    def write() -> Iterator[str]:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(columns)
        for number, row in enumerate(rows):
            writer.writerow(row)
            if number % 200 == 199:
                yield out.getvalue()
                out.seek(0)
                out.truncate()
        yield out.getvalue()

    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(write(), headers=headers, media_type="text/csv")
