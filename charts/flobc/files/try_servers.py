"""Ask Kafka and Redis as a ledger does, there and back. With --write a record goes through a topic of its own."""

import os
import sys
import time
import uuid

from kafka.admin import KafkaAdminClient

from flobc.adapters.kafka import KafkaSettings, KafkaTopic, ensure_topic
from flobc.adapters.kafka.clients import open_client
from flobc.adapters.redis import connect
from flobc.composition.services.connections import build_kafka, build_redis
from flobc.composition.services.parts import get_topic_names, load_genesis_file
from flobc.composition.services.recording import get_prefix
from flobc.composition.services.settings import LedgerSettings, load_settings
from flobc.errors import FlobcError, TransientError

WAIT_S = 240
READ_S = 5
KEPT_S = 3600


class LostError(Exception):
    """Something did not come back."""


def try_kafka_by_writing(kafka: KafkaSettings) -> None:
    """Write a record into a topic of our own, read it, and take the topic away."""
    name, sent = f"flobc.test.{uuid.uuid4().hex}", uuid.uuid4().bytes
    ensure_topic(kafka, name, 1, KEPT_S)
    try:
        topic = KafkaTopic(kafka, name)
        try:
            topic.append(b"test", sent).result(READ_S)
            if [entry.value for entry in topic.read(READ_S)] != [sent]:
                raise LostError(f"Kafka did not give back what was written into {name}.")
        finally:
            topic.close(READ_S)
    finally:
        admin = open_client(KafkaAdminClient, kafka)
        admin.delete_topics([name])
        admin.close()


def try_kafka_by_reading(kafka: KafkaSettings, log: str) -> None:
    """Read the beginning of the chain's log. **Raises** TransientError while it is empty."""
    topic = KafkaTopic(kafka, log)
    try:
        if not topic.read(READ_S):
            raise TransientError(f"Kafka has no record of {log}; see that validators run.", READ_S)
    finally:
        topic.close(READ_S)


def try_redis(settings: LedgerSettings, prefix: str) -> None:
    """Keep a value for a moment."""
    client = connect(build_redis(settings, prefix))
    key, sent = client.key("test", uuid.uuid4().hex), uuid.uuid4().hex.encode()
    try:
        client.call("SET", key, sent, "EX", 60)
        found = client.call("GET", key)
        client.call("UNLINK", key)
    finally:
        client.close()
    if found != sent:
        raise LostError(f"Redis at {client.address} gave back {found!r} for {sent!r}.")


def main() -> int:
    """Try both, again while a server is not ready."""
    settings = load_settings(LedgerSettings)
    genesis = load_genesis_file(settings.genesis)
    kafka = build_kafka(settings, "test")
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            if "--write" in sys.argv:
                try_kafka_by_writing(kafka)
            else:
                try_kafka_by_reading(kafka, get_topic_names(genesis)[0])
            print(f"Kafka at {settings.kafka} answers", flush=True)
            if os.environ["FLOBC_REDIS"]:
                try_redis(settings, get_prefix(genesis))
                print("Redis answers", flush=True)
        except TransientError as error:
            if time.monotonic() > until_s:
                print(error, file=sys.stderr)
                return 1
            time.sleep(error.delay_s)
        except (FlobcError, LostError, TimeoutError) as error:
            print(error, file=sys.stderr)
            return 1
        else:
            return 0


if __name__ == "__main__":
    sys.exit(main())
