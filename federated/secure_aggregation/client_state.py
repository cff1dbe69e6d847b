"""What a client remembers between the stages of a round, in its `context.state`; secrets go as soon as they may.

After a round only its number is left: no key, no share, no update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord

from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.messages import RECORD, config, number, record_of, text
from federated.secure_aggregation.settings import Terms

UPDATE, METRICS, PEERS, SHARES = (f"{RECORD}.{name}" for name in ("update", "metrics", "peers", "shares"))
DONE = "done"  # the stage of a client that has revealed its shares


def last_revealed(context: Context) -> int:
    """Number of the last round in which this client revealed shares; 0: none yet."""
    kept = context.state.config_records.get(RECORD)
    return number(kept, "revealed") if kept is not None else 0


def begin(
    context: Context, terms: Terms, *, stage: str, update: np.ndarray, metrics: Mapping[str, float]
) -> ConfigRecord:
    """Forget an unfinished round and remember a new one; returns its record, to be added to."""
    revealed = last_revealed(context)
    forget(context, revealed)
    kept = context.state.config_records[RECORD]
    kept["stage"], kept["terms"] = stage, terms.model_dump_json()
    context.state[UPDATE] = ArrayRecord({"update": Array(update)})
    context.state[METRICS] = MetricRecord(dict(metrics))
    return kept


def forget(context: Context, revealed: int) -> None:
    """Leave nothing but the number of the last round that was revealed."""
    for name in (UPDATE, METRICS, PEERS, SHARES):
        drop(context, name)
    context.state[RECORD] = config(stage=DONE, revealed=revealed)


def drop(context: Context, name: str) -> None:
    """Forget one record."""
    if name in context.state:
        del context.state[name]


def go_on(context: Context, asked: ConfigRecord, *, after: Sequence[str]) -> tuple[ConfigRecord, Terms]:
    """The record and terms of the round that a message belongs to.

    Args:
        after: stages that the client may be in.
    Raises: Refused for another session, another round, or a stage that is not next: so every stage happens once.
    """
    kept = record_of(context.state) if RECORD in context.state else config(stage=DONE, revealed=0)
    stage, wanted = text(kept, "stage"), text(asked, "stage")
    if stage == DONE:
        raise Refused(
            f"asked to {wanted}, but this client is in no round; it revealed shares in {number(kept, 'revealed')}",
            mend="one reveal a round; begin a new one",
        )
    if stage not in after:
        raise Refused(f"asked to {wanted} after {stage}", mend="every stage once, in order")
    terms = Terms.model_validate_json(text(kept, "terms"))
    if text(asked, "session") != terms.session or number(asked, "round") != terms.round:
        raise Refused(f"a message of another session or round than {terms.round}", mend="begin the round anew")
    return kept, terms
