"""The ledger's program."""
