"""Writing a ledger's store again: from the log, from another ledger, or from a chain at rest."""

from flobc.composition.rebuild.sources import LogSource, PeerSource, Source, open_archive_source, open_kafka_source
from flobc.composition.rebuild.writing import RebuildReport, rebuild

__all__ = [
    "LogSource",
    "PeerSource",
    "RebuildReport",
    "Source",
    "open_archive_source",
    "open_kafka_source",
    "rebuild",
]
