"""A corpus metric as a line of the record: its definition, source and signature, without which it says little."""

from __future__ import annotations

from collections.abc import Mapping

from audit.evidence import Limit, metric
from audit.statistics import Estimate
from core_model.corpus_metric import CorpusMetric
from reports.record import Metric

SACREBLEU = "Post 2018, arXiv:1804.08771 (sacrebleu)"
SQUAD = "Rajpurkar et al. 2016, arXiv:1606.05250"

DEFINITIONS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("Share of rows whose label the model finds", "scikit-learn"),
    "macro_f1": ("Mean F1 over the labels that are there or predicted", "scikit-learn"),
    "bleu": ("Runs of one to four words that the reference has, too, with a penalty for brevity", SACREBLEU),
    "chrf": ("F score of runs of one to six characters, recall weighed twice", f"Popović 2015; {SACREBLEU}"),
    "rouge1": ("Mean over rows of the F1 of words shared with the reference", "Lin 2004"),
    "rouge2": ("Mean over rows of the F1 of pairs of words shared with the reference", "Lin 2004"),
    "rougeL": ("Mean over rows of the F1 of the longest common subsequence of words", "Lin 2004"),
    "exact_match": ("Share of rows whose answer is an acceptable one, but for case, articles, punctuation", SQUAD),
    "token_f1": ("Mean over rows of the F1 of words shared with the best acceptable answer", SQUAD),
    "perplexity": (
        "Between how many equally likely tokens the model seems to choose, on average",
        "Jelinek et al. 1977",
    ),
    "bits_per_byte": ("Bits that the model needs for a byte of the text; no tokenizer is in it", "arXiv:2101.00027"),
}


def line(
    of: CorpusMetric,
    estimate: Estimate,
    *,
    name: str | None = None,
    says: str | None = None,
    slice: Mapping[str, str] | None = None,
    limit: Limit | None = None,
) -> Metric:
    """A line of the record.

    Args:
        of: the metric; estimate: what is told of it.
        name, says: where the line is not the metric itself but something made of it, in the same direction.
        slice, limit: as in `audit.evidence.metric`.
    """
    what, source = DEFINITIONS[of.name]
    return metric(
        name or of.name, estimate, unit=of.unit, better=of.better, slice=slice, limit=limit, source=source,
        definition=f"{says or what}. Signature: {of.signature}.",
    )  # fmt: skip
