"""Synchronisation schemes: when a round closes and which updates may still enter it (spec/SYNC.md)."""
