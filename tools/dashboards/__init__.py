"""Grafana's boards as data (a module each), and how they become JSON (``drawing``)."""
