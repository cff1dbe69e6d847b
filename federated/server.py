"""The server: a Flower ServerApp around the round shell. In a deployment `federated.server:app` is what SuperExec runs.

Run configuration: `federation` (RunSettings as JSON), `out` (folder of the result), `eval-data` (a file of the
server's own, optional), `resume` (true to take up an interrupted run).
"""

from __future__ import annotations

from federated.environment import quiet_flower

quiet_flower()

from flwr.app import Context  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train across the clients that the grid shows, and leave the result in `out`."""
    raise NotImplementedError
