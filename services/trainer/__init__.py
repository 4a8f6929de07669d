"""The trainer's program."""
