"""Keep the peer quiet: import this before ``flwr``.

No telemetry, no look for updates, no usage statistics, and its own small files stay beside its
environment instead of the home directory.
"""

import os
import sys
from pathlib import Path

os.environ.update(
    FLWR_TELEMETRY_ENABLED="0",
    FLWR_DISABLE_UPDATE_CHECK="1",
    FLWR_HOME=str(Path(sys.prefix).parent / "flwr_home"),
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",  # silences a warning about absent accelerators
)
