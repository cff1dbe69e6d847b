"""Whose weights these are: held against a reference, number by number, and against what chance would give."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audit.concerns.shareability.part import AGAIN, EVERY_NUMBER, PACKAGE, Part, counted, finding
from audit.evidence import metric
from audit.statistics import Estimate, proportion
from core_model.checkpoint_weights import read_weights
from core_model.model_card import front_matter
from core_model.onnx_graph import graph_of
from core_model.packaging import lineage as named_lineage
from core_model.sharing.lineage import (
    NOTHING,
    SHUFFLES,
    Distance,
    Lineage,
    Trial,
    against_chance,
    distance,
    lineage,
    matrices_of,
)
from core_model.sharing.vocabulary import overlap, vocabulary
from core_model.sharing.weight_pairs import KINDS, Pair, layer_of, pair_up
from reports.record import Figure, Finding, Metric, Scalar, Severity

if TYPE_CHECKING:
    from core_model.checkpoint import Checkpoint

NO_REFERENCE = "there is no reference checkpoint; --reference CHECKPOINT supplies it, such as the one trained from"
MOST_LAYERS = 200  # that are told one by one
SOURCE = "permutation of hidden units: Ainsworth et al. 2023, arXiv:2209.04836; p-values: Phipson and Smyth 2010"


@dataclass(frozen=True)
class Compared:
    """A checkpoint against its reference.

    Attributes:
        says: what the weights say. named: whether card or record name the reference; None where neither names any.
        by_layer: distances of a layer's tensors together. matrices: those that chance was asked about, with `trial`.
        parameters: numbers of ours; tensors: how many hold the same numbers, of how many.
    """

    reference: Checkpoint
    says: Lineage
    named: bool | None
    whole: Distance
    by_layer: dict[str, Distance]
    matrices: list[Pair]
    trial: Trial
    parameters: int
    tensors: tuple[int, int]


def compare(checkpoint: Checkpoint, reference: Checkpoint, random: np.random.Generator) -> Compared:
    """Every tensor against its partner; two blocks of numbers are in memory at a time."""
    ours, _ = read_weights(checkpoint.path)
    theirs, _ = read_weights(reference.path)
    pairs = pair_up(ours, theirs)
    by_layer: dict[str, Distance] = defaultdict(lambda: NOTHING)
    whole, same = NOTHING, 0
    for pair in pairs:
        one = distance(pair)
        whole, same = whole + one, same + one.same
        by_layer[layer_of(pair.name)] += one
    matrices = matrices_of(pairs)
    trial = against_chance(matrices, random)
    readable = [tensor for tensor in ours.values() if tensor.dtype in KINDS and tensor.size]
    parameters = sum(tensor.size for tensor in readable)
    return Compared(
        reference, lineage(whole, trial, parameters=parameters), _is_named(checkpoint, reference), whole,
        dict(by_layer), matrices, trial, parameters, (same, len(readable)),
    )  # fmt: skip


def _is_named(checkpoint: Checkpoint, reference: Checkpoint) -> bool | None:
    """Whether card or record name this reference as what it was made of: by its hash, else by the end of its name."""
    said = named_lineage(checkpoint)
    hashes = {sha256 for _, sha256 in said if sha256}
    on_card = front_matter(checkpoint.card).get("base_model")
    names = [name for name, _ in said] + [n for n in (on_card if isinstance(on_card, list) else [on_card]) if n]
    if reference.sha256 in hashes:
        return True
    ends = {_end(name) for name in names if isinstance(name, str)}
    if _end(reference.name) in ends and not (hashes and _end(reference.name) in {_end(name) for name, _ in said}):
        return True
    return False if names else None


def _end(name: str) -> str:
    return re.split(r"[/\\]", name.strip().rstrip("/\\"))[-1].lower()


def lineage_part(checkpoint: Checkpoint, compared: Compared | None) -> Part:
    """Metrics, findings and the picture of a comparison; absent numbers without one."""
    if compared is None:
        graph = graph_of(checkpoint) is not None or checkpoint.pickled
        why = "the weights are not in safetensors: they are not compared" if graph else NO_REFERENCE
        return Part(metrics=[_unchanged(Estimate.absent(why)), _near(Estimate.absent(why))])
    near, matrices = int(compared.trial.near.sum()), len(compared.matrices)
    nothing = Estimate.absent("no matrix has a partner of its shape")
    return Part(
        metrics=[
            _unchanged(counted(compared.whole.unchanged / compared.parameters, compared.parameters,
                               method=EVERY_NUMBER)),
            _near(counted(near / matrices, matrices) if matrices else nothing),
            metric(
                "unrelated_called_derived",
                proportion(compared.trial.wrongly_derived, SHUFFLES, method="clopper-pearson") if matrices else nothing,
                unit="share of shuffled models", better="lower", source=SOURCE,
                definition="How often the rule calls a model derived that cannot be: the reference with the rows and "
                "columns of its matrices in random order, each of these models held against the others.",
            ),
            *_distances(compared),
            *_vocabularies(checkpoint, compared.reference),
        ],
        findings=_findings(checkpoint, compared),
        figures=_figures(compared),
        notes=[_said(compared)],
    )  # fmt: skip


def _unchanged(estimate: Estimate) -> Metric:
    return metric(
        "parameters_unchanged", estimate, unit="share of parameters",
        definition="Parameters that are the same number as in the reference, rounded to the coarser of two types; "
        "those without a partner (a new head) count as changed.",
    )  # fmt: skip


def _near(estimate: Estimate) -> Metric:
    return metric(
        "matrices_near_reference", estimate, unit="share of matrices", source=SOURCE,
        definition="Weight matrices whose cosine with the reference's exceeds that of 99 shuffled ones; half of them "
        "or more: derived from it.",
    )  # fmt: skip


def _distances(compared: Compared) -> list[Metric]:
    lines = []
    layers = sorted(compared.by_layer.items(), key=_order)[:MOST_LAYERS]
    for layer, one in [(None, compared.whole), *layers]:
        place = {"layer": layer} if layer else None
        zero = Estimate.absent("all numbers of one side are 0", n=one.size)
        no_scales = (
            Estimate.absent("one side is integers, whose scales lie elsewhere", n=one.size) if one.theirs else zero
        )
        lines += [
            metric(
                "weight_cosine",
                zero if one.cosine is None else counted(one.cosine, one.size, method=EVERY_NUMBER),
                unit="cosine", slice=place,
                definition="Cosine between the weights and the reference's, tensors of equal name and shape together.",
            ),
            metric(
                "weight_relative_distance",
                no_scales if one.relative is None else counted(one.relative, one.size, method=EVERY_NUMBER),
                unit="norms of the reference's weights", slice=place,
                definition="Norm of the difference to the reference's weights, in norms of these.",
            ),
        ]  # fmt: skip
    return lines if compared.whole.size else []


def _order(item: tuple[str, Distance]) -> tuple[int, str, int]:
    """Embeddings, layers by number, what is above them."""
    number = re.search(r"\d+", item[0])
    place = 1 if number else 0 if item[0] == "embeddings" else 2
    return place, re.sub(r"\d+", "", item[0]), int(number[0]) if number else 0


def _vocabularies(checkpoint: Checkpoint, reference: Checkpoint) -> list[Metric]:
    ours, theirs = vocabulary(checkpoint.path), vocabulary(reference.path)
    if ours and theirs:
        share, union, _ = overlap(ours, theirs)
        estimate = counted(share, union, method="every token compared; no sampling error")
    else:
        estimate = Estimate.absent("the words of one of the two tokenizers cannot be read from its files")
    return [
        metric(
            "vocabulary_overlap", estimate, unit="share of tokens",
            definition="Tokens of both tokenizers among those of either (Jaccard index).",
        )
    ]  # fmt: skip


def _said(compared: Compared) -> str:
    same, tensors = compared.tensors
    near = (
        f"{int(compared.trial.near.sum())} of {len(compared.matrices)} matrices are nearer to it than any shuffled one"
    )
    base = {True: "which card or record name as its base", False: "which neither card nor record names",
            None: "and neither card nor record names a base"}[compared.named]  # fmt: skip
    return (
        f"Held against {compared.reference.name} ({compared.reference.sha256[:12]}), {base}: the weights are "
        f"{compared.says}; {same} of {tensors} tensors hold the same numbers, {near}."
    )


def _findings(checkpoint: Checkpoint, compared: Compared) -> list[Finding]:
    name, about = compared.reference.name, ["matrices_near_reference", "parameters_unchanged"]
    if compared.named and compared.says in (Lineage.UNRELATED, Lineage.NOT_COMPARABLE):
        return [
            finding(
                "lineage-contradicted", Severity.HIGH if compared.says is Lineage.UNRELATED else Severity.LOW,
                f"Card or record name {name} as its base, and the weights do not say so: they are {compared.says}"
                f"{' with it' if compared.says is Lineage.UNRELATED else ' (other shapes)'}.",
                metrics=about, command=f"{AGAIN} --reference BASE",
                why="name the base that it was trained from, with that base's licence, and look again with it",
            )
        ]  # fmt: skip
    if not compared.named and compared.says in (Lineage.SAME, Lineage.DERIVED):
        same = compared.says is Lineage.SAME
        return [
            finding(
                "lineage-copy" if same else "lineage-unnamed", Severity.HIGH if same else Severity.MEDIUM,
                f"The weights are {'those of' if same else 'derived from'} {name}, and "
                f"{'neither card nor record names it' if compared.named is False else 'nothing here names a base'}.",
                metrics=about, command=PACKAGE,
                why=f"write base_model: {name} into README.md, and keep its licence and notices; a package carries "
                "the lineage that the record names",
            )
        ]  # fmt: skip
    return []


def _figures(compared: Compared) -> list[Figure]:
    """The cosine of each layer's matrices, beside the nearest that chance came."""
    by_layer: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(compared.matrices):
        by_layer[layer_of(pair.name)].append(place)
    rows: list[dict[str, Scalar]] = []
    for layer, _ in sorted(((name, NOTHING) for name in by_layer), key=_order):
        places = by_layer[layer]
        for series, values in (
            ("the reference", compared.trial.observed[places]),
            ("the reference, shuffled", compared.trial.shuffled[places].max(axis=1)),
        ):
            rows.append({"label": layer, "series": series, "value": round(float(values.mean()), 4)})
    if not rows:
        return []
    return [
        Figure(
            id="shareability-lineage", kind="bars", title="How near the weights are to the reference's, by layer",
            caption=f"The weights are {compared.says}: where they come from the reference, its bars reach far beyond "
            "those of the reference with rows and columns in random order, the nearest of 99.",
            x_label="mean cosine of the layer's matrices, at sampled places", rows=rows,
        )
    ]  # fmt: skip
