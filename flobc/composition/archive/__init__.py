"""Chains at rest: read a run's directory or an export, and write exports of chains and models."""

from flobc.composition.archive.chain_export import export_chain
from flobc.composition.archive.model_export import export_model
from flobc.composition.archive.opening import open_archive
from flobc.ports.archive import ChainArchive

__all__ = ["ChainArchive", "export_chain", "export_model", "open_archive"]
