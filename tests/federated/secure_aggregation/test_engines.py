"""What an engine does to messages and state, and noise that clients add: the sum stays the same."""

import numpy as np
import pytest
from flwr.common.serde import context_from_proto, context_to_proto, message_from_proto, message_to_proto

from federated.client_privacy import noise_share
from federated.secure_aggregation.exchange import SecureExchange
from federated.secure_aggregation.messages import MASK
from federated.secure_aggregation.settings import SecureSettings, range_under_noise
from tests.federated.secure_aggregation.world import WatchedGrid, client_app, mean_of, training_messages, update_of

NODES = [1, 2, 3, 4, 5]


def test_messages_and_state_survive_protobuf_at_every_stage():
    """As a SuperLink carries them; node numbers there are any 64 bits."""
    big = {node: 2**63 + node for node in NODES}
    small = {number: node for node, number in big.items()}

    def on_the_wire(message):
        for context in grid.contexts.values():
            again = context_from_proto(context_to_proto(context))
            context.state = again.state
        return message_from_proto(message_to_proto(message))

    app = client_app(update=lambda number: update_of(small[number]), fails={big[4]: MASK})
    grid = WatchedGrid(app, clients=5, sent=on_the_wire, received=on_the_wire)
    for node, number in big.items():
        context = grid.contexts.pop(node)
        context.node_id = number
        grid.contexts[number] = context
    total = SecureExchange(grid, SecureSettings())(training_messages(list(big.values())), 60)
    assert total.survivors == tuple(big[node] for node in (1, 2, 3, 5))
    exact = mean_of([1, 2, 3, 5])
    assert all(total.mean()[name] == pytest.approx(exact[name], abs=1e-6) for name in exact)


@pytest.mark.parametrize("lost", [0, 1])
def test_shares_of_noise_add_up_in_the_masked_sum(lost):
    """With the minimum of survivors the noise is whole; with more clients there is more of it."""
    norm, multiplier, shares = 5.0, 0.8, 4  # the updates are shorter than the norm: nothing is clipped

    def noisy(node):
        generator = np.random.default_rng([node, 99])
        return noise_share(
            update_of(node), clipping_norm=norm, noise_multiplier=multiplier, shares=shares, generator=generator
        )

    grid = WatchedGrid(client_app(update=noisy, fails={2: MASK} if lost else {}), clients=5)
    settings = SecureSettings(weighted=False, clip_range=range_under_noise(norm, multiplier, shares))
    total = SecureExchange(grid, settings)(training_messages(NODES), 60)
    assert len(total.survivors) == 5 - lost
    noise = np.concatenate(
        [(total.update_sum[n] - sum(update_of(node)[n] for node in total.survivors)).ravel() for n in mean_of(NODES)]
    )
    expected = multiplier * norm * (len(total.survivors) / shares) ** 0.5
    assert noise.std() == pytest.approx(expected, rel=5 / (2 * noise.size) ** 0.5)
    assert total.quantization_error < 1e-6 * expected
