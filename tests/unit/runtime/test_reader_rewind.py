"""A reader hands over what a topic holds, and all of it again after a rewind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flobc.adapters.memory import MemoryBroker
from flobc.ports.topics import Entry
from flobc.runtime.readers import TopicReader
from flobc.runtime.scheduling import WallScheduler


def test_a_rewound_reader_hands_over_everything_again_and_in_order() -> None:
    topic = MemoryBroker().open("log")
    values = [bytes([number]) for number in range(5)]
    for value in values:
        topic.append(b"", value)
    with ThreadPoolExecutor(1) as executor:
        scheduler = WallScheduler(executor, attended=True)
        found: list[bytes] = []
        rewound = False

        def take(entries: list[Entry]) -> None:
            nonlocal rewound
            found.extend(entry.value for entry in entries)
            if not rewound and len(found) == len(values):
                rewound = True
                reader.rewind()

        reader = TopicReader(topic, scheduler, take, lambda error: None)
        reader.start({})
        scheduler.run_until(lambda: len(found) == 2 * len(values))
        reader.stop(5)
    assert found == 2 * values
