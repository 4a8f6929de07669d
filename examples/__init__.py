"""Tasks written by users of FLoBC, to copy from."""
