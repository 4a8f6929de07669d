"""The page about one chain: what it learnt, whom it trusts, what it refused, how its rounds closed, what it took."""
