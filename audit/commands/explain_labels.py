"""`aboveboard explain` of a classifier: which words speak for the label, and which against it?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.commands.arguments import print_json
from audit.commands.explain_parts import Drawn, mark_as_object, print_end, print_words, were_cut, words_as_objects

if TYPE_CHECKING:
    from audit.concerns.explainability.marks import Mark
    from core_model.attribution import Attribution
    from core_model.checkpoint import Checkpoint


def show_labels(
    opened: Checkpoint,
    texts: Sequence[str],
    pairs: Sequence[str],
    *,
    label: str | None,
    method: str,
    seed: int,
    attention: Drawn,
    mark: Mark | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Explain the label that the model gives each text, or the one that was named."""
    import numpy as np

    from core_model.attribution import attribute
    from core_model.prediction import Predictor

    predictor = Predictor(opened)
    second = list(pairs) or None
    predicted = predictor.predict(list(texts), second)
    targets = predicted.predicted if label is None else np.full(len(texts), _label(label, opened.labels))
    found = attribute(predictor, list(texts), targets, second, method=method, random=np.random.default_rng(seed))
    answers = [opened.labels[place] for place in predicted.predicted]
    cut = were_cut(found, texts, pairs)
    if out is not None:
        from audit.concerns.explainability.heat_map import heat_map_html
        from core_model.attention_maps import attention_maps
        from core_model.files import write_atomically

        figures = attention.of(attention_maps(predictor, list(texts), second)) if attention.wanted else []
        page = heat_map_html(found, name=opened.name, labels=opened.labels, figures=figures, cut=cut, mark=mark)
        write_atomically(out, page)
    if as_json:
        print_json(as_object(found, answers, opened, cut=cut, mark=mark, out=out))
    else:
        print_in_terminal(found, answers, opened.labels, cut)
        print_end(mark, out)
    return 0


def _label(name: str, labels: Sequence[str]) -> int:
    from difflib import get_close_matches

    from core_model.errors import OptionUnfit

    if name not in labels:
        near = get_close_matches(name, labels, n=1)
        raise OptionUnfit(
            f"--label {name!r} is no label of the model; it has {', '.join(labels)}",
            mend=f"--label {near[0] if near else labels[0]!r}",
        )
    return list(labels).index(name)


def as_object(
    found: Sequence[Attribution],
    answers: Sequence[str],
    opened: Checkpoint,
    *,
    cut: Sequence[bool],
    mark: Mark | None,
    out: Path | None,
) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "checkpoint": {"name": opened.name, "sha256": opened.sha256},
        "method": found[0].method,
        "audit_says": mark_as_object(mark),
        "texts": [
            {
                "text": one.worded.text,
                **({} if one.worded.pair is None else {"pair": one.worded.pair}),
                "cut": shortened,
                "predicted": answer,
                "label": opened.labels[one.target],
                "probability": one.score,
                "words": words_as_objects(one),
                "not_given_to_words": one.rest,
                "completeness_error": one.completeness_error,
                "steps": one.steps,
            }
            for one, answer, shortened in zip(found, answers, cut, strict=True)
        ],
        "page": None if out is None else str(out),
    }  # fmt: skip


def print_in_terminal(
    found: Sequence[Attribution], answers: Sequence[str], labels: Sequence[str], cut: Sequence[bool]
) -> None:
    """What is explained of each text, then its words."""
    from reports.text import terminal_text

    for one, answer, shortened in zip(found, answers, cut, strict=True):
        asked = labels[one.target]
        other = "" if asked == answer else f" (the model says {terminal_text(answer, longest=80)})"
        click.echo(f"{terminal_text(asked, longest=80)}: probability {one.score:.3f}{other}, by {one.method}")
        print_words(one, cut=shortened)
