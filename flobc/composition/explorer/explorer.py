"""One explorer: a source, what is indexed of it, and what its pages are made from."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from flobc import __version__
from flobc.composition.explorer.charts import Series, draw_chart
from flobc.composition.explorer.events import Hub
from flobc.composition.explorer.examining import Examiner
from flobc.composition.explorer.following import Condition, Follower
from flobc.composition.explorer.index import Index
from flobc.composition.explorer.queries import Queries
from flobc.composition.explorer.rendering import build_environment
from flobc.composition.explorer.sources import ChainSource
from flobc.composition.explorer.verifying import Verification
from flobc.ports.metrics import SILENCE, Meter
from flobc.protocol.bounds import PPM
from flobc.protocol.chain.block import Block
from flobc.protocol.params import SCORE_ONE, get_chain_id, get_fault_tolerance, get_quorum

KEPT_BLOCKS, KEPT_S = 32, 5.0
"""How many blocks with bodies are kept, and for how long: what many look at is asked for once."""
LATEST = 8


class Explorer:
    """What all viewers share. ``is_trusted`` says that the genesis was given, not told by the ledgers.

    The index is kept in ``directory``, or goes with the explorer. **Raises** UsageError when it cannot be used.
    """

    def __init__(
        self, source: ChainSource, is_trusted: bool, directory: Path | None = None, meter: Meter = SILENCE
    ) -> None:
        self.source, self.meter = source, meter
        genesis = source.genesis
        self.index = Index(genesis, directory)
        self.queries = Queries(self.index)
        self.follower = Follower(source, self.index)
        self.examiner = Examiner(genesis)
        self.verification = Verification(source, meter)
        self.hub = Hub(self.render_event, lambda viewers: meter.set("flobc_web_viewers", viewers))
        self.follower.on_change = self._on_change
        meter.set("flobc_web_viewers", 0)
        self._templates = build_environment()
        self._templates.globals |= {
            "chain": get_chain_id(genesis),
            "genesis": genesis,
            "quorum": get_quorum(len(genesis.validators)),
            "tolerance": get_fault_tolerance(len(genesis.validators)),
            "majority_ratio": genesis.params.sync.majority_ratio_ppm / PPM,
            "is_trusted": is_trusted,
            "source_name": source.name,
            "version": __version__,
        }
        self._blocks: OrderedDict[int, tuple[float, Block]] = OrderedDict()
        self._blocks_lock = threading.Lock()
        self._kept_overview: tuple[object, Markup] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self.follower.start()

    def close(self) -> None:
        """Stop following and let go of everything."""
        self.hub.close()
        self.verification.stop()
        self.source.close()
        self.follower.stop(5.0)
        self.index.close()

    def render(self, template: str, **values: Any) -> str:
        """Return a page."""
        return self._templates.get_template(template).render(condition=self.follower.condition, **values)

    def render_live(self) -> Markup:
        """Return the part of the overview that changes; made once for each state of the chain."""
        state = (self.index.version, self.follower.condition)
        kept = self._kept_overview
        if kept is None or kept[0] != state:
            kept = (state, Markup(self.render("live.html", **self._describe_overview())))
            self._kept_overview = kept
        return kept[1]

    def render_event(self) -> object:
        """Return what an event tells of the chain."""
        condition = self.follower.condition
        return {"height": condition.height, "condition": condition.word, "html": self.render_live()}

    def read_block(self, height: int) -> Block | None:
        """Return a block with its body, or None. **Raises** TransientError, DataError."""
        now_s = time.monotonic()
        with self._blocks_lock:
            kept = self._blocks.get(height)
            if kept is not None and now_s - kept[0] < KEPT_S:
                return kept[1]
        block = self.source.get_block(height)
        if block is not None:
            with self._blocks_lock:
                self._blocks[height] = now_s, block
                self._blocks.move_to_end(height)
                while len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
        return block

    def find_defect(self, block: Block, height: int) -> str | None:
        """Return what is wrong with a block as the source tells it now, and whether it is the one that was seen."""
        before = self.queries.read_block(height - 1) if height > 1 else None
        parent = self.examiner.first_digest if before is None else before["digest"]
        defect = self.examiner.find_defect(block, parent, height)
        if defect is None:
            seen = self.queries.read_block(height)
            defect = None if seen is None else seen["defect"]
        return defect

    def draw_learning(self) -> dict[str, Any]:
        """Return the charts of how the training goes."""
        rows = self.queries.read_curve()
        accuracy = [(row["height"] - 1, row["accuracy"] / SCORE_ONE) for row in rows if row["accuracy"] is not None]
        loss = [(row["height"] - 1, row["loss"] / SCORE_ONE) for row in rows if row["loss"] is not None]
        return {
            "accuracy_chart": draw_chart("Accuracy", "share of 1", [Series("validators' median", accuracy)]),
            "loss_chart": draw_chart("Loss", "mean loss", [Series("validators' median", loss)]),
        }

    def _describe_overview(self) -> dict[str, Any]:
        queries = self.queries
        blocks = queries.list_blocks(count=LATEST).rows
        with_curve = [row for row in blocks if row["accuracy"] is not None]
        return {
            "blocks": blocks,
            "updates": queries.list_latest_updates(LATEST),
            "totals": queries.read_totals(),
            "broken": queries.list_broken(),
            "rate": queries.measure_rate(),
            "newest": with_curve[0] if with_curve else None,
            **self.draw_learning(),
        }

    def _on_change(self, condition: Condition) -> None:
        self.hub.notify()
        self.meter.set("flobc_height", condition.height)
        self.meter.set("flobc_ready", float(condition.word == "live"))
        if condition.target is not None:
            self.meter.set("flobc_web_blocks_behind", max(0, condition.target - condition.height))
