"""Building a checkpoint's model and tokenizer: from verified local files, quietly, and with no code but our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_weights import Tensor
from core_model.errors import CheckpointDamaged, CheckpointUnsafe, TokenizerUnfit
from core_model.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core_model.checkpoint import Checkpoint

LOADERS = {
    Task.CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.LANGUAGE_MODELING: "AutoModelForCausalLM",
    Task.TRANSLATION: "AutoModelForSeq2SeqLM",
    Task.SUMMARIZATION: "AutoModelForSeq2SeqLM",
    Task.QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
    Task.FEATURE_EXTRACTION: "AutoModel",
}


def load_model(checkpoint: Checkpoint, dtype: str) -> PreTrainedModel:
    """See `Checkpoint.load_model`."""
    import torch
    import transformers

    is_encoder_of_two = checkpoint.architecture.endswith("EncoderModel")  # half of a T5, which AutoModel would complete
    loader = getattr(transformers, "AutoModelForTextEncoding" if is_encoder_of_two else LOADERS[checkpoint.task])
    if checkpoint.facts.get("quantization"):
        from core_model.compression.loading import load_quantized

        with quiet():
            return load_quantized(checkpoint.path, checkpoint.architecture, dtype).eval()
    settings: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "use_safetensors": not checkpoint.pickled,
        "weights_only": True,
        "trust_remote_code": False,
        "local_files_only": True,
        "output_loading_info": True,
    }
    with quiet():
        try:
            model, report = build(loader, checkpoint.path, settings)
        except Exception as error:  # transformers raises whatever its model code meets
            raise CheckpointDamaged(
                f"{checkpoint.path}: {checkpoint.architecture} cannot be built from it: {_short(error)}",
                mend="hold config.json (and generation_config.json) against the weights, or save the model again with "
                "save_pretrained",
            ) from error
    absent = sorted(report["missing_keys"])
    # An encoder taken from a larger model may lack its pooler, which no audit of features reads.
    if checkpoint.task is Task.FEATURE_EXTRACTION:
        absent = [key for key in absent if "pooler" not in key]
    if absent:
        raise CheckpointDamaged(
            f"{checkpoint.path}: the weights lack {absent[0]!r}"
            + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
            + "; they would be filled with random numbers",
            mend="fetch the weights again, or train the head: aboveboard train --base " + str(checkpoint.path),
        )
    return model.eval()


def build(loader: Any, path: Path, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a loader's `from_pretrained` gives with an attention of our choice: the model, and its loading report."""
    # Named here, so that a kernel from a hub named in config.json is not fetched and run.
    try:
        built: tuple[Any, dict[str, Any]] = loader.from_pretrained(path, attn_implementation="sdpa", **settings)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        built = loader.from_pretrained(path, attn_implementation="eager", **settings)
    return built


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """See `Checkpoint.load_tokenizer`."""
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # the tokenizers library raises bare Exception
            raise TokenizerUnfit(
                f"{checkpoint.path}: its tokenizer cannot be built: {_short(error)}",
                mend="put the model's own tokenizer files into the folder",
            ) from error
    rows = checkpoint.facts.get("vocabulary")
    if rows is not None and len(tokenizer) > rows:
        raise TokenizerUnfit(
            f"{checkpoint.path}: the tokenizer knows {len(tokenizer):,} tokens, the embedding has {rows:,} rows",
            mend="put the model's own tokenizer files into the folder",
        )
    tokenizer.model_max_length = checkpoint.max_length
    return tokenizer


def pickled_tensors(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Names, types and shapes in PyTorch pickles, by torch's restricted unpickler, which runs no code of the file.

    Raises: CheckpointUnsafe when a pickle asks for anything but tensors.
    """
    import torch

    names = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
    tensors: dict[str, Tensor] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for path in paths:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointUnsafe(
                f"{path} holds more than tensors, or is damaged: {_short(error)}",
                mend="convert it to safetensors where you trust it, or fetch another",
            ) from None
        for name, value in content.items():
            storage = (value.data_ptr(), tuple(value.shape))
            if value.numel() and storage in seen:  # tied: counted once
                continue
            seen.add(storage)
            kind = names.get(str(value.dtype).removeprefix("torch."), "I64")
            tensors[name] = Tensor(name, kind, tuple(value.shape), path, 0, 0)
    return tensors


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' chatter and progress bars, and put both back as they were."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
