"""Promises of audits of exported graphs: what answers alone can tell is as of torch, the rest absent with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.main import run
from core_model.checkpoint import open_checkpoint
from core_model.data import Table, open_table
from core_model.errors import TaskUnfit
from core_model.export.onnx import export_onnx
from core_model.prediction import Predictor
from core_model.tasks import Task
from reports.reading import read_record
from reports.record import AuditResult, Record, Status
from tests.audit.rows import write_made_up_rows
from tests.audit.task_checkpoints import column_flags, write_task_checkpoint, write_task_rows
from tests.factories import write_checkpoint

pytest.importorskip("onnxruntime")
WITHOUT_MODEL = ("gradients", "training_record.json", "transformers does not open it", "number format of its own")
SMALL = [
    part
    for setting in ("explainability.rows=8", "explainability.cascade_stages=1", "explainability.top_words=2",
                    "explainability.deletion_rows=8", "explainability.stability_rows=2", "security.attack_rows=8",
                    "security.gradient_rows=6", "security.backdoor_candidates=8", "robustness.rows=16",
                    "robustness.smoothed_rows=4", "emissions.rows_per_repeat=8")
    for part in ("--set", setting)
]  # fmt: skip
TEXTS = ["a good film", "the cruel king said that this was a bad day", "he", "good " * 90, "two dogs saw it"]


class World:
    """One classifier and its graphs, float and int8; records, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.graph = folder, folder / "onnx"
        self.checkpoint = _with_weights_that_differ(write_checkpoint(folder / "torch", hidden=16, layers=1))
        self.rows = write_made_up_rows(folder / "rows.jsonl", 48, seed=0)
        self.training = write_made_up_rows(folder / "training.jsonl", 60, seed=1)
        table = open_table(
            str(self.rows), text_column="text", label_column="label", label_names=("negative", "positive")
        )
        export(self.checkpoint, table, self.graph, int8=True)

    def record(self, name: str, subject: Path, *more: str, profile: str = "quick") -> Record:
        out = self.folder / name
        if not (out / "audit.json").exists():
            code = run(["audit", str(subject), "--data", str(self.rows), "--train-data", str(self.training),
                        "--group-column", "sex", "--profile", profile,
                        "--set", "explainability.methods=occlusion,shapley-sampling,attention-rollout",
                        *SMALL,
                        "--out", str(out), *more])  # fmt: skip
            assert code == 0
        return read_record(out / "audit.json")

    @property
    def by_torch(self) -> Record:
        return self.record("by-torch", self.checkpoint)

    @property
    def by_graph(self) -> Record:
        return self.record("by-graph", self.graph)


def _with_weights_that_differ(folder: Path) -> Path:
    """No two tensors are equal, as in a trained model; the exporter keeps equal ones once."""
    import torch
    from safetensors.torch import load_file, save_file

    random = torch.Generator().manual_seed(0)
    tensors = load_file(folder / "model.safetensors")
    moved = {name: value + 0.2 * torch.randn(value.shape, generator=random) for name, value in tensors.items()}
    save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def export(checkpoint: Path, data: Table, folder: Path, *, int8: bool = False) -> None:
    """As `aboveboard export`, without timing the graph against torch."""
    folder.mkdir()
    export_onnx(open_checkpoint(checkpoint), data, folder, max_difference=1e-3, int8=int8, threads=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("graphs"))


def parts(result: AuditResult) -> dict[tuple[str, str | None], list]:
    """Lines by name and method or attack: which words, radii and stages there are hangs on the numbers."""
    found: dict[tuple[str, str | None], list] = {}
    for line in result.metrics:
        found.setdefault((line.name, line.slice.get("method") or line.slice.get("attack")), []).append(line)
    return found


def test_a_graph_says_what_torch_says(world):
    torch, graph = (Predictor(open_checkpoint(place), cache=None) for place in (world.checkpoint, world.graph))
    assert np.abs(torch.predict(TEXTS).logits - graph.predict(TEXTS).logits).max() < 1e-5
    pairs = TEXTS[::-1]
    assert np.abs(torch.predict(TEXTS, pairs).logits - graph.predict(TEXTS, pairs).logits).max() < 1e-5
    assert open_checkpoint(world.graph).parameters == open_checkpoint(world.checkpoint).parameters
    assert (graph.forward_passes, graph.truncated) == (torch.forward_passes, torch.truncated)


def test_threads_move_no_bit_and_nothing_is_paid_for_twice(world):
    texts = [f"{text} {number}" for text in TEXTS for number in range(9)]
    one, three = (Predictor(open_checkpoint(world.graph), threads=threads, token_budget=64) for threads in (1, 3))
    first = one.predict(texts).logits
    assert np.array_equal(first, three.predict(texts).logits)
    passes = one.forward_passes
    assert np.array_equal(first, one.predict(texts).logits) and one.forward_passes == passes


def test_a_rows_answer_does_not_hang_on_its_neighbours_where_a_batch_would_share_a_scale(world):
    """The oracle is ONNX Runtime, asked each row alone; asked together, int8 answers differ."""
    import onnxruntime

    opened = open_checkpoint(world.graph / "model.int8.onnx")
    session = onnxruntime.InferenceSession(str(world.graph / "model.int8.onnx"))
    tokenizer, names = opened.load_tokenizer(), [put.name for put in session.get_inputs()]
    rows = [tokenizer(text, truncation=True, return_tensors="np") for text in TEXTS]
    alone = np.concatenate([session.run(["logits"], {name: row[name] for name in names})[0] for row in rows])
    found = Predictor(opened, cache=None).predict(TEXTS).logits
    assert np.array_equal(found, alone)
    padded = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="np")
    together = session.run(["logits"], {name: padded[name] for name in names})[0]
    assert np.abs(found - together).max() > 1e-4


def test_every_audit_of_torch_is_one_of_the_graph_and_no_part_is_silently_missing(world):
    by_radius = {("accuracy_under_attack", f"{way}-{norm}") for way in ("fgsm", "pgd") for norm in ("L2", "Linf")}
    for torch in world.by_torch.audits:
        graph = world.by_graph.audit(torch.id)
        assert graph.status is torch.status, torch.id
        assert not set(parts(torch)) - set(parts(graph)) - by_radius, torch.id
        measured = {line.key for line in torch.metrics if line.value is not None}
        for line in graph.metrics:
            if line.value is None and line.key in measured:
                assert any(why in line.reason for why in WITHOUT_MODEL), line.key


def test_what_answers_alone_can_tell_is_as_of_torch(world):
    for audit in ("evaluability", "fairness", "generalization", "robustness", "privacy"):
        others = {line.key: line for line in world.by_graph.audit(audit).metrics}
        measured = [line for line in world.by_torch.audit(audit).metrics if line.value is not None]
        assert len(measured) >= 5, audit
        for line in measured:
            assert others[line.key].value == pytest.approx(line.value, abs=1e-3), line.key


def test_attacks_on_words_are_run_and_those_by_gradient_are_not_measured(world):
    lines = parts(world.by_graph.audit("security"))
    assert all(line.value is not None for line in lines["queries_median", "deepwordbug"])
    for attack in ("fgsm-L2", "pgd-Linf"):
        [line] = lines["attack_success_rate", attack]
        assert line.value is None and "no gradients" in line.reason
    explained = parts(world.by_graph.audit("explainability"))
    for method in ("occlusion", "shapley-sampling"):
        assert explained["comprehensiveness_over_random", method][0].n > 0
    for method in ("integrated-gradients", "attention-rollout"):
        assert "no gradients, weights or attention" in explained["comprehensiveness_over_random", method][0].reason


def test_the_record_and_the_page_name_an_exported_graph(world):
    record = world.by_graph
    assert record.subject.architecture == "BertForSequenceClassification as ONNX, opset 20, not quantized"
    assert record.environment.packages["onnxruntime"] and record.environment.device == "cpu"
    assert "as ONNX, opset 20, not quantized" in (world.folder / "by-graph" / "report.html").read_text()
    assert "onnxruntime" not in world.by_torch.environment.packages


def test_mends_change_the_checkpoint_that_a_graph_came_from(world):
    mends = [finding.mitigation for audit in world.by_graph.audits for finding in audit.findings]
    trained = [mend for mend in mends if mend and " train " in mend.command and " --base ORIGINAL" in mend.command]
    assert trained and all("ORIGINAL_CHECKPOINT is the one" in mend.why for mend in trained)
    assert not any(f"train --base {world.graph}" in mend.command for mend in mends if mend)
    again = [mend.command for mend in mends if mend and mend.command.startswith("aboveboard audit")]
    assert all(str(world.graph) in command for command in again)


def test_torch_and_int8_are_compared_on_the_same_rows(world, capsys):
    rounded = world.record("by-int8", world.graph / "model.int8.onnx", "--only", "evaluability")
    assert rounded.subject.made and "model.int8.onnx" in rounded.subject.files
    _ = world.by_torch
    places = [str(world.folder / name / "audit.json") for name in ("by-torch", "by-int8")]
    assert run(["compare", *places, "--out", str(world.folder / "compared"), "--json"]) == 0
    assert run(["verify", places[1], "--sample", "1"]) == 0
    page = (world.folder / "compared" / "comparison.html").read_text()
    assert "as ONNX, opset 20, int8" in page and "paired" in page


def test_no_audit_fails_at_the_full_profile_beside_another_graph(world):
    record = world.record("full", world.graph, "--reference", str(world.graph / "model.int8.onnx"),
                          "--set", "emissions.repeats=2", profile="full")  # fmt: skip
    assert Status.ERRORED not in {audit.status for audit in record.audits}
    lines = parts(record.audit("privacy"))
    assert lines["membership_inference_auc", "calibrated loss"][0].value is not None
    assert "cannot be trained" in lines["membership_inference_auc", "lira"][0].reason


def test_a_reader_of_questions_is_audited_as_a_graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    write_task_checkpoint(folder / "torch", Task.QUESTION_ANSWERING)
    rows = write_task_rows(folder / "rows.jsonl", Task.QUESTION_ANSWERING, 24)
    flags = column_flags(Task.QUESTION_ANSWERING)
    data = open_table(str(rows), text_column="question", pair_column="passage", reference_column="answers",
                      task=Task.QUESTION_ANSWERING)  # fmt: skip
    export(folder / "torch", data, folder / "onnx")
    torch, graph = (Predictor(open_checkpoint(folder / name), cache=None) for name in ("torch", "onnx"))
    one, other = (predictor.answer(data.texts, data.pairs) for predictor in (torch, graph))
    assert one.texts == other.texts and other.scores == pytest.approx(one.scores, abs=1e-4)
    spans = [(0, 2)] * data.rows
    losses = [predictor.span_losses(data.texts, data.pairs, spans) for predictor in (torch, graph)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4, nan_ok=True)
    assert run(["audit", str(folder / "onnx"), "--data", str(rows), *flags, "--profile", "quick", "--only",
                "evaluability,explainability", "--out", str(folder / "out")]) == 0  # fmt: skip
    record = read_record(folder / "out" / "audit.json")
    assert record.audit("evaluability").status is Status.MEASURED
    why = record.audit("explainability").metrics[0].reason
    assert "no gradients" in why


def test_a_graph_that_cannot_be_run_ends_with_a_letter_and_writes_nothing(world, tmp_path, capsys):
    from tests.core_model.graph_world import write_graph_folder

    folder = write_graph_folder(tmp_path / "graph", write_checkpoint(tmp_path / "torch"), wide=3, said="classes")
    code = run(["audit", str(folder), "--data", str(world.rows), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2 and "gives logits of shape (2, 3)" in error and "Traceback" not in error
    assert not (tmp_path / "out" / "audit.json").exists()


@pytest.mark.parametrize(
    ("command", "mend"),
    [
        (["explain", "GRAPH", "--text", "a good film"], "--method occlusion"),
        (["train", "--task", "classification", "--base", "GRAPH", "--data", "ROWS", "--out", "OUT"], "exported from"),
        (["export", "GRAPH", "--data", "ROWS", "--out", "OUT"], "exported from"),
        (["calibrate", "GRAPH", "--data", "ROWS", "--out", "OUT"], "exported from"),
        (["compress", "GRAPH", "--data", "ROWS", "--method", "quantize", "--out", "OUT"], "exported from"),
        (["package", "GRAPH", "--licence", "apache-2.0", "--out", "OUT"], "exported from"),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else None,
)
def test_what_would_change_a_graph_or_look_into_it_ends_with_a_letter(world, tmp_path, capsys, command, mend):
    places = {"GRAPH": str(world.graph), "ROWS": str(world.rows), "OUT": str(tmp_path / "out")}
    code = run([places.get(word, word) for word in command])
    error = capsys.readouterr().err
    assert code == 2 and "is an exported graph (ONNX): torch cannot load it" in error and mend in error
    assert not (tmp_path / "out").exists()


def test_words_are_explained_by_leaving_them_out(world, capsys):
    arguments = ["explain", str(world.graph), "--text", "a good film", "--method", "occlusion", "--json"]
    assert run(arguments) == 0
    assert run([str(world.checkpoint) if word == str(world.graph) else word for word in arguments]) == 0
    graph, torch = capsys.readouterr().out.split("\n}\n")[:2]
    scores = [[word["score"] for word in json.loads(said + "}")["texts"][0]["words"]] for said in (graph, torch)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_emissions_name_what_ran(world):
    notes = world.by_graph.audit("emissions").notes
    assert any("ran model.onnx (ONNX, opset 20, not quantized)" in note for note in notes)
    assert not any("ONNX" in note for note in world.by_torch.audit("emissions").notes)


def test_a_language_model_is_scored_as_a_graph_and_what_it_would_write_is_not_measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    write_task_checkpoint(folder / "torch", Task.LANGUAGE_MODELING)
    rows, training = (write_task_rows(folder / f"{s}.jsonl", Task.LANGUAGE_MODELING, 24, seed=s) for s in (0, 1))
    flags = column_flags(Task.LANGUAGE_MODELING)
    data = open_table(str(rows), text_column="sentence", task=Task.LANGUAGE_MODELING)
    export(folder / "torch", data, folder / "onnx")
    texts = ["the dog sees the cat", "the cat", "a", "the " * 80]
    torch, graph = (Predictor(open_checkpoint(folder / name), cache=None) for name in ("torch", "onnx"))
    assert graph.score(texts).nll == pytest.approx(torch.score(texts).nll, abs=1e-4)
    one, other = (predictor.token_scores(texts) for predictor in (torch, graph))
    for name in ("log_probabilities", "means", "deviations"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-4)
    with pytest.raises(TaskUnfit, match="writes no text"):
        graph.generate(texts)
    assert run(["audit", str(folder / "onnx"), "--data", str(rows), "--train-data", str(training), *flags, "--profile",
                "quick", "--only", "evaluability,privacy,security,explainability", "--set", "security.probes=1",
                "--out", str(folder / "out")]) == 0  # fmt: skip
    record = read_record(folder / "out" / "audit.json")
    assert all(audit.status is Status.MEASURED for audit in record.audits)
    lines = {line.key: line for audit in record.audits for line in audit.metrics}
    for key in ("extraction_rate[rows=training]", "prompt_attack_success_rate[probe=injection]"):
        assert lines[key].value is None and "writes no text" in lines[key].reason
