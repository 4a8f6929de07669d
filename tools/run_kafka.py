"""Run a Kafka broker for development until Ctrl-C; its topics are there again the next time.

Usage: python tools/run_kafka.py [--port PORT] [--directory DIRECTORY]
"""

import argparse
import signal
import sys
from pathlib import Path
from threading import Event

from flobc.composition.local.kafka import start_kafka
from flobc.errors import FlobcError

_LOOK_S = 1.0


def main() -> int:
    """Start it, print its address and wait. Returns 2 when it cannot be started, 1 when it ends by itself."""
    parser = argparse.ArgumentParser(description="Run a Kafka broker for development until Ctrl-C.")
    parser.add_argument("--port", type=int, help="where it listens (default: as the last time, else any free port)")
    parser.add_argument("--directory", type=Path, default=Path("build/kafka"), help="its data (default: build/kafka)")
    options = parser.parse_args()
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        kafka = start_kafka(options.directory, options.port)
    except FlobcError as error:
        print(error, file=sys.stderr)
        return 2
    print(kafka.address, flush=True)
    try:
        while not stopped.wait(_LOOK_S):
            if kafka.pid is None:
                print(f"Kafka ended by itself: {kafka.process.read_last_lines()}", file=sys.stderr)
                return 1
    finally:
        kafka.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
