"""Topics in Apache Kafka: all replicas acknowledge, nothing is skipped silently, no consumer groups."""

from flobc.adapters.kafka.admin import check_topic, ensure_topic, get_version
from flobc.adapters.kafka.settings import KafkaSettings
from flobc.adapters.kafka.topic import KafkaTopic

__all__ = ["KafkaSettings", "KafkaTopic", "check_topic", "ensure_topic", "get_version"]
