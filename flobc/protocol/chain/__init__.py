"""What stands on the chain for ever: blocks, their certificates, and how to check them with nobody's help."""
