"""A node's clock may be off, and what a node planned ends with it."""

from concurrent.futures import ThreadPoolExecutor

from flobc.simulation.clocks import NodeClock, WorldClock


def run_all(clock: WorldClock) -> None:
    assert not clock.run_until(lambda: False)


def test_a_fast_clock_rings_early() -> None:
    with ThreadPoolExecutor(1) as executor:
        world = WorldClock(executor)
        rung: list[int] = []
        for drift_ppm in (-200_000, 0, 250_000):
            clock = NodeClock(world, lambda: None, drift_ppm)
            clock.call_later(1_000, lambda: rung.append(world.now_ms))
        run_all(world)
    assert rung == [800, 1_000, 1_250]


def test_a_clock_shows_its_drift_and_offset() -> None:
    with ThreadPoolExecutor(1) as executor:
        world = WorldClock(executor)
        shown: list[int] = []
        clock = NodeClock(world, lambda: None, drift_ppm=100_000, offset_ms=70)
        world.call_later(1_000, lambda: shown.append(clock.now_ms))
        run_all(world)
    assert shown == [1_170]


def test_nothing_happens_to_a_node_that_has_ended() -> None:
    with ThreadPoolExecutor(1) as executor:
        world = WorldClock(executor)
        seen: list[str] = []
        clock = NodeClock(world, lambda: seen.append("after"))
        clock.call_later(5, lambda: seen.append("before the end"))
        clock.call_later(20, lambda: seen.append("a timer"))
        clock.submit("work", lambda: 1, 30, lambda _: seen.append("a result"))
        world.call_later(10, clock.stop)
        world.call_later(15, lambda: clock.post(lambda: seen.append("a post")))
        run_all(world)
    assert seen == ["before the end", "after"]
