"""Which nodes something happens to: all of them, a seeded share, or a list of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flobc.protocol.bounds import PPM
from flobc.runtime.seeds import derive_bits
from flobc.simulation.document import Node, Source, is_list
from flobc.simulation.reading import custom, read_plain
from flobc.simulation.units import Kind, share, whole


@dataclass(frozen=True)
class Members:
    """Nodes of one role, by number from 0, or ``share_ppm`` of all, chosen by the seed."""

    numbers: tuple[int, ...] = ()
    share_ppm: int = 0

    def __bool__(self) -> bool:
        return bool(self.numbers or self.share_ppm)

    def choose(self, count: int, seed: int, *labels: object) -> tuple[int, ...]:
        """Return the numbers chosen among ``count`` nodes, ascending; the same for the same seed and labels."""
        if not self.share_ppm:
            return tuple(sorted(set(self.numbers)))
        return choose_share(self.share_ppm, count, seed, *labels)


def choose_share(share_ppm: int, count: int, seed: int, *labels: object) -> tuple[int, ...]:
    """Return the nearest whole number of ``count`` nodes that makes the share, but at least one; ascending."""
    if share_ppm == PPM:
        return tuple(range(count))
    wanted = max(1, (count * share_ppm + PPM // 2) // PPM)
    ranked = sorted(range(count), key=lambda number: (derive_bits(seed, *labels, number), number))
    return tuple(sorted(ranked[:wanted]))


def members() -> Any:
    """Return a field for members: ``all``, ``30%``, or a list such as [0, 3]."""
    percent = share("0.0001%", "100%")
    some = Kind(
        "all, a share such as 30%, or a list of numbers such as [0, 3]",
        lambda given: PPM if given == "all" else percent.parse(given),
        choices=("all",),
        units=("%",),
    )

    def read(source: Source, path: str, node: Node) -> Members:
        if is_list(node):
            items = source.read_list(path, node, "numbers")
            numbers = tuple(read_plain(source, place, item, whole(0)) for place, item in items)
            if not numbers:
                raise source.build_error(path, "names nobody; give numbers, a share, or leave it out.")
            return Members(numbers)
        return Members(share_ppm=read_plain(source, path, node, some))

    return custom(read, Members())
