"""The client's side: a mod around the training, and a handler for the protocol's own messages.

app = ClientApp()
app.train(mods=[secure_aggregation_mod])(train)     # what `train` returns is masked; its proof passes in clear
app.query(ACTION)(answer)                           # the stages after the training

`train` returns the update in "arrays" (names and shapes as they were sent), "num-examples" and any metrics that are
single numbers in "metrics". What it does to the update before it returns (clipping, its share of the noise) was done
before masking. A node with keys (see `identity`) answers no training message outside secure aggregation: a server could
ask for the plain update otherwise; and none for fewer survivors than its "secure-minimum".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from pydantic import ValidationError

from core_model.errors import AboveboardError
from federated.secure_aggregation import client_state
from federated.secure_aggregation.client_keys import advertise, share
from federated.secure_aggregation.client_masking import WEIGHT, mask
from federated.secure_aggregation.client_unmasking import agree, unmask
from federated.secure_aggregation.errors import Refused
from federated.secure_aggregation.identity import KEY, MINIMUM, identity_of
from federated.secure_aggregation.messages import (
    ADVERTISE,
    AGREE,
    MASK,
    MASKED,
    PROOF,
    RECORD,
    SHARE,
    UNMASK,
    record_of,
    text,
)
from federated.secure_aggregation.quantizing import Announcement, exponent_above
from federated.secure_aggregation.settings import Terms


def secure_aggregation_mod(
    message: Message, context: Context, call_next: Callable[[Message, Context], Message]
) -> Message:
    """Train, keep the update, and send public keys and the proof; see the module's docstring.

    Returns: an error with the reason where this client refuses.
    """
    if message.metadata.message_type.split(".")[0] != MessageType.TRAIN:
        return call_next(message, context)
    try:
        identity = identity_of(context.node_config)
        if RECORD not in message.content:
            if identity is not None:
                raise Refused("asked to train in clear; this node has keys for secure aggregation", mend="--secure")
            return call_next(message, context)
        terms = _terms(message, context)
        trained = call_next(message, context)
        if trained.has_error():
            return trained
        update, metrics = _trained(message, trained, terms)
        announced = _announced(update, metrics, terms)
        sent = advertise(context, terms, update=update, metrics=metrics, announced=announced, identity=identity)
    except AboveboardError as refusal:
        return _refused(refusal, message)
    content = RecordDict({RECORD: sent})
    if PROOF in trained.content.config_records:
        content[PROOF] = trained.content.config_records[PROOF]
    return Message(content, reply_to=message)


def answer(message: Message, context: Context) -> Message:
    """Handle a stage after the training.

    Returns: an error with the reason where this client refuses.
    """
    try:
        identity = identity_of(context.node_config)
        asked = record_of(message.content)
        stage = text(asked, "stage")
        if stage == MASK:
            return Message(RecordDict({MASKED: mask(context, asked)}), reply_to=message)
        if stage == SHARE:
            sent = share(context, asked, identity=identity)
        elif stage == AGREE:
            sent = agree(context, asked, identity=identity)
        elif stage == UNMASK:
            sent = unmask(context, asked, identity=identity)
        else:
            raise Refused(f"there is no stage {stage!r}", mend="a server of this version")
    except AboveboardError as refusal:
        return _refused(refusal, message)
    return Message(RecordDict({RECORD: sent}), reply_to=message)


def _terms(message: Message, context: Context) -> Terms:
    asked = record_of(message.content)
    try:
        terms = Terms.model_validate_json(text(asked, "terms"))
    except ValidationError as problem:
        raise Refused(
            f"the terms of the round protect nobody: {problem}", mend="a larger minimum of survivors"
        ) from problem
    if text(asked, "stage") != ADVERTISE:
        raise Refused(f"a training message of the stage {text(asked, 'stage')!r}", mend="a server of this version")
    _check_policy(context, terms)
    revealed = client_state.last_revealed(context)
    if terms.round <= revealed:
        raise Refused(
            f"asked for round {terms.round} after this client revealed its shares in round {revealed}: two sums of one "
            "round with different survivors would show a single update",
            mend="one reveal a round",
        )
    _check_noise(message, terms)
    return terms


def _check_policy(context: Context, terms: Terms) -> None:
    """What the node's own configuration demands of every round, whatever the server would like."""
    least = context.node_config.get(MINIMUM)
    if least is not None and terms.minimum < int(least):
        raise Refused(
            f"the sum may hold {terms.minimum} clients, and this node answers for {least} or more ({MINIMUM})",
            mend=f"a minimum of {least} survivors",
        )
    if KEY in context.node_config and not terms.complete:
        raise Refused(
            f"{terms.neighbours} neighbours of {terms.cohort} clients: who draws them could surround this node",
            mend="require_signatures, so that everybody is everybody's neighbour",
        )


def _check_noise(message: Message, terms: Terms) -> None:
    """The noise that is promised must be whole even when only the minimum survives, and no weight may shrink it."""
    config = message.content.config_records.get("config", ConfigRecord())
    local = json.loads(text(config, "local")) if "local" in config else {}
    shares = (local.get("noise_shares") or {}).get("shares")
    if shares is not None and terms.weighted:
        raise Refused("noise in shares, in a sum that weighs the clients: too little noise", mend="weighted = False")
    if shares is not None and shares > terms.minimum:
        raise Refused(
            f"the noise is divided among {shares} clients, and the sum may hold {terms.minimum}: too little noise",
            mend=f"noise in {terms.minimum} shares",
        )


def _trained(message: Message, reply: Message, terms: Terms) -> tuple[np.ndarray, dict[str, float]]:
    """The flat update and the metrics of a training reply, checked against what was sent."""
    sent, back = (one.content.array_records.get("arrays", ArrayRecord()) for one in (message, reply))
    if [(name, array.shape) for name, array in back.items()] != [(name, array.shape) for name, array in sent.items()]:
        raise Refused("the update has other names or shapes than the model", mend="no compression with --secure")
    update = np.concatenate(
        [np.ravel(array.numpy()).astype(np.float32) for array in back.values()] or [np.zeros(0, np.float32)]
    )
    if not np.isfinite(update).all():
        raise Refused(
            f"{np.count_nonzero(~np.isfinite(update))} values of the update are not finite", mend="train anew"
        )
    found = reply.content.metric_records.get("metrics", MetricRecord())
    metrics = {name: value for name, value in found.items() if isinstance(value, int | float)}
    weight = metrics.get(WEIGHT)
    if weight is None or weight < 1 or weight != int(weight):
        raise Refused(f"{WEIGHT} is {weight!r}, no number of examples", mend='{"num-examples": 120} in "metrics"')
    if terms.clip_range is not None and update.size and np.abs(update).max() > terms.clip_range:
        outside = np.count_nonzero(np.abs(update) > terms.clip_range)
        raise Refused(f"{outside} of {update.size} values lie outside ±{terms.clip_range:g}", mend="a wider clip_range")
    return update, metrics


def _announced(update: np.ndarray, metrics: Mapping[str, float], terms: Terms) -> Announcement:
    largest = float(np.abs(update).max(initial=0.0))
    return Announcement(
        range_exponent=exponent_above(largest) if terms.clip_range is None else None,
        weight_exponent=(int(metrics[WEIGHT]) - 1).bit_length() if terms.max_weight is None else None,
        metrics=tuple(sorted(set(metrics) - {WEIGHT})),
    )


def _refused(refusal: AboveboardError, message: Message) -> Message:
    return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, str(refusal)), reply_to=message)
