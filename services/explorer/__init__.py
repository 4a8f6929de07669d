"""The explorer's program."""
