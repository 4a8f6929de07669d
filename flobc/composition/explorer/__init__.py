"""The explorer: a chain as web pages that anyone may read, and nobody need believe."""
