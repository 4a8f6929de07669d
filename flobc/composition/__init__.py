"""Builds roles from settings and ports: the only place where real things are chosen."""
