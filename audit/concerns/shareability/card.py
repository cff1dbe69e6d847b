"""How much of a model card is there, and says something."""

from __future__ import annotations

from audit.concerns.shareability.part import Part, counted, finding, some
from audit.evidence import metric
from core_model.sharing.card_fields import Field, card_fields
from reports.record import Metric, Severity

SOURCE = "Mitchell et al. 2019, doi:10.1145/3287560.3287596; https://huggingface.co/docs/hub/model-cards"
COMMAND = "aboveboard package CHECKPOINT --licence LICENCE --audit audit.json --out to-share"
HALF = 0.5


def card_part(card: str | None) -> Part:
    """Shares of the fields of a model card that say something, and which do not."""
    fields = card_fields(card)
    wanting = [field for field in fields if field.state != "there"]
    metrics = [
        _share(fields),
        *(_share([f for f in fields if f.part == part], part) for part in ("metadata", "sections")),
    ]
    part = Part(metrics=metrics)
    if wanting:
        share = 1 - len(wanting) / len(fields)
        what = f"The model card says something in {len(fields) - len(wanting)} of {len(fields)} fields"
        part.findings.append(
            finding(
                "card", Severity.LOW if share >= HALF else Severity.MEDIUM,
                f"{what if card else f'There is no model card (0 of {len(fields)} fields)'}; wanting are "
                f"{some([field.name for field in wanting], most=6)}.",
                metrics=["card_completeness"], command=COMMAND,
                why="it writes task, architecture, lineage and the measured numbers; intended use, data and limits "
                "are for whoever trained it to write into README.md",
                examples=[{"part": field.part, "field": field.name, "state": field.state} for field in wanting],
            )
        )  # fmt: skip
    return part


def _share(fields: list[Field], part: str | None = None) -> Metric:
    there = sum(field.state == "there" for field in fields)
    return metric(
        "card_completeness", counted(there / len(fields), len(fields)), unit="share of fields", better="higher",
        slice={"part": part} if part else None, source=SOURCE,
        definition="Fields of a model card (the hub's metadata; the sections of Mitchell et al.) that hold more than a "
        "placeholder.",
    )  # fmt: skip
