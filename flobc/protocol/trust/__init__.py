"""Trust: how a trainer's scores move its say in the model (spec/TRUST.md, spec/WEIGHTS.md)."""
