"""The programs that make a chain: one folder each."""
