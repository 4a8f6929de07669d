"""Sets how many nodes a system has, and finds out by measuring which mix of trainers and validators saturates it."""
