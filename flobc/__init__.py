"""FLoBC: federated learning whose every round is a block that anyone can verify."""

__version__ = "0.1.0"
