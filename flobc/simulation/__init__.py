"""A seeded world on a virtual clock: the same nodes, with a network, faults and thousands of trainers around them."""
