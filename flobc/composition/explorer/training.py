"""How training goes: curves, their comparison with another chain's, and files to download."""

from __future__ import annotations

import asyncio
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
from flobc.composition.explorer.asking import is_own_page, read_height
from flobc.composition.explorer.charts import Point, Series, draw_chart
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.index import Row
from flobc.errors import DataError
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.weights import WEIGHT_ONE

MAX_COMPARED_BYTES = 8 * 2**20
MAX_COLUMNS, MAX_ROWS = 50, 100_000
"""What a compared file may hold: none that an explorer wrote has more, for each row of its holds three digests."""
MAX_COMPARISONS, SEND_S = 4, 60.0
"""How many files are taken at once, for they lie in memory, and how long sending one may take."""
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
        self._comparisons = asyncio.Semaphore(MAX_COMPARISONS)

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
        if not is_own_page(request):
            raise HTTPException(403, "Only a page of this explorer compares chains.")
        if self._comparisons.locked():
            raise HTTPException(503, "Others compare chains at this moment; try again in some seconds.")
        async with self._comparisons:
            other = await run_in_threadpool(read_curves, await _receive_file(request))
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
        if not self._one_model.acquire(blocking=False):
            raise HTTPException(503, "Somebody else downloads a model at this moment; try again in some seconds.")
        try:
            with TemporaryDirectory(prefix="flobc-model-") as folder:
                out = Path(folder) / f"model-{height}.safetensors"
                self._export(out, height)
                return out.with_suffix(f".{kind}").read_bytes()
        finally:
            self._one_model.release()

    def _export(self, out: Path, height: int) -> None:
        archive = self._explorer.source.open_archive()
        try:
            export_model(archive, out, height, rebuild=False)  # else a stranger's request costs a whole chain
        except DataError as error:
            raise HTTPException(404, str(error)) from error
        finally:
            archive.close()


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
        rows = _read_rows(data.decode())
        header = next(rows)
        height, places = header.index("height"), {name: header.index(name) for name, _, _ in CURVES}
        points: dict[str, list[Point]] = {name: [] for name in places}
        for row in rows:
            for name, place in places.items():
                if row and row[place]:
                    points[name].append((int(row[height]) - 1, float(row[place])))
        return {name: _thin_out(sorted(found)) for name, found in points.items()}
    except (UnicodeDecodeError, csv.Error, StopIteration, IndexError, ValueError, OverflowError) as error:
        raise HTTPException(
            422,
            "This is no blocks.csv of an explorer: it needs the columns height, accuracy and loss, "
            f"at most {MAX_COLUMNS} columns and {MAX_ROWS} rows.",
        ) from error


def _read_rows(text: str) -> Iterator[list[str]]:
    """Yield a file's rows. **Raises** csv.Error, and ValueError at a row or file that is longer than any of ours."""
    commas = 0

    def read_lines() -> Iterator[str]:
        nonlocal commas
        for line in io.StringIO(text, newline=""):
            commas += line.count(",")
            if commas >= MAX_COLUMNS:  # before the reader makes cells of them
                raise ValueError(f"a row has more than {MAX_COLUMNS} cells")
            yield line

    for number, row in enumerate(csv.reader(read_lines())):
        if number > MAX_ROWS:
            raise ValueError(f"there are more than {MAX_ROWS} rows")
        commas = 0
        yield row


def _thin_out(points: list[Point]) -> list[Point]:
    """Return about 400 of a curve's points. **Raises** ValueError when one cannot be drawn."""
    if not all(0 <= x < 1e15 and abs(value) < 1e12 for x, value in points):
        raise ValueError("a point is out of range")
    return points[:: max(1, len(points) // 400)]


async def _receive_file(request: Request) -> bytes:
    """Return a request's body. **Raises** HTTPException when it is too large or takes too long."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(SEND_S):
            async for part in request.stream():
                size += len(part)
                if size > MAX_COMPARED_BYTES:
                    most = f"{MAX_COMPARED_BYTES >> 20} MiB"
                    raise HTTPException(413, f"The file is larger than {most}; cut it off sooner.")
                parts.append(part)
    except TimeoutError as error:
        raise HTTPException(408, f"The file did not arrive within {SEND_S:.0f} s; try again.") from error
    return b"".join(parts)


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
