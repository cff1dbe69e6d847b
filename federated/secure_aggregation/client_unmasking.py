"""A client helps to take the masks off the sum: it signs who survived, and reveals one share for each neighbour.

For a neighbour that survived: of the seed of its own mask. For one that was lost: of its private mask key, which gives
the pairwise masks that nobody cancels now. Never both: the two together open that neighbour's single update. That is
why one list is refused when the other names the same node, why there is one reveal in a round, and why (with node
keys) a majority must have signed the very same list.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, Context

from federated.secure_aggregation import client_state
from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.identity import Identity, statement
from federated.secure_aggregation.messages import AGREE, MASK, config, number, numbers, pairs
from federated.secure_aggregation.settings import Terms


def agree(context: Context, asked: ConfigRecord, *, identity: Identity | None) -> ConfigRecord:
    """Sign the list of survivors, so that the others can see that all were told the same.

    Source: Bonawitz et al. 2017, round 3 (ConsistencyCheck).
    Raises: Refused without node keys, and when the list is too short or lacks this client.
    """
    kept, terms = client_state.go_on(context, asked, after=(MASK,))
    if identity is None:
        raise Refused(
            "this node has no key to sign with", mend='--node-config \'secure-key="FILE" secure-roster="FILE"\''
        )
    survivors = numbers(asked, "survivors")
    _check_survivors(context, terms, survivors)
    kept["stage"], kept["survivors"] = AGREE, sorted(survivors)
    return config(signature=identity.sign(_list_of(context, terms, survivors)))


def unmask(context: Context, asked: ConfigRecord, *, identity: Identity | None) -> ConfigRecord:
    """Reveal one share for each neighbour, and forget the round.

    Raises: Refused when the lists overlap, do not name every neighbour, leave too few survivors, or are not those that
        a majority of the neighbours signed. Nothing is revealed then.
    """
    kept, terms = client_state.go_on(context, asked, after=(AGREE,) if identity is not None else (MASK,))
    survivors, lost = numbers(asked, "survivors"), numbers(asked, "lost")
    both = set(survivors) & set(lost)
    if both or len(set(survivors)) != len(survivors) or len(set(lost)) != len(lost):
        raise Refused(
            f"the lists of survivors and of lost clients overlap ({sorted(both)}) or repeat: both shares of one client "
            "open its single update",
            mend="ask who runs the server: no honest one asks for this",
        )
    shares = context.state.config_records[client_state.SHARES]
    seed_shares, key_shares = pairs(shares, "nodes", "seed-shares"), pairs(shares, "nodes", "key-shares")
    if set(survivors) | set(lost) != set(seed_shares):
        raise Refused("the lists do not name the neighbours of this client", mend="ask who runs the server")
    threshold = number(kept, "threshold")
    if len(survivors) < threshold or context.node_id not in survivors:
        raise Refused(
            f"{len(survivors)} survivors among the neighbours, and {threshold} are needed, this client among them",
            mend="more clients in the round",
        )
    if identity is not None:
        _check_agreement(context, asked, kept, terms, survivors, identity)

    client_state.forget(context, revealed=terms.round)
    return config(
        survivors=survivors,
        seed_shares=[seed_shares[node] for node in survivors],
        lost=lost,
        key_shares=[key_shares[node] for node in lost],
    )


def _check_survivors(context: Context, terms: Terms, survivors: list[int]) -> None:
    if len(set(survivors)) != len(survivors) or context.node_id not in survivors:
        raise Refused("the list of survivors repeats a client, or lacks this one", mend="ask who runs the server")
    if not terms.minimum <= len(survivors) <= terms.cohort:
        raise Refused(
            f"{len(survivors)} survivors of {terms.cohort} clients, and the minimum is {terms.minimum}",
            mend="more clients in the round",
        )


def _check_agreement(
    context: Context, asked: ConfigRecord, kept: ConfigRecord, terms: Terms, survivors: list[int], identity: Identity
) -> None:
    agreed = numbers(kept, "survivors")
    peers = context.state.config_records[client_state.PEERS]
    names = pairs(peers, "nodes", "identities")
    if set(survivors) != set(agreed) & set(names) & set(
        numbers(context.state.config_records[client_state.SHARES], "nodes")
    ):
        raise Refused("the survivors are not those that this client signed", mend="ask who runs the server")
    told = _list_of(context, terms, agreed)
    signed = [
        node
        for node, signature in pairs(asked, "signers", "signatures").items()
        if node in survivors and identity.vouches(names[node], told, signature)
    ]
    if len(signed) < number(kept, "threshold"):
        raise Refused(
            f"{len(signed)} neighbours signed the same list of survivors, and {number(kept, 'threshold')} must: the "
            "others may have been told another",
            mend="more clients that stay to the end; if they did, ask who runs the server",
        )


def _list_of(context: Context, terms: Terms, survivors: list[int]) -> bytes:
    return statement(
        "survivors", run=context.run_id, round=terms.round, session=terms.session, survivors=sorted(survivors)
    )
