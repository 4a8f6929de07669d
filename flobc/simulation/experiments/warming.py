"""What every cell would do first, done once in the process that they are all forked from: numba gets ready in a second.

Nothing here may start a thread or ask torch for a gradient: neither outlives a fork.
"""

from __future__ import annotations

import numpy as np

from flobc.numerics.fixed_point import Grid
from flobc.numerics.parallel import inline

with inline():
    Grid.uniform(1).to_float(np.zeros(1, np.int32))
