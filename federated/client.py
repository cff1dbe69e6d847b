"""The client: a Flower ClientApp that trains on its own rows and answers with an update and a proof of what it did.

The same app runs in a simulation (in process or on Ray) and on a SuperNode; there the node's configuration names the
client's own file (`data`), its copy of the base (`base`) and a folder that survives restarts (`home`).

    query     who are you: client, name, labels, hash of the base
    train     {"arrays": the global model, "config": {"local": LocalOptions}} -> {"arrays" or "compressed", "metrics",
              "proof"}
    evaluate  the same -> {"metrics": {"num-examples", "loss", "accuracy" ...}} on the rows held out
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from federated.arrays import Update, of_record, to_record
from federated.departure import depart
from federated.environment import quiet_flower
from federated.options import LocalOptions
from federated.run_settings import RunSettings, settings_of
from federated.state import ClientHome

quiet_flower()

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402

from federated.secure_aggregation.client import answer, secure_aggregation_mod  # noqa: E402
from federated.secure_aggregation.messages import ACTION  # noqa: E402

if TYPE_CHECKING:
    from federated.local_training import LocalResult

HEAD = "head"  # in what stays with a client: its personal head
EXAMPLES = "num-examples"  # Flower's word for a reply's weight

app = ClientApp()
app.query(ACTION)(answer)  # the stages of secure aggregation after the training


def client_of(context: Context) -> int:
    """Which client this node is: its part of a simulation, or its own number in a deployment."""
    return int(context.node_config.get("partition-id", context.node_id))


def settings_for(message: Message, context: Context) -> RunSettings:
    """The run as this node sees it."""
    config: Any = message.content.config_records.get("config", {})
    return settings_of(context.run_config, config).for_node(context.node_config)


@app.query()
def describe(message: Message, context: Context) -> Message:
    """Who this is, and what it must share with the others to train one model with them."""
    from federated.workbench import workbench

    settings, client = settings_for(message, context), client_of(context)
    bench = workbench(settings)
    part = 0 if settings.own_rows else client
    own = bench.parts.rows[part]
    about = {
        "client": client,
        "name": str(context.node_config.get("name", bench.parts.names[part])),
        "base_sha256": bench.base.sha256,
        "labels": list(bench.task.labels),
    }
    if not settings.federation.secure and settings.federation.private is None:
        about |= {"rows": len(own), "label_counts": bench.label_counts(own)}
    return Message(RecordDict({"about": ConfigRecord({"json": json.dumps(about)})}), reply_to=message)


@app.train(mods=[secure_aggregation_mod])
def train(message: Message, context: Context) -> Message:
    """One round on the client's rows."""
    from federated.local_training import train_locally
    from federated.workbench import workbench

    settings, client = settings_for(message, context), client_of(context)
    local = _local(message)
    home = ClientHome(settings.home, client)
    home.before(local.round, context.state)
    start = of_record(message.content.array_records["arrays"])
    bench, head, proof = workbench(settings), _head(context), None
    if local.record_privacy is None:
        result = train_locally(bench, client, start, local, head=head)
    else:
        from federated.record_privacy import train_rows_privately

        result, proof = train_rows_privately(
            bench, client, start, local, home=context.state, folder=home.folder, head=head
        )
    if result.head:
        context.state[HEAD] = to_record(result.head)
    leaving = depart(
        result.update, local, home=context.state, client=client, proximal_mu=result.proximal_mu, record_privacy=proof
    )
    home.keep(local.round, context.state)
    return Message(RecordDict({**leaving.records, "metrics": _metrics(result, local)}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The global model, under the client's own head where it has one, on the rows that the client holds out."""
    from federated.evaluation import evaluate_client
    from federated.workbench import workbench

    settings, client = settings_for(message, context), client_of(context)
    local = _local(message)
    ClientHome(settings.home, client).before(local.round + 1, context.state)
    shared = of_record(message.content.array_records["arrays"])
    measured = evaluate_client(workbench(settings), client, shared, _head(context))
    examples = measured.pop("n") if measured else 0
    return Message(
        RecordDict({"metrics": MetricRecord({EXAMPLES: int(examples), **(measured or {})})}), reply_to=message
    )


def _metrics(result: LocalResult, local: LocalOptions) -> MetricRecord:
    """What a client tells beside its update; with a promise nothing that no noise covers, and all weigh the same."""
    if local.clip is not None:
        return MetricRecord({EXAMPLES: 1})
    if local.record_privacy is not None:
        return MetricRecord({EXAMPLES: result.rows})
    return MetricRecord({EXAMPLES: result.rows, "train_loss": result.loss})


def _local(message: Message) -> LocalOptions:
    return LocalOptions.of_text(str(message.content.config_records["config"]["local"]))


def _head(context: Context) -> Update | None:
    kept = context.state.array_records.get(HEAD)
    return of_record(kept) if kept is not None else None
