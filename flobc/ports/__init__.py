"""The smallest interfaces to the outside: logs, blobs, stores, signers and compute."""
