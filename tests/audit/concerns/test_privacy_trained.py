"""The privacy audit on models that were really trained: by heart, in private, and private in name only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from audit.concerns.privacy.inference import AUC
from audit.subject import Subject
from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.data import Table
from core_model.prediction import Predictor
from core_model.tasks import Task
from core_model.tasks.heads import from_scratch
from core_model.tokenizer_training import train_tokenizer
from core_model.training import train
from core_model.training_options import TrainingOptions
from privacy.options import PrivacyOptions
from privacy.training import train_privately
from reports.record import Verdict
from tests.audit.concerns.privacy_subjects import ids, one, run
from tests.core_model.task_worlds import SHAPES
from tests.factories import WORDS, write_checkpoint

MEMBERS, OTHERS = 120, 240


def noisy_rows(count: int, seed: int) -> Table:
    """Labels that the text decides in two thirds of the rows: what is learnt beyond that is learnt by heart."""
    random = np.random.default_rng(seed)
    texts, targets = [], []
    for row in range(count):
        good = int(random.integers(2))
        name = "".join(random.choice(list("bcdfgklmnprst"), 4))  # no text twice
        texts.append(" ".join([*random.choice(WORDS[:30], 8), ("bad", "good")[good], name, str(row)]))
        targets.append(good if random.random() < 0.66 else int(random.integers(2)))
    return Table.from_rows(
        name="planted", texts=texts, targets=targets, label_names=("negative", "positive"), synthetic=True
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("base"), hidden=64, layers=1))


def subject(path: Path, training: Table, held_out: Table, reference: Checkpoint | None = None) -> Subject:
    checkpoint = open_checkpoint(path)
    return Subject(
        checkpoint=checkpoint, data=held_out, training=training, predictor=Predictor(checkpoint), reference=reference
    )


def test_a_model_that_learnt_its_rows_by_heart_is_caught_and_its_healthy_twin_is_not(base, tmp_path) -> None:
    training, held_out = noisy_rows(MEMBERS, 0), noisy_rows(OTHERS, 1)
    found = {}
    for name, epochs, rate in (("by heart", 25, 3e-3), ("healthy", 1, 1e-4)):
        options = TrainingOptions(epochs=epochs, batch_size=24, learning_rate=rate, dropout=0.0)
        train(options, data=training, base=base, out=tmp_path / name)
        models = 4 if name == "by heart" else 0
        found[name] = run(subject(tmp_path / name, training, held_out, base), reference_models=models)
    for attack in ("loss", "calibrated loss", "lira", "rmia"):
        assert one(found["by heart"], AUC, attack=attack).interval[0] > 0.5, attack
    assert one(found["by heart"], AUC, attack="bavaria").interval[1] > 0.5  # two models of a kind tell it little here
    assert "privacy-membership-inference" in ids(found["by heart"])
    assert one(found["by heart"], AUC, attack="rmia").verdict is Verdict.FAIL
    for attack in ("loss", "calibrated loss"):
        low, high = one(found["healthy"], AUC, attack=attack).interval
        assert low <= 0.5 <= high
    assert found["by heart"].forward_passes == (1 + 4) * (MEMBERS + OTHERS)
    assert any("record" in note and "reference models" in note for note in found["by heart"].notes)


@pytest.fixture
def silent_noise(monkeypatch) -> Iterator[None]:
    """Opacus' optimizer, which adds nothing and says nothing of it."""
    from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping

    add_noise = DPOptimizerFastGradientClipping.add_noise

    def silent(self) -> None:
        multiplier, self.noise_multiplier = self.noise_multiplier, 0.0
        add_noise(self)
        self.noise_multiplier = multiplier

    with monkeypatch.context() as patch:
        patch.setattr(DPOptimizerFastGradientClipping, "add_noise", silent)
        yield


def private(base: Checkpoint, out: Path, *, epochs: int) -> Subject:
    """A training that claims epsilon 1, with canaries that enough passes learn by heart."""
    training = noisy_rows(20, 2)
    train_privately(
        TrainingOptions(epochs=epochs, batch_size=16, learning_rate=1e-3, dropout=0.0, weight_decay=0.0),
        PrivacyOptions(epsilon=1.0, delta=1e-6, canaries=140, clipping_norm=100.0, noise_seed=0),
        data=training, base=base, out=out,
    )  # fmt: skip
    return subject(out, training, noisy_rows(40, 3))


def test_a_trainer_whose_noise_is_silently_off_is_caught(silent_noise, base, tmp_path) -> None:
    found = run(private(base, tmp_path / "silent", epochs=100))
    lower = one(found, "epsilon_lower_bound")
    assert lower.verdict is Verdict.FAIL and lower.value > 1.0 > one(found, "epsilon_claimed").value - 1e-9
    assert "privacy-claim-refuted" in ids(found)
    assert one(found, "claim_contradictions").value == 0  # its papers are in order: only the canaries know


def test_the_same_trainer_with_its_noise_is_not_accused(base, tmp_path) -> None:
    found = run(private(base, tmp_path / "private", epochs=10))
    assert one(found, "epsilon_lower_bound").verdict is Verdict.PASS
    assert not {name for name in ids(found) if name.startswith("privacy-claim")}
    assert {"privacy-accounting-noise-repeatable"} <= ids(found)  # the seed is published, for this test alone
    assert not any("byte for byte" in note for note in found.notes)  # canaries change no one's training data


def letters(count: int, seed: int) -> list[str]:
    """Texts of 26 words and an address of its own behind the 16th."""
    random = np.random.default_rng(seed)
    some = []
    for row in range(count):
        words = [str(word) for word in random.choice(WORDS, 26)]
        some.append(" ".join([*words[:16], f"w{seed}{row}@example.org", *words[16:]]))
    return some


def test_a_language_model_that_learnt_its_texts_writes_them_on_addresses_and_all(tmp_path) -> None:
    members, others = (
        Table.from_rows(name="planted", texts=letters(count, seed), synthetic=True)
        for count, seed in ((16, 0), (30, 1))
    )
    shape = SHAPES[Task.LANGUAGE_MODELING].model_copy(update={"max_length": 96, "vocabulary": 400, "hidden": 64})
    tokenizer = train_tokenizer([*members.texts, *others.texts], shape)
    model = from_scratch(
        shape,
        "AutoModelForCausalLM",
        kinds=(shape.kind,),
        task=Task.LANGUAGE_MODELING,
        vocabulary=len(tokenizer),
        seed=0,
    )
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "base")
    options = TrainingOptions(task=Task.LANGUAGE_MODELING, epochs=80, batch_size=8, learning_rate=5e-3, dropout=0.0)
    train(options, data=members, base=open_checkpoint(tmp_path / "base"), out=tmp_path / "by heart")
    found = {
        name: run(subject(tmp_path / name, members, others), extraction_rows=16, extraction_tokens=16)
        for name in ("base", "by heart")
    }
    sick = found["by heart"]
    assert one(sick, "extraction_rate", rows="training").verdict is Verdict.FAIL
    assert one(sick, "extraction_rate", rows="held-out").value == 0
    assert one(sick, "personal_data_leaked", kind="e-mail").value > 0.5
    assert one(sick, "personal_data_leaked", kind="IBAN").value == 0
    assert {"privacy-verbatim-extraction", "privacy-personal-data"} <= ids(sick)
    assert not any("@" in str(part) for f in sick.findings for part in (f.statement, *f.examples))
    for attack in ("loss", "min-k%++"):
        assert one(sick, AUC, attack=attack).interval[0] > 0.5
    assert one(found["base"], "extraction_rate", rows="training").value == 0
    assert not {"privacy-verbatim-extraction", "privacy-personal-data"} & ids(found["base"])


def questions(count: int, seed: int) -> Table:
    """Questions that do not say which word of the context is asked for: what is answered right is known by heart."""
    random = np.random.default_rng(seed)
    contexts = [" ".join(random.choice(WORDS, 10, replace=False)) for _ in range(count)]
    return Table.from_rows(
        name="planted", texts=[f"which {random.choice(WORDS)} ?" for _ in range(count)], pairs=contexts,
        references=[str(random.choice(context.split())) for context in contexts], text_column="question",
        pair_column="context", reference_column="answer", synthetic=True,
    )  # fmt: skip


def test_a_reader_that_learnt_its_answers_by_heart_is_caught_and_its_healthy_twin_is_not(tmp_path) -> None:
    training, held_out = questions(60, 0), questions(120, 1)
    found = {}
    for name, epochs, rate in (("by heart", 60, 3e-3), ("healthy", 1, 1e-4)):
        options = TrainingOptions(
            task=Task.QUESTION_ANSWERING, epochs=epochs, batch_size=20, learning_rate=rate, dropout=0.0
        )
        train(options, data=training, architecture=SHAPES[Task.QUESTION_ANSWERING], out=tmp_path / name)
        found[name] = run(subject(tmp_path / name, training, held_out))
    assert one(found["by heart"], AUC, attack="loss").interval[0] > 0.6
    assert "privacy-membership-inference" in ids(found["by heart"])
    low, high = one(found["healthy"], AUC, attack="loss").interval
    assert low <= 0.5 <= high
