"""A model under the head that a task needs: from a base, checked weight by weight, or built new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_loading import quiet
from core_model.errors import CheckpointDamaged, OptionUnfit, TaskUnfit, TokenizerUnfit
from core_model.onnx_graph import refuse_graph

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core_model.architectures import Architecture, Kind
    from core_model.batching import Ragged
    from core_model.checkpoint import Checkpoint
    from core_model.tasks import Task


@dataclass(frozen=True)
class Headed:
    """A model under a head.

    Attributes:
        model: the whole.
        drawn: names of the tensors that the base does not have and that were drawn from the seed.
    """

    model: PreTrainedModel
    drawn: frozenset[str]


def from_base(
    base: Checkpoint, loader: str, *, task: Task, seed: int, settings: Mapping[str, Any] | None = None
) -> Headed:
    """The base's weights under the head of an Auto class of transformers; what the base lacks is drawn from the seed.

    Args:
        loader: name of the class, such as "AutoModelForCausalLM".
        settings: of the configuration, such as the names of the classes.
    Raises: TaskUnfit when transformers has no such head for the architecture; CheckpointDamaged when the weights lack a
        tensor of the model below its head.
    """
    refuse_graph(base)
    import torch
    import transformers

    torch.manual_seed(seed)

    def build(attention: str) -> tuple[PreTrainedModel, dict[str, Any]]:
        built: tuple[PreTrainedModel, dict[str, Any]] = getattr(transformers, loader).from_pretrained(
            base.path, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32,
            attn_implementation=attention,  # named, so that no kernel named in config.json is fetched and run
            ignore_mismatched_sizes=True, output_loading_info=True, **(settings or {}),
        )  # fmt: skip
        return built

    with quiet():
        try:
            model, loaded = build("sdpa")
        except ValueError as error:
            if "Unrecognized configuration class" in str(error):
                raise TaskUnfit(
                    f"{base.name}: transformers has no head for {task} over {base.architecture}",
                    mend=f"--base with another architecture, or another --task than {task}",
                ) from error
            if "scaled_dot_product_attention" not in str(error):
                raise
            model, loaded = build("eager")
    inner = model.base_model_prefix + "."
    drawn = frozenset(loaded["missing_keys"]) | {key for key, *_ in loaded["mismatched_keys"]}
    lost = sorted(key for key in drawn if key.startswith(inner) and "pooler" not in key)
    if lost:
        raise CheckpointDamaged(
            f"{base.name}: its weights lack {len(lost)} tensors of the model, such as {lost[0]!r}",
            mend="name a checkpoint whose weights fit its config.json with --base",
        )
    return Headed(model, drawn)


def require_whole(headed: Headed, base: Checkpoint, *, task: Task) -> PreTrainedModel:
    """The model, where the base brought its head along: a head that writes words is not learnt beside a fine-tuning.

    Raises: TaskUnfit when the head was drawn.
    """
    if headed.drawn:
        raise TaskUnfit(
            f"{base.name}: {base.architecture} has no trained head for {task} (its weights lack "
            f"{sorted(headed.drawn)[0]!r})",
            mend=f"--base with a checkpoint for {task}, or --base none --architecture FILE.toml",
        )
    return headed.model


def from_scratch(
    architecture: Architecture, loader: str, *, kinds: Sequence[Kind], task: Task, vocabulary: int, seed: int,
    labels: Sequence[str] = (),
) -> PreTrainedModel:  # fmt: skip
    """A new model, drawn from the seed.

    Raises: OptionUnfit when the architecture's kind cannot do the task.
    """
    import torch
    import transformers

    if architecture.kind not in kinds:
        raise OptionUnfit(
            f"task {task} is not done by kind = {architecture.kind!r}",
            mend=f"kind = {' or '.join(map(repr, kinds))} in the file given by --architecture",
        )
    torch.manual_seed(seed)
    config = architecture.config(vocabulary=vocabulary, labels=labels)
    model: PreTrainedModel = getattr(transformers, loader).from_config(config, attn_implementation="sdpa")
    return model


def give_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Batches need a padding token; a decoder without one pads with its end of text, as is usual.

    Raises: TokenizerUnfit when it has neither.
    """
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise TokenizerUnfit(
                "the base's tokenizer has neither a padding token nor an end of text",
                mend='set "pad_token" in its tokenizer_config.json',
            )
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def length_limit(asked: int | None, positions: int) -> int:
    """Tokens of the longest row: what was asked for, else what the model takes.

    Raises: OptionUnfit when more was asked for than the model takes.
    """
    if asked is not None and asked > positions:
        raise OptionUnfit(
            f"max_length = {asked}, but the model has {positions} positions", mend=f"--max-length {positions}"
        )
    return asked or positions


def check_ids(model: PreTrainedModel, *sequences: Ragged) -> None:
    """Refuse token ids for which the model has no embedding.

    Raises: TokenizerUnfit.
    """
    embeddings: Any = model.get_input_embeddings()
    rows = int(embeddings.weight.shape[0])
    highest = max((int(ids.values.max(initial=0)) for ids in sequences), default=0)
    if highest >= rows:
        raise TokenizerUnfit(
            f"the tokenizer gives token {highest}, but the model has embeddings for {rows}: they do not belong "
            "together",
            mend="put the model's own tokenizer files into the folder given by --base",
        )


def forget_truncation(tokenizer: PreTrainedTokenizerBase) -> None:
    """A fast tokenizer remembers the last call's limit and would save it with the model."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is not None:
        inner.no_truncation()
        inner.no_padding()
