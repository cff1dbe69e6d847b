"""What Flower and Ray must be told before they are imported: send nothing home.

from federated.environment import quiet_flower

quiet_flower()  # before the first `import flwr` or `import ray`
"""

from __future__ import annotations

import os

SILENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def quiet_flower() -> None:
    """Switch telemetry, update checks and usage statistics off, for this process and those that it starts."""
    os.environ.update(SILENT)
