"""Protocol, pure: bytes and records in, states and duties out. No clock, dice, disk, sockets or floats."""
