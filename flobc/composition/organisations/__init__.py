"""Several parties, one chain: drafts of a genesis, invitations, and requests to join."""
