"""Secure aggregation: the server learns the sum of the clients' updates, and no single one (SecAgg+, hardened).

from federated.secure_aggregation.client import answer, secure_aggregation_mod    # a mod, and a query handler
from federated.secure_aggregation.exchange import SecureExchange                  # server: one round over any Grid
from federated.secure_aggregation.settings import SecureSettings                  # what the server may choose
from federated.secure_aggregation.strategies import refuse_strategy               # medians need single updates

A round has five stages; a client may be lost at each of them, and the round goes on while the minimum is left:
    advertise   the training message itself: the client trains, keeps its update and sends fresh public keys
    share       it sends shares of its secrets to its neighbours, encrypted for each of them
    mask        it sends its update, weight and metrics as integers under masks that cancel in the sum
    agree       (with node keys) it signs the list of survivors that it was told
    unmask      it reveals, once, one kind of share for each neighbour, and forgets its secrets

Sources: Bonawitz et al. 2017, doi:10.1145/3133956.3133982; Bell et al. 2020 (SecAgg+), doi:10.1145/3372297.3417885.
Key agreement, secret sharing, encryption of shares and quantization are Flower's (`flwr.common.secure_aggregation`).
Masks are not: `masking` says why.
"""

from federated.environment import quiet_flower

quiet_flower()
