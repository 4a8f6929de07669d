"""The validator's program."""
