"""What each kind of node owes: duties derived from the chain's state and the node's own results."""
