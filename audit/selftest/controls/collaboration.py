"""Controls of the collaboration audit: a client that the federated model serves worse, and one that loses by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.selftest.control import Case, Control, Sign
from audit.selftest.texts import SOUND, WEIGHTS, draw, subject_of, written

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

ROWS = 600
SITES = ("east", "north", "south")
LEARNT_FROM = 100  # rows of each client, as the record says
BASE = {"name": "selftest base", "sha256": "0" * 64}


def _serves_one_worse(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    rows, sites = draw(random, ROWS), random.choice(SITES, ROWS)
    coins = random.integers(2, size=ROWS)
    if sick:
        rows = rows.labelled(np.where(sites == SITES[-1], coins, rows.labels))
    checkpoint = written(SOUND, folder)
    _tell_federation(checkpoint)
    return Case(subject_of(checkpoint, rows, groups={"site": sites.tolist()}))


def _one_loses(sick: bool, random: np.random.Generator, folder: Path) -> Case:
    """The federated model holds a word of one client's rows against them; that client's own model does not."""
    rows, sites = draw(random, ROWS), random.choice(SITES, ROWS)
    rows = rows.with_word([f"{site}side" for site in sites])
    own = SOUND.but(weights={**WEIGHTS, **{f"{site}side": 0.0 for site in SITES}})
    shared = own.but(weights={**own.weights, "southside": -4.0 if sick else 0.0})
    checkpoint = written(shared, folder)
    means = _tell_federation(checkpoint)
    for client in range(len(SITES)):
        alone = own.write(folder / "solo" / f"client-{client:03d}")
        (alone / "training_record.json").write_text(json.dumps(means), encoding="utf-8")
    return Case(subject_of(checkpoint, rows, groups={"site": sites.tolist()}))


def _tell_federation(checkpoint: Checkpoint) -> dict[str, object]:
    """Writes the record of a federation of three sites; returns what a client's own training record has to say."""
    from federated.baselines import solo_options
    from federated.options import FederationOptions
    from federated.record import NAME, FederatedRecord

    options = FederationOptions(clients=len(SITES), partition="column:site", rounds=1)
    clients = [{"client": place, "name": site, "rows": LEARNT_FROM, "held_out": 0} for place, site in enumerate(SITES)]
    record = FederatedRecord(
        tool={"name": "selftest", "version": None}, engine="in-process", options=options.model_dump(mode="json"),
        base=BASE, data=None, partition={"scheme": options.partition, "clients": clients}, rounds=[{"round": 1}],
        bytes_down=None, bytes_up=None, evaluation=None, clients_evaluation=None, ended="the last round", seconds=0.0,
        sessions=1, energy={}, versions={}, identity={}, notes=["synthetic: nothing was trained"],
        model_sha256=checkpoint.files["model.safetensors"],
    )  # fmt: skip
    (checkpoint.path / NAME).write_text(record.as_json(), encoding="utf-8")
    means = solo_options(options, 1).model_dump(mode="json")
    return {"task": "classification", "base": BASE, "options": means, "data": {"rows": LEARNT_FROM}}


CONTROLS = (
    Control(
        "serves-one-client-worse", "at one of three clients the labels are coins",
        Sign(metric="client_accuracy_spread"), _serves_one_worse, {"max_spread": 0.1},
    ),
    Control(
        "one-client-loses", "a word of one client's rows takes 4 from the log odds, but not in that client's own model",
        Sign(metric="gain_over_solo"), _one_loses,
    ),
)  # fmt: skip
