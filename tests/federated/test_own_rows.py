"""Promises where each client has a file of its own and the server has none: as in a deployment, in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from core_model.checkpoint import open_checkpoint
from core_model.errors import LabelsUnfit
from core_model.interrupt import StopRequest
from federated.client import app
from federated.grid import InProcessGrid
from federated.options import FederationOptions
from federated.result import FederatedResult
from federated.roster import ClientsGone
from federated.run_settings import KEY, RunSettings
from federated.server import serve
from tests.core_model.training_world import planted_rows
from tests.factories import write_rows
from tests.federated.secure_aggregation.world import give_keys
from tests.federated.world import LABELS, folder


def own_files(folder: Path, *, only: dict[int, str] | None = None, words: dict[int, tuple[str, str]] | None = None):
    """Three clients' files; `only`: a client with one class alone; `words`: one with other names for them."""
    for client in range(3):
        names = (words or {}).get(client, LABELS)
        rows = [{"text": text, "label": names[label]} for text, label in planted_rows(20, client)]
        rows = [row for row in rows if row["label"] == (only or {}).get(client, row["label"])]
        write_rows(folder / f"client-{client}.jsonl", rows)


def consortium(
    tmp_path: Path, *, labels: tuple[str, ...] = (), evaluation: bool = True, keys: bool = False, **options
) -> FederatedResult:
    settings = RunSettings(
        federation=FederationOptions(**{"clients": 3, "rounds": 2, "batch_size": 8, "learning_rate": 1e-3, **options}),
        base=str(folder() / "base"),
        columns={"text_column": "text", "label_column": "label"},
        labels=labels,
    )
    grid = InProcessGrid(app, clients=3, run_config={KEY: settings.to_text()})
    for node, context in grid.contexts.items():
        context.node_config = {
            "data": str(tmp_path / f"client-{node - 1}.jsonl"), "name": f"hospital {node}",
            "home": str(tmp_path / "home" / str(node)),
        }  # fmt: skip
    if keys:
        give_keys(grid, tmp_path)
    with StopRequest() as stop:
        return serve(
            grid, settings, out=tmp_path / "m", evaluation=str(folder() / "test.jsonl") if evaluation else None,
            resume=False, engine="deployment", tell=lambda told: None, stop=stop,
        )  # fmt: skip


@pytest.mark.parametrize("evaluation", [True, False])
def test_clients_with_files_of_their_own_make_a_model(tmp_path, evaluation):
    own_files(tmp_path)
    record = consortium(tmp_path, evaluation=evaluation).record
    assert record.data is None and record.engine == "deployment"
    assert [client["name"] for client in record.partition["clients"]] == ["hospital 1", "hospital 2", "hospital 3"]
    assert [client["rows"] for client in record.partition["clients"]] == [20, 20, 20]
    assert (record.evaluation is not None) == evaluation
    assert open_checkpoint(tmp_path / "m").labels == LABELS


def test_a_client_with_one_class_alone_takes_part_when_the_classes_are_named(tmp_path):
    own_files(tmp_path, only={1: "positive"})
    record = consortium(tmp_path, labels=LABELS).record
    assert all(len(entry["counted"]) == 3 for entry in record.rounds)
    rows = record.partition["clients"][1]
    assert rows["labels"]["negative"] == 0 and rows["rows"] == rows["labels"]["positive"]


def test_clients_whose_label_sets_differ_are_refused_by_name(tmp_path):
    own_files(tmp_path, words={2: ("nein", "ja")})
    with pytest.raises(LabelsUnfit, match="label sets differ: hospital 3 has ja, nein"):
        consortium(tmp_path)


def test_a_client_whose_labels_are_none_of_the_agreed_is_left_out_with_its_own_words(tmp_path):
    own_files(tmp_path, words={2: ("nein", "ja")})
    assert len(consortium(tmp_path, labels=LABELS, min_clients=2).record.partition["clients"]) == 2


def test_when_too_few_can_say_who_they_are_their_words_are_told(tmp_path):
    own_files(tmp_path, words={2: ("nein", "ja")})
    with pytest.raises(ClientsGone, match=r"2 of 3 clients could say who they are, 3 are needed.*'ja'"):
        consortium(tmp_path, labels=LABELS, min_clients=3)


def test_under_masks_nobody_tells_how_many_rows_it_has(tmp_path):
    own_files(tmp_path)
    record = consortium(tmp_path, secure=True).record
    assert {client["rows"] for client in record.partition["clients"]} == {None}
    assert record.secure["quantization_error"] < 1e-5


def test_with_more_clients_than_neighbours_a_deployment_wants_signed_keys(tmp_path, monkeypatch):
    """The server would draw the neighbours; with node keys everybody is everybody's, and nobody can be surrounded."""
    monkeypatch.setattr("federated.secure_aggregation.settings.MOST_NEIGHBOURS", 1)
    own_files(tmp_path)
    with pytest.raises(ClientsGone, match=r"public keys are not signed; aboveboard federate join --roster"):
        consortium(tmp_path, secure=True)
    (tmp_path / "signed").mkdir()
    own_files(tmp_path / "signed")
    assert consortium(tmp_path / "signed", secure=True, keys=True).record.secure["signed"] is True
