"""Trainer, validator and ledger as processes of their own: which real parts each is made of."""
