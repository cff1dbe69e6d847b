"""What int8 weights and fewer heads would save, and what they would cost: tried on copies, in memory.

Each copy is loaded anew; the model that other audits ask is not touched. Speed is processor time of both sides in
turns, which leaves out what else runs on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.answer_changes import answer_changes
from audit.corpus_estimates import paired_difference
from audit.evidence import metric
from audit.plugin import Need
from audit.statistics import Estimate, bootstrap_rows, proportion
from core_model.compression.turns import seconds_in_turns
from core_model.errors import BadInput
from core_model.evaluation import PRIMARY, metrics_of
from core_model.prediction import Predictor
from reports.record import Figure, Metric, Scalar

if TYPE_CHECKING:
    import torch

    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.corpus_metric import CorpusMetric
    from core_model.data import Table
    from core_model.evaluation import Answers

INT8, PRUNED = "int8 weights", "a quarter of the heads less"
HEADS = 0.25  # share of the heads, as `aboveboard compress --method prune-heads` takes by default
SILENCED = "the heads are silenced and not cut out: the same products are computed"
NOT_TORCH = "the model is not asked through torch, so that there is nothing to compress"
DECIDES_NOTHING = "a likelihood decides nothing that could turn"


@dataclass(frozen=True, eq=False)
class Compressed:
    """One copy that was made smaller.

    Attributes:
        how: what was done to it.
        missing: why it was not made; the rest is then None.
        bytes, bytes_before: of all its tensors, and of the original's; tensors: how many the original has.
        answers: on the sample.
        seconds: (rounds, 2) of the original and of the copy; None where `no_speed` says why.
    """

    how: str
    missing: str | None = None
    bytes: int = 0
    bytes_before: int = 0
    tensors: int = 0
    answers: Answers | None = None
    seconds: np.ndarray | None = None
    no_speed: str | None = None


class Remade:
    """A checkpoint whose model was changed in memory; everything else is the checkpoint's."""

    def __init__(self, checkpoint: Checkpoint, model: Any) -> None:
        self._checkpoint = checkpoint
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._checkpoint, name)

    def load_model(self) -> Any:
        """The changed model."""
        return self._model


def why_no_copies(subject: Subject) -> str | None:
    """Why the model cannot be loaded anew and changed; None where it can."""
    if not subject.has(Need.GRADIENTS):
        return subject.why_no_gradients
    return None if isinstance(subject.predictor, Predictor) else NOT_TORCH


def try_compressions(
    subject: Subject, sample: Table, before: Answers | None, worker: Any, *, timed_rows: int, rounds: int
) -> tuple[list[Compressed], int]:
    """Both compressions, each on a copy.

    Args:
        sample: rows that the copies are asked.
        before: what the model says of them; worker: who said it, past every cache. None where no copy can be made.
        timed_rows, rounds: rows that both sides answer in turns, and how often.
    Returns: what came out, and how many rows went through the copies.
    """
    missing = why_no_copies(subject)
    if missing or before is None:
        return [Compressed(INT8, missing), Compressed(PRUNED, missing)], 0
    timed = sample.select(np.arange(min(timed_rows, sample.rows)))
    found, passes = [], 0
    for how, change in ((INT8, _quantize), (PRUNED, _prune)):
        try:
            copy, cut = change(subject.checkpoint)
        except BadInput as error:
            found.append(Compressed(how, error.found))
            continue
        model, bytes_before, tensors = copy
        smaller = Predictor(Remade(subject.checkpoint, model), cache=None, threads=worker.threads, device=worker.device)
        answers = subject.ask(sample, smaller)
        seconds = None
        if cut:
            clock = time.process_time if worker.device == "cpu" else time.perf_counter
            sides = [lambda one=one: subject.ask(timed, one) for one in (worker, smaller)]
            seconds = seconds_in_turns(*sides, rounds=rounds, clock=clock)
        passes += smaller.forward_passes
        found.append(
            Compressed(
                how, None, _bytes(model)[0], bytes_before, tensors, answers, seconds, None if cut else SILENCED
            )
        )  # fmt: skip
    return found, passes


Changed = tuple[tuple[Any, int, int], bool]


def _quantize(checkpoint: Checkpoint) -> Changed:
    from core_model.compression.quantization import quantize
    from core_model.compression.scheme import refuse_quantized

    refuse_quantized(checkpoint)
    model = checkpoint.load_model()
    size = _bytes(model)
    return (quantize(model), *size), True


def _prune(checkpoint: Checkpoint) -> Changed:
    from core_model.compression.pruning import prune_heads
    from core_model.compression.scheme import refuse_quantized

    refuse_quantized(checkpoint)
    model = checkpoint.load_model()
    size = _bytes(model)
    cut = prune_heads(model, HEADS).cut
    return (_built_anew(model) if cut else model, *size), cut


def _built_anew(model: Any) -> Any:
    """The model of this configuration with these weights: modules count their heads when they are built."""
    from core_model.checkpoint_loading import quiet

    with quiet():
        built = type(model)._from_config(model.config)
    built.load_state_dict(model.state_dict())
    if getattr(model, "generation_config", None) is not None:
        built.generation_config = model.generation_config
    return built.eval()


def _bytes(model: torch.nn.Module) -> tuple[int, int]:
    """Bytes of all tensors that a checkpoint holds, those with two names once; and how many there are."""
    sizes = {(t.data_ptr(), tuple(t.shape)): t.numel() * t.element_size() for t in model.state_dict().values()}
    return sum(sizes.values()), len(sizes)


def compression_lines(
    tried: Sequence[Compressed], subject: Subject, sample: Table, before: Answers | None, random: np.random.Generator
) -> list[Metric]:
    """Metrics of each compression."""
    lines = []
    for one, draw in zip(tried, random.spawn(len(tried)), strict=True):
        speeding, pairing = draw.spawn(2)
        part = {"compression": one.how}
        quality, of = _quality(one, subject, sample, before, pairing)
        lines += [
            metric(
                "compressed_bytes_ratio", _size(one), unit="ratio", better="lower", slice=part,
                definition="Bytes of the copy's weights over those of the original's, every tensor counted once.",
            ),
            metric(
                "compressed_speed_ratio", _speed(one, speeding), unit="ratio", better="higher", slice=part,
                volatile=True,
                definition="Rows that the copy answers for each that the original answers in the same processor time, "
                "both in turns on this machine; wall time on an accelerator.",
            ),
            metric(
                "compressed_answers_changed", _changed(one, before), unit="share of rows", better="lower", slice=part,
                definition="Rows that the copy answers by another class, span or text.",
            ),
            metric(
                "compressed_quality_difference", quality, unit=of.unit if of else "share of rows",
                better=of.better if of else "higher", slice={**part, "metric": PRIMARY[subject.task]},
                definition="The task's first metric of the copy less that of the original, paired on the same rows.",
            ),
        ]  # fmt: skip
    return lines


def _size(one: Compressed) -> Estimate:
    if one.missing:
        return Estimate.absent(one.missing)
    return Estimate.counted(one.bytes / one.bytes_before, one.tensors)


def _speed(one: Compressed, random: np.random.Generator) -> Estimate:
    if one.seconds is None:
        return Estimate.absent(one.missing or one.no_speed or "not timed")
    return bootstrap_rows(one.seconds, lambda means: means[:, 0] / means[:, 1], random)


def _changed(one: Compressed, before: Answers | None) -> Estimate:
    if one.answers is None or before is None:
        return Estimate.absent(one.missing or "not asked")
    turned = answer_changes(before, one.answers).turned
    return Estimate.absent(DECIDES_NOTHING) if turned is None else proportion(int(turned.sum()), len(turned))


def _quality(
    one: Compressed, subject: Subject, sample: Table, before: Answers | None, random: np.random.Generator
) -> tuple[Estimate, CorpusMetric | None]:
    """Copy less original, and the metric that it is of."""
    if one.answers is None or before is None:
        return Estimate.absent(one.missing or "not asked"), None
    if not subject.has(Need.LABELS):
        need, supply = Need.LABELS.of(subject.task)
        return Estimate.absent(f"needs {need}; {supply} supplies them"), None
    ours, theirs = (
        next(found for found in metrics_of(answers, sample, subject.task) if found.name == PRIMARY[subject.task])
        for answers in (one.answers, before)
    )
    return paired_difference(ours, theirs, random), ours


def compression_figure(lines: Sequence[Metric]) -> Figure | None:
    """Bytes kept and answers changed, by compression."""
    series = {"compressed_bytes_ratio": "bytes kept", "compressed_answers_changed": "answers changed"}
    rows: list[dict[str, Scalar]] = [
        {"label": f"{line.slice['compression']}: {series[line.name]}", "value": line.value, "low": line.interval[0],
         "high": line.interval[1], "n": line.n}
        for line in lines
        if line.name in series and line.value is not None and line.interval is not None
    ]  # fmt: skip
    if not rows:
        return None
    return Figure(
        id="optimizability-compression", kind="intervals",
        title="What compression keeps of the bytes, and what it turns",
        caption="Bytes are counted; whiskers of answers are 95% intervals. Heads that are silenced, not cut out, save "
        "no bytes.",
        x_label="share of the original's bytes, or of rows", y_label="compression", rows=rows,
    )  # fmt: skip
