"""The pages: each reads what was asked for, asks the index or the source, and renders."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from flobc.composition.explorer.asking import read_digest, read_height, read_query, read_start, search
from flobc.composition.explorer.charts import Series, draw_chart
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.index import Row, describe_outcome
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.chain.proof import UpdateProof, find_update_proof
from flobc.protocol.encoding import encode
from flobc.protocol.params import SCORE_ONE, get_chain_id
from flobc.protocol.trust.weights import WEIGHT_ONE


class Pages:
    """Handlers of one explorer. What only the index knows is answered at once, the source is asked on threads."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._queries = explorer.queries
        self._genesis = encode(explorer.source.genesis)

    async def overview(self, _: Request) -> Response:
        """Height, curves, health and what came last."""
        return self._answer("overview.html", live=self._explorer.render_live())

    async def blocks(self, request: Request) -> Response:
        """All blocks, a page at a time."""
        return self._answer("blocks.html", page=self._queries.list_blocks(read_start(request, "before")))

    async def block(self, request: Request) -> Response:
        """One block with everything that stands in it."""
        height = read_height(self._explorer, request.path_params["height"])
        block = await run_in_threadpool(self._require_block, height)
        defect = await run_in_threadpool(self._explorer.find_defect, block, height)
        return self._answer(
            "block.html",
            height=height,
            block=block,
            digest=compute_header_digest(block.header),
            outcomes=[describe_outcome(item) for item in block.body.decisions],
            defect=defect,
            next_row=self._queries.read_block(height + 1),
        )

    async def block_bytes(self, request: Request) -> Response:
        """The bytes of one block, for browsers to check themselves."""
        height = read_height(self._explorer, request.path_params["height"])
        block = await run_in_threadpool(self._require_block, height)
        following = self._queries.read_block(height + 1)
        return JSONResponse(
            {
                "header": encode(block.header).hex(),
                "seals": [encode(seal).hex() for seal in block.certificate],
                "decisions": [encode(item).hex() for item in block.body.decisions],
                "next_parent": None if following is None else following["parent"].hex(),
            }
        )

    async def genesis(self, request: Request) -> Response:
        """The bytes of block 0, whose digest is the chain's id: browsers take the validators' keys from it."""
        headers = {"etag": f'"{get_chain_id(self._explorer.source.genesis).hex()}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)  # with thousands of members it is large
        return Response(self._genesis, media_type="application/octet-stream", headers=headers)

    async def update(self, request: Request) -> Response:
        """One update: who sent it, what validators said, and what became of it."""
        row, block, proof = await self._find_update(request)
        body, place = block.body, proof.inclusion.index
        return self._answer(
            "update.html",
            row=row,
            block=block,
            decision=proof.decision,
            outcome=describe_outcome(proof.decision),
            header=body.headers[place] if place < len(body.headers) else None,
            votes=body.votes[place].votes if place < len(body.votes) else (),
            defect=await run_in_threadpool(self._explorer.find_defect, block, row["height"]),
        )

    async def update_bytes(self, request: Request) -> Response:
        """An update's proof, for browsers to check themselves."""
        _, block, proof = await self._find_update(request)
        place = proof.inclusion.index
        votes = block.body.votes[place] if place < len(block.body.votes) else None
        return JSONResponse(
            {
                "header": encode(proof.header).hex(),
                "seals": [encode(seal).hex() for seal in proof.certificate],
                "decision": encode(proof.decision).hex(),
                "votes": None if votes is None else encode(votes).hex(),
                "index": place,
                "size": proof.header.num_decisions,
                "path": [item.hex() for item in proof.inclusion.path],
            }
        )

    async def trainers(self, request: Request) -> Response:
        """All trainers by trust."""
        return self._answer("trainers.html", page=self._queries.list_trainers(read_start(request, "first") or 0))

    async def trainer(self, request: Request) -> Response:
        """One trainer: trust and weight over time, and its updates."""
        key = read_digest(request.path_params["key"], "A trainer's key")
        standing, counts = self._queries.read_standing(key), self._queries.count_outcomes(key)
        if standing is None and not counts:
            raise HTTPException(404, f"No block knows a trainer {key.hex()[:12]}; look at the list of trainers.")
        trust = [(row["height"], 100 * row["share"]) for row in self._queries.read_trust_curve(key)]
        curve = self._queries.read_weight_curve(key)
        weight = [(row["height"], 100 * row["weight"] / WEIGHT_ONE) for row in curve]
        score = [(row["height"], row["score"] / SCORE_ONE) for row in curve]
        return self._answer(
            "trainer.html",
            key=key,
            standing=standing,
            counts=counts,
            page=self._queries.list_updates(key, read_start(request, "before")),
            trust_chart=draw_chart(
                "Shares",
                "per cent",
                [Series("share of trust", trust), Series("weight in the model", weight)],
                from_zero=True,
            ),
            score_chart=draw_chart("Score", "share of the loss", [Series("median of the validators' scores", score)]),
        )

    async def validators(self, _: Request) -> Response:
        """All validators and their work."""
        keys = self._explorer.source.genesis.validators
        return self._answer("validators.html", rows=[(key, self._queries.read_work(key)) for key in keys])

    async def validator(self, request: Request) -> Response:
        """One validator: seals, votes, and how far from the median."""
        key = read_digest(request.path_params["key"], "A validator's key")
        if key not in self._explorer.source.genesis.validators:
            raise HTTPException(
                404, f"The genesis names no validator {key.hex()[:12]}; look at the list of validators."
            )
        curve = [(row["height"], row["distance"] / SCORE_ONE) for row in self._queries.read_work_curve(key)]
        return self._answer(
            "validator.html",
            key=key,
            work=self._queries.read_work(key),
            page=self._queries.list_work(key, read_start(request, "before")),
            chart=draw_chart("Distance from the median score", "share of the loss", [Series("mean of a block", curve)]),
        )

    async def search(self, request: Request) -> Response:
        """A height, or the first digits of a digest, id or key."""
        query = read_query(request)
        found = search(self._explorer, query)
        if len(found) == 1:
            return RedirectResponse(found[0].path, 303)
        return self._answer("search.html", 200 if found or not query else 404, query=query, found=found)

    async def alive(self, _: Request) -> Response:
        """The process answers."""
        return Response("alive\n", media_type="text/plain")

    async def ready(self, _: Request) -> Response:
        """Everything was taken in that the source had; being cut off from it later does not take pages away."""
        condition = self._explorer.follower.condition
        is_ready = condition.target is not None and condition.height >= condition.target
        return Response(f"{condition.word}\n", 200 if is_ready else 503, media_type="text/plain")

    def _answer(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._explorer.render(template, **values), status)

    def _require_block(self, height: int) -> Block:
        """Return a block from the source. **Raises** HTTPException, TransientError, DataError."""
        block = self._explorer.read_block(height)
        if block is None:
            raise HTTPException(404, f"{self._explorer.source.name} has lost block {height}; ask another ledger.")
        return block

    async def _find_update(self, request: Request) -> tuple[Row, Block, UpdateProof]:
        """**Raises** HTTPException, TransientError, DataError."""
        update = read_digest(request.path_params["update"], "An update's id")
        row = self._queries.find_update(update)
        if row is None:
            raise HTTPException(404, f"No block decides an update {update.hex()[:12]}; it may still wait for votes.")
        block = await run_in_threadpool(self._require_block, row["height"])
        proof = find_update_proof(block, update)
        if proof is None:
            raise HTTPException(
                404, f"Block {block.height} does not decide update {update.hex()[:12]} any more; look at the block."
            )
        return row, block, proof
