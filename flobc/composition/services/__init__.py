"""Trainer, validator, ledger and explorer as processes of their own: which real parts each is made of."""
