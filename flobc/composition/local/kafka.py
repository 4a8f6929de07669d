"""A real Kafka broker on this machine, for development and tests: one node, no replicas, no security by itself."""

from __future__ import annotations

import base64
import re
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flobc.composition.local.kafka_runner import Runner, find_runner
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import DetachedProcess, is_port_open, require_free_port
from flobc.errors import FlobcError, UsageError

NOTHING_MORE: Mapping[str, str] = MappingProxyType({})
_HOST = "127.0.0.1"
_START_TIMEOUT_S = 90
_STOP_TIMEOUT_S = 30
_FORMAT_TIMEOUT_S = 60
_PORT_TIMEOUT_S = 5
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=PLAINTEXT://{listen_host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
socket.send.buffer.bytes=-1
socket.receive.buffer.bytes=-1
auto.create.topics.enable=false
"""


@dataclass(frozen=True)
class LocalKafka:
    """A broker that was started here. It outlives the process that started it, until somebody stops it."""

    address: str
    process: DetachedProcess
    runner: Runner

    @property
    def pid(self) -> int | None:
        """The number of the broker's process, or None when it does not run."""
        return self.process.pid

    def stop(self) -> None:
        """Stop the broker and wait; it is killed when it takes longer than half a minute."""
        if not self.process.stop(_STOP_TIMEOUT_S):
            self.runner.kill()

    def kill(self) -> None:
        """End the broker at once, as a crash would; start it again on the same directory."""
        self.runner.kill()
        self.process.kill()


def start_kafka(
    directory: Path, port: int | None = None, more: Mapping[str, str] = NOTHING_MORE, format_options: Sequence[str] = ()
) -> LocalKafka:
    """Start a broker whose data is in ``directory`` and wait until it serves clients at 127.0.0.1.

    ``more`` are properties of the broker that add to the usual ones or override them, with the same places in braces
    filled in; ``format_options`` are handed to Kafka's storage tool when the directory is new.

    A directory used before keeps its topics, and its port if none is given. The first start on a machine may
    fetch Kafka, which takes a minute.

    **Raises** UsageError when Kafka cannot be run here, when the directory's broker runs already or when the port
    is taken; FlobcError with the end of its log when it does not start.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    properties = directory / "server.properties"
    process = DetachedProcess("Kafka", directory / "pid", directory / "kafka.log")
    if process.pid is not None:
        raise UsageError(f"Kafka runs already on {directory} (process {process.pid}); stop it first.")
    old_port, controller_port = _read_ports(properties)
    port = port or old_port or find_free_port(_HOST)
    require_free_port("Kafka", _HOST, port, _PORT_TIMEOUT_S if port == old_port else 0)
    runner = find_runner(directory, port)
    properties.write_text(
        (_PROPERTIES + "".join(f"{name}={value}\n" for name, value in more.items())).format(
            host=_HOST,
            listen_host=runner.listen_host,
            port=port,
            controller_port=controller_port or find_free_port(_HOST),
            data=directory / "data",
        )
    )
    _format_once(runner, directory, properties, format_options)
    process.start(runner.build_command("kafka.Kafka", str(properties)))
    process.wait_until(lambda: is_port_open(_HOST, port), _START_TIMEOUT_S)
    return LocalKafka(f"{_HOST}:{port}", process, runner)


def _read_ports(properties: Path) -> tuple[int | None, int | None]:
    """The ports that a directory's broker has had: clients know the one, its metadata the other."""
    text = properties.read_text() if properties.exists() else ""
    found = re.search(r"^advertised\.listeners=PLAINTEXT://[^:]+:(\d+),CONTROLLER://[^:]+:(\d+)$", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else (None, None)


def _format_once(runner: Runner, directory: Path, properties: Path, options: Sequence[str]) -> None:
    if (directory / "data" / "meta.properties").exists():
        return
    # what its random-uuid prints, without a second of Java; a leading "-" would pass for an option
    cluster = "F" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    _run_tool(runner, "format", "--standalone", "--ignore-formatted", "-t", cluster, "-c", str(properties), *options)


def _run_tool(runner: Runner, *arguments: str) -> str:
    command = runner.build_command("kafka.tools.StorageTool", *arguments)
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FlobcError(f"Kafka's storage tool cannot be run: {error}") from error
    if run.returncode:
        raise FlobcError(f"Kafka's storage tool failed at {arguments[0]}: {(run.stdout + run.stderr).strip()[-500:]}")
    return run.stdout
