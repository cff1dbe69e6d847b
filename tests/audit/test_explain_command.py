"""`aboveboard explain`: words with scores in the terminal, as JSON and as an inert page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import click
import numpy as np
import pytest

from audit.commands.explain import explain
from audit.concerns.explainability.heat_map import heat_map_html, level_of, quality_of, signed
from core_model.attribution import Attribution
from core_model.attribution_words import Worded
from core_model.checkpoint import open_checkpoint
from core_model.errors import OptionUnfit
from core_model.tasks import Task
from reports.record import AuditResult, Status
from tests.audit.concerns.explainability_subjects import SHORTCUT, write_shortcut_checkpoint
from tests.audit.task_checkpoints import write_task_checkpoint
from tests.reports.factories import record as audit_record
from tests.reports.factories import share
from tests.reports.hostile import ATTACKS


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory):
    return str(write_shortcut_checkpoint(tmp_path_factory.mktemp("shortcut")))


def run(capsys, *arguments: str) -> str:
    answer = explain.main(args=list(arguments), prog_name="explain", standalone_mode=False)
    assert answer == 0
    return capsys.readouterr().out


def test_the_terminal_shows_the_deciding_word_with_the_longest_bar(shortcut, capsys):
    text = f"the cat saw a {SHORTCUT} in the city"
    lines = run(capsys, shortcut, "--text", text, "--method", "occlusion").splitlines()
    assert lines[0].startswith("positive: probability 0.9") and lines[0].endswith("by occlusion")
    [line] = [line for line in lines if line.endswith(f" {SHORTCUT}")]
    assert "+" * 20 in line
    assert all("+" * 20 not in other for other in lines if other != line)


def test_json_holds_every_word_with_its_place_and_its_score(shortcut, capsys):
    text = f"a {SHORTCUT}, not a dog"
    [found] = json.loads(run(capsys, shortcut, "--text", text, "--json"))["texts"]
    assert [text[word["start"] : word["end"]] for word in found["words"]] == ["a", SHORTCUT, ",", "not", "a", "dog"]
    assert max(found["words"], key=lambda word: word["score"])["word"] == SHORTCUT
    assert found["predicted"] == found["label"] == "positive"


@pytest.mark.parametrize("method", ["input-x-gradient", "occlusion", "shapley-sampling"])
def test_the_other_methods_answer_too(shortcut, capsys, method):
    found = json.loads(run(capsys, shortcut, "--text", f"a {SHORTCUT}", "--method", method, "--json"))
    assert found["method"] == method and len(found["texts"][0]["words"]) == 2


def test_another_label_can_be_explained(shortcut, capsys):
    text = ["--text", f"the cat saw a {SHORTCUT}", "--json"]
    [found] = json.loads(run(capsys, shortcut, *text, "--label", "negative"))["texts"]
    assert found["label"] == "negative" and found["predicted"] == "positive" and found["probability"] < 0.5
    assert min(found["words"], key=lambda word: word["score"])["word"] == SHORTCUT


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_is_inert_whatever_the_text_holds(shortcut, capsys, tmp_path):
    out = tmp_path / "why.html"
    texts = [argument for attack in ATTACKS for argument in ("--text", f"{attack} {SHORTCUT}")]
    run(capsys, shortcut, *texts, "--out", str(out))
    page = out.read_text(encoding="utf-8")
    found = Elements(page)
    assert not {tag for tag, _ in found.tags} & {"script", "img", "svg", "iframe", "a", "link", "form"}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]
    assert "\u202e" not in page and "\x1b" not in page and "U+202E" in page
    [style] = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv")]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_page_marks_words_by_colour_and_underline_and_lists_them(shortcut, capsys, tmp_path):
    out = tmp_path / "why.html"
    run(capsys, shortcut, "--text", f"the cat saw a {SHORTCUT}", "--method", "occlusion", "--out", str(out))
    page = out.read_text(encoding="utf-8")
    assert f'<span class="p5"><bdi>{SHORTCUT}</bdi></span>' in page
    assert re.search(r"\.p5\{background:rgb\([^)]*\);border-bottom:5px solid", page)
    assert re.search(r"\.n1\{background:rgb\([^)]*\);border-bottom:1px dashed", page)
    assert page.count("<tr>") == 1 + 5
    first = out.read_bytes()
    run(capsys, shortcut, "--text", f"the cat saw a {SHORTCUT}", "--method", "occlusion", "--out", str(out))
    assert out.read_bytes() == first


def test_scores_that_do_not_add_up_are_said_so_with_the_mend(checkpoint, capsys):
    missed = Attribution(
        Worded("a", None, ((0, 0, 1),)),
        np.array([0.1]),
        "integrated-gradients",
        0,
        0.9,
        completeness_error=0.4,
        steps=400,
    )
    assert "do not add up" in quality_of(missed) and "--method occlusion" in quality_of(missed)
    assert "The scores sum to what the words change" in run(capsys, str(checkpoint), "--text", "the cat saw a dog")


def test_a_text_whose_words_move_nothing_is_not_coloured_as_if_they_did():
    still = Attribution(Worded("a b", None, ((0, 0, 1), (0, 2, 3))), np.array([1e-9, -2e-9]), "occlusion", 0, 0.5)
    page = heat_map_html([still], name="m", labels=("no", "yes"))
    assert "<bdi>a</bdi>" in page and not re.search(r'class="[pn]\d"><bdi>[ab]<', page)
    assert [signed(score) for score in (1e-9, -2e-9, 0.25, -0.25)] == ["0.0000", "0.0000", "+0.2500", "\u22120.2500"]


def test_levels_go_with_size_and_sign():
    assert [level_of(score, 1.0) for score in (1.0, 0.5, 0.06, 0.04, 0.0, -0.06, -1.0)] == [
        "p5", "p3", "p1", "", "", "n1", "n5",
    ]  # fmt: skip
    assert level_of(0.0, 0.0) == ""


def test_the_terminal_never_sees_an_escape_sequence(shortcut, capsys):
    shown = run(capsys, shortcut, "--text", "good \x1b[31mbird\u202e film")
    assert "\x1b" not in shown and "\u202e" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a film", "--method", "deeplift"], "not offered for Transformers"),
        (["--text", "  "], "--text number 1 is blank"),
        (["--text", "a film", "--label", "positve"], "no label of the model"),
        (["--text", "a film", "--pair", "b", "--pair", "c"], "1 --text, but 2 --pair"),
    ],
)
def test_bad_input_is_a_letter_with_the_mend(shortcut, arguments, message):
    with pytest.raises(OptionUnfit, match=message) as refused:
        explain.main(args=[shortcut, *arguments], standalone_mode=False)
    assert refused.value.exit_code == 2 and refused.value.mend


def test_a_text_has_to_be_given(shortcut):
    with pytest.raises(click.UsageError, match="texts"):
        explain.main(args=[shortcut], standalone_mode=False)


def test_attention_is_drawn_on_the_page_with_a_table_behind_each_map(shortcut, tmp_path, capsys):
    page = tmp_path / "why.html"
    run(capsys, shortcut, "--text", "the good king was happy", "--attention", "--out", str(page))
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 2 and text.count("<svg") == 2 and text.count("<summary>Table</summary>") == 2
    assert "not why the model decides" in text and "[CLS]" in text and "<script" not in text


@pytest.mark.parametrize(
    ("head", "mend"), [("9.1", "1.1 to 1.4"), ("1.0", "1.1 to 1.4"), ("x", "3.5"), ("2", "3.5"), ("1.-1", "3.5")]
)
def test_a_head_that_is_not_there_is_refused_with_those_that_are(shortcut, tmp_path, capsys, head, mend):
    with pytest.raises(OptionUnfit) as caught:
        run(capsys, shortcut, "--text", "a dog", "--attention-head", head, "--out", str(tmp_path / "why.html"))
    assert mend in caught.value.mend and not (tmp_path / "why.html").exists()


def test_attention_without_a_page_to_draw_it_on_is_refused(shortcut, capsys):
    with pytest.raises(OptionUnfit, match="no --out"):
        run(capsys, shortcut, "--text", "a dog", "--attention")


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return str(write_task_checkpoint(tmp_path_factory.mktemp("translator"), Task.TRANSLATION, steps=5))


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return str(write_task_checkpoint(tmp_path_factory.mktemp("writer"), Task.LANGUAGE_MODELING))


def test_what_a_model_writes_is_explained_as_a_whole_and_token_by_token(translator, capsys, tmp_path):
    page = tmp_path / "why.html"
    arguments = ["--text", "the dog sees the cat", "--max-new-tokens", "3", "--out", str(page), "--json"]
    [found] = json.loads(run(capsys, translator, *arguments))["texts"]
    assert found["answer_is"] == "written by the model" and len(found["tokens"]) <= 3
    assert [word["word"] for word in found["words"]] == ["the", "dog", "sees", "the", "cat"]
    by_token = np.array([token["scores"] for token in found["tokens"]])
    np.testing.assert_allclose(by_token.sum(axis=0), [word["score"] for word in found["words"]], atol=1e-9)
    log_p = sum(token["log_probability"] for token in found["tokens"])
    assert found["log_probability"] == pytest.approx(log_p) and log_p < 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 1 and text.count("<summary>Table</summary>") == 1 and "<script" not in text
    assert "log-probability of what was written, in nats" in text


def test_a_given_continuation_is_explained_in_the_terminal(writer, capsys):
    shown = run(capsys, writer, "--text", "the dog sees", "--target", "the \x1b[31mcat", "--method", "occlusion")
    assert "log-probability" in shown.splitlines()[0] and "by occlusion" in shown.splitlines()[0]
    assert "token by token" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "attention-rollout"], "explains classes"),
        (["--method", "lrp"], "not offered"),
        (["--label", "positive"], "--label is of models that choose a label"),
        (["--target", "a", "--target", "b"], "1 --text, but 2 --target"),
        (["--target", "cat", "--max-new-tokens", "3"], "--max-new-tokens limits"),
        (["--target", "cat " * 500], "the model can be asked of"),
    ],
)
def test_bad_input_to_a_writer_is_a_letter_with_the_mend(writer, arguments, message):
    with pytest.raises(OptionUnfit, match=message) as refused:
        explain.main(args=[writer, "--text", "the dog sees", *arguments], standalone_mode=False)
    assert refused.value.exit_code == 2 and refused.value.mend


def test_a_target_for_a_classifier_is_refused_with_the_flag_that_it_has(shortcut):
    with pytest.raises(OptionUnfit, match="--target is of models that write text") as refused:
        explain.main(args=[shortcut, "--text", "a film", "--target", "b"], standalone_mode=False)
    assert "--label" in refused.value.mend


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return str(write_task_checkpoint(tmp_path_factory.mktemp("reader"), Task.QUESTION_ANSWERING))


def test_where_a_model_finds_its_answer_is_explained_by_question_and_context(reader, capsys, tmp_path):
    page = tmp_path / "why.html"
    asked = ["--text", "who sees the cat ?", "--context", "so the dog sees the cat"]
    [found] = json.loads(run(capsys, reader, *asked, "--out", str(page), "--json"))["texts"]
    assert found["answer"] in found["context"] and found["log_probability"] < 0 and not found["cut"]
    assert [word["in"] for word in found["words"]] == ["text"] * 5 + ["pair"] * 6
    by_end = np.array([end["scores"] for end in found["ends"]])
    assert [end["part"] for end in found["ends"]] == ["begins", "ends"]
    np.testing.assert_allclose(by_end.sum(axis=0), [word["score"] for word in found["words"]], atol=1e-9)
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 1 and text.count("<summary>Table</summary>") == 1 and "<script" not in text
    assert "answered so" in text and "where the answer begins" in text
    shown = run(capsys, reader, "--text", "who\x1b[31m ?", "--pair", "the dog", "--method", "occlusion")
    assert "begins at" in shown and "ends at" in shown and "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is none"),
        (["--context", "a", "--context", "b"], "1 --text, but 2 --pair"),
        (["--context", "a", "--label", "x"], "--label is of models that choose a label"),
        (["--context", "a", "--target", "x"], "--target is of models that write text"),
        (["--context", "a", "--method", "shapley-sampling"], "finds answers"),
    ],
)
def test_bad_input_to_a_reader_is_a_letter_with_the_mend(reader, arguments, message):
    with pytest.raises(OptionUnfit, match=message) as refused:
        explain.main(args=[reader, "--text", "who sees the cat ?", *arguments], standalone_mode=False)
    assert refused.value.exit_code == 2 and refused.value.mend


def test_what_the_model_does_not_see_of_a_text_is_told_and_a_short_text_is_not(shortcut, reader, capsys, tmp_path):
    page, long = tmp_path / "why.html", "the cat " * 400
    found = json.loads(run(capsys, shortcut, "--text", long, "--text", "the cat", "--out", str(page), "--json"))
    assert [one["cut"] for one in found["texts"]] == [True, False]
    assert page.read_text(encoding="utf-8").count("longer than the model takes") == 1
    assert "longer than the model takes" in run(capsys, shortcut, "--text", long, "--method", "input-x-gradient")
    assert "longer than the model takes" not in run(capsys, shortcut, "--text", "the cat", "--method", "occlusion")
    shown = run(capsys, reader, "--text", "who ?", "--context", f"the dog {long}", "--method", "occlusion")
    assert "longer than the model takes" in shown


def record_of(checkpoint: str, path, *, interval: tuple[float, float], method: str = "occlusion") -> str:
    """An audit's record of a checkpoint, with what it says of one method."""
    line = share(
        "comprehensiveness_over_random", sum(interval) / 2, slice={"method": method}, interval=interval,
        unit="probability", better="higher",
    )  # fmt: skip
    result = AuditResult(id="explainability", concern="explainability", status=Status.MEASURED, metrics=[line])
    made = audit_record(audits=[result])
    subject = made.subject.model_copy(update={"sha256": open_checkpoint(checkpoint).sha256})
    path.write_text(made.model_copy(update={"subject": subject}).model_dump_json(), encoding="utf-8")
    return str(path)


def test_a_method_that_an_audit_did_not_find_faithful_is_marked_on_the_page_and_another_is_not(
    shortcut, capsys, tmp_path
):
    page, asked = tmp_path / "why.html", ["--text", "the cat saw a dog", "--method", "occlusion"]
    chance = record_of(shortcut, tmp_path / "chance.json", interval=(-0.01, 0.05))
    shown = run(capsys, shortcut, *asked, "--record", chance, "--out", str(page))
    assert "Not faithful on this model: occlusion" in shown
    assert 'class="mark unfaithful">Not faithful on this model' in page.read_text(encoding="utf-8")
    better = record_of(shortcut, tmp_path / "better.json", interval=(0.1, 0.3))
    shown = run(capsys, shortcut, *asked, "--record", better, "--out", str(page))
    assert "occlusion beats a random order" in shown and "+0.100 to +0.300" in shown
    assert "Not faithful" not in page.read_text(encoding="utf-8")
    other = json.loads(run(capsys, shortcut, "--text", "a dog", "--record", better, "--json"))["audit_says"]
    assert other["faithful"] is None and "does not say" in other["statement"]  # of another method


def test_a_record_of_another_checkpoint_is_refused(shortcut, checkpoint, capsys, tmp_path):
    record = record_of(str(checkpoint), tmp_path / "audit.json", interval=(0.1, 0.3))
    with pytest.raises(OptionUnfit, match="record of another checkpoint") as refused:
        run(capsys, shortcut, "--text", "a dog", "--record", record)
    assert refused.value.exit_code == 2 and "--only explainability" in refused.value.mend


def test_attention_is_drawn_of_models_that_write_and_of_those_that_find_answers(
    translator, writer, reader, capsys, tmp_path
):
    page = tmp_path / "why.html"
    asked = ["--text", "the dog sees the cat", "--method", "occlusion", "--attention", "--out", str(page)]
    titles = {
        translator: "how much each written token (line) looks at each token of the source",
        writer: "how much each token (line) looks at each other one",
    }
    for checkpoint, title in titles.items():
        run(capsys, checkpoint, *asked, "--max-new-tokens", "3")
        text = page.read_text(encoding="utf-8")
        assert title in text and text.count("<svg") == text.count("<summary>Table</summary>") == 3
    run(capsys, reader, *asked, "--context", "so the dog sees the cat", "--attention-head", "1.2")
    text = page.read_text(encoding="utf-8")
    assert "Head 2 of layer 1" in text and text.count("<svg") == 3 and "<script" not in text
