"""The log's state machine: each valid record moves it, and the log alone decides when a round closes."""
