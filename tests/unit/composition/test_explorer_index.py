"""What the index adds up, and that its questions cost the same on a longer chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from flobc.composition.explorer.index import Entry, Index
from flobc.composition.explorer.queries import MAX_POINTS, PAGE, Queries
from flobc.protocol.chain.block import Block
from tests.bench.made_chain import MadeChain

SHORT, LONG = MAX_POINTS, 4 * MAX_POINTS
STEPS = 100
"""Instructions of SQLite between two counts."""


@pytest.fixture(scope="module")
def chain() -> MadeChain:
    made = MadeChain()
    made.grow(1)
    return made


def build_index(chain: MadeChain, blocks: int) -> Index:
    """The same block again and again: the index believes what it is handed."""
    index = Index(chain.genesis)
    first = chain.blocks.get(1)
    assert first is not None
    index.add([Entry(height, renumber(first, height), None, None, float(height)) for height in range(1, blocks + 1)])
    return index


def renumber(block: Block, height: int) -> Block:
    header = dataclasses.replace(block.header, height=height, parent=height.to_bytes(32, "big"))
    return dataclasses.replace(block, header=header)


@pytest.fixture(scope="module")
def indices(chain: MadeChain) -> Iterator[tuple[Index, Index]]:
    found = build_index(chain, SHORT), build_index(chain, LONG)
    yield found
    for index in found:
        index.close()


def count_steps(index: Index, ask: Callable[[], object]) -> int:
    """How many hundreds of instructions SQLite takes for a question: a measure that no busy machine changes."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    index.select("SELECT 1")
    connection = index._local.connection
    connection.set_progress_handler(count, STEPS)
    try:
        ask()
    finally:
        connection.set_progress_handler(None, STEPS)
    return counted[0]


def list_questions(chain: MadeChain, index: Index) -> dict[str, Callable[[], object]]:
    queries = Queries(index)
    queries.read_totals()
    trainer, validator = chain.genesis.trainers[0], chain.genesis.validators[0]
    middle = index.height // 2
    return {
        "newest blocks": queries.list_blocks,
        "older blocks": lambda: queries.list_blocks(middle),
        "newest updates": lambda: queries.list_latest_updates(8),
        "broken": queries.list_broken,
        "totals": queries.read_totals,
        "rate": queries.measure_rate,
        "curve": queries.read_curve,
        "trainer": lambda: queries.count_outcomes(trainer),
        "trainer's updates": lambda: queries.list_updates(trainer, middle),
        "trainer's trust": lambda: queries.read_trust_curve(trainer),
        "trainer's weight": lambda: queries.read_weight_curve(trainer),
        "validator": lambda: queries.read_work(validator),
        "validator's blocks": lambda: queries.list_work(validator, middle),
        "validator's distance": lambda: queries.read_work_curve(validator),
        "search": lambda: queries.search("abcd"),
        "trainers": queries.list_trainers,
    }


def test_no_question_costs_more_on_a_longer_chain(chain: MadeChain, indices: tuple[Index, Index]) -> None:
    short, long = indices
    on_short, on_long = (list_questions(chain, index) for index in indices)
    for name, ask in on_short.items():
        before, after = count_steps(short, ask), count_steps(long, on_long[name])
        assert after <= 1.5 * before + 10, f"{name}: {before} and {after} hundred instructions"


def test_sums_are_those_of_all_rows(chain: MadeChain, indices: tuple[Index, Index]) -> None:
    index = indices[0]
    queries = Queries(index)
    trainer, validator = chain.genesis.trainers[3], chain.genesis.validators[1]
    (outcome,) = queries.count_outcomes(trainer)
    (expected,) = index.select("SELECT COUNT(*) number, AVG(score) score FROM updates WHERE trainer = ?", trainer)
    assert (outcome["number"], outcome["score"]) == (expected["number"], expected["score"])
    work = queries.read_work(validator)
    (summed,) = index.select(
        "SELECT COUNT(*) blocks, SUM(votes) votes, SUM(sealed) sealed, AVG(distance) distance,"
        " AVG(elapsed_ms) elapsed_ms FROM work WHERE validator = ?",
        validator,
    )
    assert work is not None
    assert {name: work[name] for name in work.keys()} == {name: summed[name] for name in summed.keys()}  # noqa: SIM118
    assert queries.read_totals().accepted == sum(row["accepted"] for row in index.select("SELECT accepted FROM blocks"))


def test_curves_have_few_points_and_the_newest_among_them(indices: tuple[Index, Index]) -> None:
    for index in indices:
        heights = [row["height"] for row in Queries(index).read_curve()]
        assert len(heights) <= MAX_POINTS
        assert heights[-1] == index.height
        assert heights == sorted(set(heights))
        assert heights[0] >= 1


def test_a_page_holds_so_many_blocks(indices: tuple[Index, Index]) -> None:
    page = Queries(indices[1]).list_blocks(LONG // 2)
    assert [row["height"] for row in page.rows] == list(range(LONG // 2 - 1, LONG // 2 - 1 - PAGE, -1))
    assert (page.older, page.newer) == (LONG // 2 - PAGE, LONG // 2 + PAGE)


def test_rounds_a_minute_are_counted_over_what_was_seen_to_come(indices: tuple[Index, Index]) -> None:
    """These blocks came one a second."""
    assert Queries(indices[0]).measure_rate() == pytest.approx(60)
