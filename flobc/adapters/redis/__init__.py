"""What ledger replicas share in one Redis: certified blocks, models in chunks and core states.

Several replicas may write at once; large values are whole before anything names them.
"""

from flobc.adapters.redis.blocks import RedisBlocks
from flobc.adapters.redis.client import RedisClient, check_server, connect
from flobc.adapters.redis.models import RedisModels
from flobc.adapters.redis.settings import RedisSettings
from flobc.adapters.redis.states import RedisStates

__all__ = [
    "RedisBlocks",
    "RedisClient",
    "RedisModels",
    "RedisSettings",
    "RedisStates",
    "check_server",
    "connect",
]
