"""A made-up record that has everything: each state, each severity, each kind of figure. All of it is synthetic.

Numbers come from closed formulas, so that the same call gives the same bytes; no model was run.
"""

from __future__ import annotations

import hashlib
from math import sqrt
from typing import Any

from reports.record import (
    AuditResult,
    Claim,
    Cost,
    DataFacts,
    Environment,
    Evidence,
    Figure,
    Finding,
    Metric,
    Mitigation,
    Multiplicity,
    PolicyFacts,
    Record,
    Run,
    Severity,
    Status,
    SubjectFacts,
    Tool,
    Verdict,
)

GROUPS = ("female", "black", "jewish", "lgbtq", "muslim")
ROWS = 2293


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def share(name: str, value: float, n: int = ROWS, **more: Any) -> Metric:
    """A proportion with a normal interval; the verdict follows from limit and direction."""
    arm = 1.96 * sqrt(max(value * (1 - value), 1e-4) / n)
    low, high = max(0.0, value - arm), min(1.0, value + arm)
    verdict = Verdict.INFORMATIVE
    limit, better = more.get("limit"), more.get("better", "none")
    if limit is not None:
        held, broken = (high <= limit, low > limit) if better == "lower" else (low >= limit, high < limit)
        verdict = Verdict.PASS if held else Verdict.FAIL if broken else Verdict.INCONCLUSIVE
    return Metric(
        **{
            "name": name, "value": value, "interval": (low, high), "interval_method": "Wilson", "n": n,
            "unit": "share of rows", "verdict": verdict,
            "rows_needed": 3412 if verdict is Verdict.INCONCLUSIVE else None,
            "p_adjusted": {Verdict.FAIL: 0.0004, Verdict.INCONCLUSIVE: 0.21}.get(verdict),
            "definition": f"{name.replace('_', ' ')}: share of rows for which it holds",
            "source": "Wilson, JASA 22 (1927) 209", **more,
        }
    )  # fmt: skip


def figure(id: str, kind: str, rows: list[dict[str, Any]], **more: Any) -> Figure:
    title = more.pop("title", id.replace("-", " ").capitalize())
    caption = more.pop("caption", "A made-up picture that says its result in one sentence")
    return Figure(id=id, kind=kind, title=title, caption=caption, rows=rows, **more)  # type: ignore[arg-type]


def intervals(id: str = "rates", series: tuple[str, ...] = ("",), **more: Any) -> Figure:
    rows: list[dict[str, Any]] = [
        {"label": g, "value": v + 0.05 * k, "low": v + 0.05 * k - 0.03, "high": v + 0.05 * k + 0.035, "limit": 0.25}
        | ({"series": s} if s else {})
        for g, v in zip(GROUPS, (0.36, 0.31, 0.27, 0.20, 0.24), strict=True)
        for k, s in enumerate(series)
    ]
    return figure(id, "intervals", rows, x_label="false-positive rate", **more)


def reliability(id: str = "reliability") -> Figure:
    rows: list[dict[str, Any]] = [
        {"confidence": 0.5 + 0.05 * i, "accuracy": 0.5 + 0.04 * i, "low": 0.45 + 0.04 * i, "high": 0.55 + 0.04 * i,
         "n": 90 + 40 * i}
        for i in range(10)
    ]  # fmt: skip
    return figure(id, "reliability", rows, caption="The model is surer than it is right above 0.7")


def lines(id: str = "risk-coverage") -> Figure:
    rows: list[dict[str, Any]] = [
        {"x": i / 10, "y": 0.02 * i * f, "low": 0.016 * i * f, "high": 0.024 * i * f, "series": s}
        for s, f in (("model", 1.0), ("at random", 1.6))
        for i in range(1, 11)
    ]
    return figure(id, "lines", rows, x_label="share of rows answered", y_label="error rate")


def bars(id: str = "co2", series: tuple[str, ...] = ("",)) -> Figure:
    rows: list[dict[str, Any]] = [
        {"label": country, "value": v * (k + 1), "low": 0.8 * v * (k + 1), "high": 1.3 * v * (k + 1)}
        | ({"series": s} if s else {})
        for country, v in (("Germany", 0.34), ("France", 0.05), ("Poland", 0.66))
        for k, s in enumerate(series)
    ]
    return figure(id, "bars", rows, x_label="g CO2e per 1,000 inferences")


def heatmap(id: str = "swaps") -> Figure:
    rows: list[dict[str, Any]] = [
        {"x": b, "y": a, "value": 0.02 * (i - j)} for i, a in enumerate(GROUPS) for j, b in enumerate(GROUPS)
    ]
    return figure(id, "heatmap", rows, x_label="swapped to", y_label="spoken of", caption="Swaps move scores by 0.08")


def fairness(examples: int = 40) -> AuditResult:
    rates = {"selection_rate": 0.42, "false_positive_rate": 0.28, "false_negative_rate": 0.17, "accuracy": 0.80}
    signs = dict.fromkeys(rates, 1.0) | {"accuracy": -0.4}
    gaps = dict(zip(GROUPS, (0.08, 0.03, 0.0, -0.08, -0.04), strict=True))
    metrics = [
        share("equalized_odds_difference", 0.162, slice={"by": "target_group"}, better="lower", limit=0.1,
              limit_source="audit default", interval_method="max-T bootstrap over pairs"),
        share("demographic_parity_ratio", 0.79, slice={"by": "target_group"}, better="higher", limit=0.8,
              limit_source="four-fifths rule, 29 CFR 1607.4(D)"),
        share("demographic_parity_difference", 0.06, slice={"by": "target_group"}, better="lower", limit=0.1,
              limit_source="audit default"),
        *(
            share(name, rate + gaps[group] * signs[name], n=380 + 60 * i, slice={"target_group": group})
            for name, rate in rates.items()
            for i, group in enumerate(GROUPS)
        ),
        *(
            share(name, rate + 0.01 * i, n=100 + i, slice={"target_group": group, "source": source})
            for name, rate in rates.items()
            for i, group in enumerate(GROUPS)
            for source in ("reddit", "tweet")
        ),
        Metric(name="impact_ratio", slice={"target_group": "other"}, value=None, n=7, unit="ratio", better="higher",
               reason="7 rows; 30 are needed for a group of its own"),
    ]  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"row": 17 * i, "target_group": GROUPS[i % 5], "label": "not biased", "predicted": "biased",
         "probability": 0.99 - 0.004 * i, "comment": f"made-up comment {i}, that stands here for an offensive one"}
        for i in range(examples)
    ]  # fmt: skip
    return AuditResult(
        id="fairness", concern="fairness", status=Status.MEASURED,
        title="Fairness: is each group treated as the others are?",
        about="What it measures  Rates of each group with their intervals, and the largest gaps between groups.\n"
        "How to read it    A gap of 0 is parity; `equalized_odds_difference` is the larger of two gaps.\n"
        "How to mend it    `aboveboard train --constraint equalized-odds`.\n"
        "Source            Hardt, Price, Srebro 2016, arXiv:1610.02413.",
        metrics=metrics,
        findings=[
            Finding(
                id="fairness-equalized-odds-target-group", severity=Severity.HIGH,
                statement="Comments about women are wrongly flagged as biased far more often than comments about lgbtq "
                "people: 0.36 against 0.20.",
                metrics=[metrics[0].key, *(f"false_positive_rate[target_group={g}]" for g in ("female", "lgbtq"))],
                mitigation=Mitigation(
                    command="aboveboard train --task classification --base out/model --data comments.csv "
                    "--constraint equalized-odds --out out/fairer",
                    why="Training under an equalized-odds constraint narrowed the gap in published studies; `compare` "
                    "says by how much it did here.",
                ),
                examples=rows, examples_total=4812,
            ),
            Finding(id="fairness-impact-ratio", severity=Severity.MEDIUM, metrics=[metrics[1].key],
                    statement="The four-fifths rule is undecided at this number of rows."),
        ],
        figures=[
            intervals("fpr-by-group", title="False-positive rate by group",
                      caption="Wrong flags are most frequent for female: 0.36, 95% interval 0.33 to 0.395, n=595"),
            intervals("both-rates", series=("false positives", "false negatives")), heatmap(),
        ],
        notes=["Groups are those that a comment speaks of, not those of its author.",
               "One group of 7 rows is too small for an interval worth reading."],
        options={"selected": "biased", "minimum_rows": 30},
        signature="groups=target_group; bootstrap=2000; seed=0",
        cost=Cost(seconds=12.4, forward_passes=1200, energy_kwh=0.00012),
    )  # fmt: skip


def evaluability() -> AuditResult:
    labels = ("biased", "not biased")
    return AuditResult(
        id="evaluability", concern="evaluability", status=Status.MEASURED,
        title="Evaluability: how good is it, and could this data tell?",
        about="What it measures  Accuracy and its kin.\nSource            Card 2020, arXiv:2010.06595.",
        metrics=[
            share("accuracy", 0.81, better="higher", limit=0.75, limit_source="policy: screening"),
            share("balanced_accuracy", 0.79, better="higher"),
            share("macro_f1", 0.783, better="higher"),
            share("auroc", 0.874, better="higher", unit="probability"),
            *(share(name, 0.75 + 0.02 * i, n=1100 + i, slice={"label": label}, better="higher")
              for name in ("precision", "recall", "f1") for i, label in enumerate(labels)),
            Metric(name="minimum_detectable_effect", value=0.0231, n=ROWS, unit="accuracy", better="lower",
                   reason="a number of the design, not of the sample"),
            share("near_duplicate_share", 0.0, better="lower", limit=0.02, limit_source="audit default"),
        ],
        figures=[intervals("per-class"), bars("support", series=("train", "test"))],
        cost=Cost(seconds=41.0, forward_passes=2293),
    )  # fmt: skip


def generalization() -> AuditResult:
    return AuditResult(
        id="generalization", concern="generalization", status=Status.MEASURED,
        title="Generalization: does it hold beyond the rows it was trained on?",
        about="Calibration and the gap between training and test rows.",
        metrics=[
            share("expected_calibration_error", 0.052, better="lower", limit=0.05, limit_source="audit default"),
            Metric(name="train_test_gap", value=0.118, interval=(0.099, 0.137), n=ROWS,
                   interval_method="Newcombe 1998, method 10",
                   unit="accuracy", better="lower", limit=0.05, limit_source="audit default",
                   verdict=Verdict.FAIL, p_adjusted=0.013),
            Metric(name="brier_score", value=0.1412, interval=(0.1339, 0.1488), interval_method="BCa bootstrap, 2,000",
                   n=ROWS, unit="squared error", better="lower"),
            *(share("accuracy", 0.7 + 0.03 * i, n=300 + i, slice={"tokens": f"from {20 * i}"}) for i in range(5)),
        ],
        findings=[
            Finding(id="generalization-overfit", severity=Severity.LOW, metrics=["train_test_gap"],
                    statement="It does better on rows that it has seen: 0.118 in accuracy.",
                    mitigation=Mitigation(command="aboveboard train --early-stopping --out out/model-2",
                                          why="It stops before training rows are learnt by heart.")),
        ],
        figures=[reliability(), lines()],
        cost=Cost(seconds=18.2, forward_passes=9171),
    )  # fmt: skip


def emissions() -> AuditResult:
    return AuditResult(
        id="emissions", concern="emissions", status=Status.MEASURED,
        title="Emissions: what does an answer cost the climate?",
        about="Energy by a counter where there is one.",
        metrics=[
            Metric(name="energy_per_1000_inferences", value=0.000812, interval=(0.000771, 0.000853), n=5,
                   interval_method="t over repeats", unit="kWh", better="lower", limit=0.002,
                   limit_source="audit default", verdict=Verdict.PASS, volatile=True),
            Metric(name="co2e_per_1000_inferences", value=0.309, interval=(0.21, 0.43), n=5, unit="g CO2e",
                   interval_method="t over repeats, error band of the meter", better="lower", volatile=True),
        ],
        figures=[bars(), lines("power")],
        notes=["Energy was estimated from processor time, not read from a counter."],
        cost=Cost(seconds=96.0, forward_passes=5000, energy_kwh=0.004),
    )  # fmt: skip


def privacy() -> AuditResult:
    return AuditResult(
        id="privacy", concern="privacy", status=Status.NOT_MEASURED, title="Privacy: what does it tell about its rows?",
        reason="no training data was given, so nobody can ask which rows were in it", supply="--train-data FILE",
        about="What it measures  How well an attacker tells training rows from others.",
    )  # fmt: skip


def explainability() -> AuditResult:
    return AuditResult(
        id="explainability", concern="explainability", status=Status.ERRORED,
        title="Explainability: do its reasons move its answers?",
        reason="IndexError: index 64 is out of bounds (in integrated_gradients)",
    )  # fmt: skip


def record(**changes: Any) -> Record:
    """The whole made-up record; `changes` replace fields. Not sealed."""
    fields: dict[str, Any] = {
        "tool": Tool(version="0.1.0"),
        "subject": SubjectFacts(
            name="minilm-redditbias (synthetic record)", sha256=sha256("model"), task="classification",
            architecture="BertForSequenceClassification", parameters=22713986, licence="Apache-2.0",
            labels=["not biased", "biased"], files={"model.safetensors": sha256("w"), "config.json": sha256("c")},
            facts={"layers": 6, "hidden size": 384, "vocabulary": 30522},
        ),
        "data": DataFacts(
            name="comments.csv", sha256=sha256("data"), rows=ROWS, text_column="comment", label_column="bias_sent",
            group_columns=["target_group", "source"], synthetic=True, licence="MIT",
            sensitive="The comments are offensive, and speak of people by religion, origin and sex.",
            guessed={"text": "comment"},
        ),
        "training_data": DataFacts(name="train.csv", sha256=sha256("train"), rows=9171, text_column="comment"),
        "environment": Environment(
            python="3.11.7", platform="Linux-x86_64", hardware="2 cores", threads=2,
            packages={"torch": "2.13.0", "transformers": "5.23.0", "fairlearn": "0.15.0"},
        ),
        "policy": PolicyFacts(name="screening.toml", sha256=sha256("policy"), modified="2026-11-02"),
        "claims": [Claim(name="epsilon", value=3.0, file="privacy.json")],
        "audits": [evaluability(), generalization(), fairness(), emissions(), privacy(), explainability()],
        "evidence": Evidence(file="evidence.parquet", sha256=sha256("evidence"), rows=4812),
        "multiplicity": Multiplicity(
            method="Holm 1979", compared=8,
            explanation="8 limits were compared. 2 are broken by their own interval; 2 stay broken after it.",
        ),
        "severity_rule": "High: the broken limit is exceeded by more than an interval's width and concerns most rows.",
        "verdict": "fail",
        "verdict_reason": "2 limits are broken: equalized_odds_difference[by=target_group], train_test_gap",
        "run": Run(started="2026-11-20T10:00:00Z", seconds=170.0,
                   command="aboveboard audit out/model --data comments.csv --group-column target_group --seed 0"),
    }  # fmt: skip
    return Record(**(fields | changes))


def sealed_record(**changes: Any) -> Record:
    return record(**changes).sealed()
