"""Promises of the mitigations: the weights are the paper's, the copies are the swap's, and training heeds both."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from core_model.architectures import Architecture
from core_model.checkpoint import open_checkpoint
from core_model.data import Table
from core_model.errors import ColumnMissing, OptionUnfit
from core_model.identity_swap import read_terms, swap
from core_model.mitigation import FEW_ROWS, cell_weights, mitigate, reweigh, swapped_copies
from core_model.prediction import Predictor
from core_model.training import TrainingResult, train
from core_model.training_options import TrainingOptions
from tests.core_model.mitigation_world import biased_rows, fair_rows, table_of
from tests.core_model.training_world import tiny_base

TERMS = read_terms()


def grouped(groups: list[str], targets: list[int], **more) -> Table:
    texts = more.pop("texts", [f"row {row}" for row in range(len(groups))])
    return Table.from_rows(name="planted", texts=texts, targets=targets, groups={"g": groups}, synthetic=True, **more)


# Weights


def test_weights_of_ten_applicants_are_those_worked_out_by_hand():
    """Five men, 4 hired; five women, 2 hired. Hired women: 0.5 * 0.6 / 0.2; hired men: 0.5 * 0.6 / 0.4; refused women:
    0.5 * 0.4 / 0.3; refused men: 0.5 * 0.4 / 0.1."""
    weights = cell_weights(np.array([[1, 4], [3, 2]]))  # men, women; refused, hired
    assert weights == pytest.approx(np.array([[2.0, 0.75], [2 / 3, 1.5]]))


@pytest.mark.parametrize("seed", range(5))
def test_weighted_labels_are_independent_of_the_group(seed):
    """Oracle: P(group) P(label) / P(group, label) by a slow loop over the rows."""
    random = np.random.default_rng(seed)
    groups = random.choice(["a", "b", "c"], 300, p=[0.7, 0.25, 0.05])
    targets = (random.random(300) < np.where(groups == "a", 0.8, 0.3)).astype(int) + random.integers(0, 2, 300)
    weights, _, _ = reweigh([grouped(groups.tolist(), targets.tolist())], "g")
    for row in range(300):
        own_group = sum(g == groups[row] for g in groups) / 300
        own_label = sum(t == targets[row] for t in targets) / 300
        both = sum((g, t) == (groups[row], targets[row]) for g, t in zip(groups, targets, strict=True)) / 300
        assert weights[row] == pytest.approx(own_group * own_label / both, rel=1e-5)
    assert weights.mean() == pytest.approx(1)
    shares = [np.bincount(targets[groups == g], weights[groups == g], minlength=3) for g in "abc"]
    for share in shares:
        assert share / share.sum() == pytest.approx(np.bincount(targets) / 300, rel=1e-5)


def test_rows_that_are_balanced_already_all_count_once():
    weights, _, _ = reweigh([grouped(["a", "a", "b", "b"] * 10, [0, 1] * 20)], "g")
    assert (weights == 1).all()


def test_an_empty_cell_has_no_weight_and_the_note_says_what_that_means():
    weights, record, notes = reweigh([grouped(["a"] * 60 + ["b"] * 20, [0, 1] * 30 + [0] * 20)], "g")
    assert weights.mean() == pytest.approx(1)
    [empty] = [cell for cell in record["cells"] if cell["rows"] == 0]
    assert (empty["group"], empty["label"], empty["weight"]) == ("b", "1", None)
    assert record["cells_without_rows"] == 1
    assert any("1 cells of 'g' and label have no row" in note for note in notes)


def test_a_small_group_keeps_its_own_weights_and_is_pointed_at():
    groups, targets = ["a"] * 200 + ["b"] * 4, [0, 1] * 100 + [0, 0, 0, 1]
    weights, record, notes = reweigh([grouped(groups, targets)], "g")
    assert weights[-1] == pytest.approx(4 * 101 / 204 / 1)
    assert record["cells_with_few_rows"] == 2
    assert any(f"2 cells of 'g' and label have fewer than {FEW_ROWS} rows" in note for note in notes)


def test_a_class_that_no_row_has_is_no_empty_cell():
    _, record, _ = reweigh([grouped(["a", "b"] * 40, [0, 0, 1, 1] * 20, label_names=("x", "y", "never"))], "g")
    assert record["cells_without_rows"] == 0
    assert {cell["label"] for cell in record["cells"]} == {"x", "y"}


def test_a_column_of_very_many_groups_does_not_flood_the_record():
    groups = [f"g{row // 4:03}" for row in range(400)]
    _, record, _ = reweigh([grouped(groups, [0, 1] * 200)], "g")
    assert (record["groups"], record["groups_shown"], len(record["cells"])) == (100, 50, 100)


@pytest.mark.parametrize(
    ("table", "column", "error", "letter"),
    [
        (grouped(["a"] * 4, [0, 1, 0, 1]), "g", OptionUnfit, r"column 'g' of planted has one value, 'a'"),
        (grouped(["a", "b"] * 2, [0, 1, 0, 1]), "g", OptionUnfit, r"each of the 2 groups(.|\n)*one label only"),
        (grouped(["a", "b"] * 2, [0, 1, 0, 1]), "sex", ColumnMissing, r"'sex'(.|\n)*It has: 'g'"),
        (grouped(["a", "b"] * 2, [0, 1, 0, 1]), "label", OptionUnfit, r"'label' is the label column"),
    ],
)
def test_a_column_that_cannot_be_balanced_is_refused(table, column, error, letter):
    with pytest.raises(error, match=letter):
        reweigh([table], column)


# Copies


def test_each_row_with_a_term_has_one_copy_with_its_label_and_group():
    texts = ["She is a doctor", "rain", "a man here", "no one"]
    data = grouped(["f", "n", "m", "n"], [1, 0, 0, 1], texts=texts)
    copies, counts = swapped_copies(data, TERMS)
    assert list(copies.texts) == ["He is a doctor", "a woman here"]
    assert copies.texts[0:2] == ["He is a doctor", "a woman here"]
    assert copies.targets.tolist() == [1, 0]
    assert copies.groups["g"].tolist() == ["f", "m"]
    assert counts == {"gender": 2}
    assert len(set(copies.row_ids) & set(data.row_ids)) == 0


def test_rows_with_several_identities_take_them_in_turn():
    """Oracle: the swap itself; a copy is a swap of one category, and over many rows each category has its turn."""
    data = grouped(["a", "b"] * 10, [0, 1] * 10, texts=[f"a black muslim woman {row}" for row in range(20)])
    copies, counts = swapped_copies(data, TERMS)
    for text, copy in zip(data.texts, copies.texts, strict=True):
        assert copy in {swap(text, category, TERMS) for category in TERMS.categories}
    assert set(counts) == {"gender", "religion", "race_or_ethnicity"}
    assert sum(counts.values()) == 20
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_term_in_either_part_of_a_pair_is_swapped_in_both():
    data = grouped(["a"] * 3, [0, 1, 0], texts=["she came", "rain", "rain"], pairs=["a woman", "a man", "sun"])
    copies, _ = swapped_copies(data, TERMS)
    assert list(zip(copies.texts, copies.pairs or [], strict=True)) == [("he came", "a man"), ("rain", "a woman")]


def test_where_no_row_holds_a_term_augmentation_is_refused():
    with pytest.raises(OptionUnfit, match=r"no row of planted holds an identity term(.|\n)*--identity-terms FILE"):
        mitigate(grouped(["a", "b"], [0, 1]), TrainingOptions(augment="identity-swap"))


def test_without_a_mitigation_the_rows_are_handed_on_as_they_are():
    data = grouped(["a", "b"], [0, 1])
    mitigated = mitigate(data, TrainingOptions())
    assert mitigated.tables == (data,)
    assert mitigated.weights is None and not mitigated.record and not mitigated.notes


def test_with_both_mitigations_the_copies_are_balanced_too():
    table = table_of(biased_rows(200))
    mitigated = mitigate(table, TrainingOptions(augment="identity-swap", reweigh="sex"))
    weights, sexes = mitigated.weights, np.concatenate([t.groups["sex"] for t in mitigated.tables])
    targets = np.concatenate([t.targets for t in mitigated.tables])
    assert weights is not None and len(weights) == 400
    shares = [np.average(targets[sexes == sex], weights=weights[sexes == sex]) for sex in ("man", "woman")]
    assert shares[0] == pytest.approx(shares[1], rel=1e-5)


# Training


def trained(out: Path, **changes) -> TrainingResult:
    options = TrainingOptions(**{"epochs": 1, "batch_size": 32, "learning_rate": 2e-3, **changes})
    return train(options, base=tiny_base(), data=table_of(biased_rows(160)), out=out)


def test_the_loss_is_the_cross_entropy_times_the_weights():
    """Oracle: torch's cross-entropy of each row alone, with label smoothing, times the weight of its cell."""
    from core_model.tasks.classification import prepare

    data = table_of(biased_rows(24))
    options = TrainingOptions(reweigh="sex", label_smoothing=0.1)
    task = prepare(options, base=tiny_base(), architecture=None, data=data, evaluation=None)
    task.model.eval()
    rows = np.array([3, 0, 7])
    weights, _, _ = reweigh([data], "sex")
    expected = 0.0
    for row in rows:
        with torch.no_grad():
            logits = task.model(**task.tokenizer(data.texts[row], return_tensors="pt")).logits
        target = torch.tensor([int(data.targets[row])])
        expected += weights[row] * float(torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1))
    assert task.loss(task.model, task.batch(task.training, rows), 0.1).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("changes", [{"reweigh": "sex"}, {"augment": "identity-swap"}])
def test_a_mitigation_changes_the_weights_repeatably_and_stands_in_the_record(tmp_path: Path, changes):
    plain, once, again = trained(tmp_path / "p"), trained(tmp_path / "a", **changes), trained(tmp_path / "b", **changes)
    assert once.record.model_sha256 == again.record.model_sha256 != plain.record.model_sha256
    assert plain.record.mitigation == {}
    if "reweigh" in changes:
        table = table_of(biased_rows(160))
        counted = Counter(zip(table.groups["sex"], (table.label_names[t] for t in table.targets), strict=True))
        cells = once.record.mitigation["reweighing"]["cells"]
        assert {(cell["group"], cell["label"]): cell["rows"] for cell in cells} == counted
        assert once.record.steps == plain.record.steps
    else:
        done = once.record.mitigation["identity_swap"]
        assert (done["rows"], done["rows_added"]) == (160, 160)
        assert done["identity_terms_sha256"] == TERMS.sha256
        assert once.record.steps == 2 * plain.record.steps
    with pytest.raises(OptionUnfit, match=r"augment|reweigh"):
        train(
            TrainingOptions(epochs=1, batch_size=32, learning_rate=2e-3),
            base=tiny_base(), data=table_of(biased_rows(160)), out=once.path, resume=True,
        )  # fmt: skip


def test_a_resumed_run_reads_the_same_terms_whatever_their_file_is_called(tmp_path: Path):
    own, moved, other = (tmp_path / name for name in ("a.toml", "b.toml", "c.toml"))
    own.write_text('[sex]\npairs = [["man", "woman"]]\n')
    moved.write_text(own.read_text())
    other.write_text('[sex]\npairs = [["man", "girl"]]\n')
    swapped = {"augment": "identity-swap", "epochs": 1, "batch_size": 32}
    data = table_of(biased_rows(64))

    def resumed(terms: Path) -> TrainingResult:
        options = TrainingOptions(**swapped, identity_terms=str(terms))
        return train(options, base=tiny_base(), data=data, out=tmp_path / "m", resume=True)

    first = resumed(own)
    assert first.record.mitigation["identity_swap"]["identity_terms"] == "a.toml"
    assert resumed(moved).record.model_sha256 == first.record.model_sha256
    with pytest.raises(OptionUnfit, match=r"identity_terms_sha256(.|\n)*the same --identity-terms as before"):
        resumed(other)


def test_a_tokenizer_from_scratch_knows_the_counterparts(tmp_path: Path):
    """Only men stand in these rows: without the copies, "woman" would be a word that the model has never met."""
    data = table_of([row for row in biased_rows(200) if row["sex"] == "man"])
    shape = Architecture(layers=1, hidden=16, heads=2, vocabulary=120, max_length=32)
    for name, options in {"plain": {}, "swapped": {"augment": "identity-swap"}}.items():
        train(TrainingOptions(epochs=1, **options), architecture=shape, data=data, out=tmp_path / name)
    known = {name: "woman" in open_checkpoint(tmp_path / name).load_tokenizer().vocab for name in ("plain", "swapped")}
    assert known == {"plain": False, "swapped": True}


# The mend mends


def judged(path: Path) -> tuple[float, float, float]:
    """Of fair rows: the gap between the sexes' selection rates, the share that the swap flips, and the accuracy."""
    rows, predictor = table_of(fair_rows()), Predictor(open_checkpoint(path))
    predicted = predictor.predict(rows.texts).predicted
    copies, _ = swapped_copies(rows, TERMS)
    men = rows.groups["sex"] == "man"
    return (
        float(abs(predicted[men].mean() - predicted[~men].mean())),
        float((predictor.predict(list(copies.texts)).predicted != predicted).mean()),
        float((predicted == rows.targets).mean()),
    )


def test_both_mitigations_mend_a_model_that_learned_to_go_by_the_sex(tmp_path: Path):
    """Labels of the training rows lean on the sex, those of the judged rows do not: leaning on it is an error there."""
    figures = {}
    for name, changes in {
        "plain": {},
        "reweigh": {"reweigh": "sex"},
        "augment": {"augment": "identity-swap"},
    }.items():
        options = TrainingOptions(epochs=4, learning_rate=2e-3, **changes)
        train(options, base=tiny_base(), data=table_of(biased_rows()), out=tmp_path / name)
        figures[name] = judged(tmp_path / name)
    gap, flips, accuracy = figures["plain"]
    assert gap > 0.6 and flips > 0.6
    for name in ("reweigh", "augment"):
        mended_gap, mended_flips, mended_accuracy = figures[name]
        assert mended_gap < 0.2, name
        assert mended_flips < 0.1, name
        assert mended_accuracy > accuracy + 0.1, name
