"""A checkpoint, opened with care: every file verified and hashed, nothing in it run.

    checkpoint = open_checkpoint("models/my-classifier")
    checkpoint.task, checkpoint.labels, checkpoint.parameters, checkpoint.sha256
    model, tokenizer = checkpoint.load_model(), checkpoint.load_tokenizer()

Opening reads configuration, safetensors headers and tokenizer files, and does not import torch. Only `load_model` and
`load_tokenizer` build something, from local files, with safetensors alone and never with code of the checkpoint. Where
an exported graph (ONNX) lies in place of safetensors, `graph` is that graph, verified, and there is no model to load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_describe import choose_task, gather_facts, read_claims, read_labels, refuse_remote_code
from core_model.checkpoint_files import (
    CONFIGURATION_FILES,
    OTHER_WEIGHTS,
    PICKLES,
    TOKENIZER_FILES,
    checked,
    content_hash,
    find_folder,
    hash_once,
    is_graph,
    read_json,
)
from core_model.checkpoint_fit import check_tokenizer, check_weights, max_length, read_tokenizer
from core_model.checkpoint_weights import Tensor, count_parameters, read_weights
from core_model.compression.scheme import read_scheme
from core_model.errors import CheckpointDamaged, CheckpointMissing, CheckpointUnsafe, TaskUnfit
from core_model.model_card import front_matter, read_card, read_licence
from core_model.onnx_graph import (
    EXPORT,
    Graph,
    check_graph,
    choose_graph,
    named_graph,
    read_graph,
    refuse_graph,
)
from core_model.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a verified checkpoint says of itself, read from its files without running a model.

    Attributes:
        name: the folder's name, or the hub's.
        path: the folder; location: how the user named it.
        sha256: content hash over weights, configuration and tokenizer (the rule: `core_model.checkpoint_files`).
        files: the sha256 of each file that the content hash covers, by name.
        task: what its head does; FEATURE_EXTRACTION without a head.
        architecture: the class that transformers builds.
        parameters: trained numbers, tied matrices counted once.
        labels: the classes in the order of the outputs; none where there is no classification head.
        licence: by its hub name, from the card or a licence file; None where neither says.
        card: the text of README.md.
        max_length: tokens that it takes at once.
        facts: layers, hidden_size, heads, vocabulary, positions, dtype, model_type, notes ...; absent is None.
        claims: what its own records assert, unverified: (name, value, file).
        training_record: `training_record.json`, when there is one.
        pickled: whether the weights are a pickle, which was allowed by name.
        graph: the exported graph (ONNX) that holds the weights; None where torch loads them.
    """

    name: str
    path: Path
    location: str
    sha256: str
    files: Mapping[str, str]
    task: Task
    architecture: str
    parameters: int
    labels: tuple[str, ...]
    licence: str | None
    card: str | None = field(repr=False)
    max_length: int
    facts: Mapping[str, Any]
    claims: Sequence[tuple[str, Any, str]] = ()
    training_record: Mapping[str, Any] | None = field(default=None, repr=False)
    pickled: bool = False
    graph: Graph | None = None

    def load_model(self, dtype: str = "float32") -> PreTrainedModel:
        """The model in eval mode, on the CPU, every weight from the checkpoint.

        Raises: CheckpointDamaged when files changed since opening, or weights are missing and would be random;
            TaskUnfit for an exported graph, which torch cannot load.
        """
        refuse_graph(self)
        from core_model.checkpoint_loading import load_model

        self._require_unchanged()
        return load_model(self, dtype)

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's own tokenizer, with `model_max_length` set to `max_length`.

        Raises: TokenizerUnfit when it cannot be built or knows more tokens than the model.
        """
        from core_model.checkpoint_loading import load_tokenizer

        self._require_unchanged()
        return load_tokenizer(self)

    def _require_unchanged(self) -> None:
        for name, sha256 in self.files.items():
            path = checked(self.path, name)
            if path is None or hash_once(path) != sha256:
                raise CheckpointDamaged(f"{self.path / name} changed since it was opened", mend="open it again")


def open_checkpoint(location: str | Path, *, allow_pickle: bool = False) -> Checkpoint:
    """Open and verify a Hugging Face folder, a hub id (`owner/name`, `hub:owner/name@revision`), or an exported graph.

    Args:
        location: the folder or id; or the file of a graph in its folder, such as `DIR/model.int8.onnx`.
        allow_pickle: accept `pytorch_model.bin`; it is then read with torch's restricted unpickler alone.
    Raises: CheckpointMissing, CheckpointDamaged, CheckpointUnsafe, TokenizerUnfit, TaskUnfit; each names file and mend.
    """
    named = named_graph(location)
    folder = find_folder(location, allow_pickle=allow_pickle)
    config = _configuration(folder)
    card = read_card(folder)
    tensors, weights = read_weights(folder) if named is None else ({}, [])
    file = named.name if named is not None else None if weights else choose_graph(folder)
    graph = read_graph(folder, file) if file is not None else None
    pickled = not weights and graph is None
    if graph is not None:
        tensors, weights = dict(graph.tensors), list(graph.files)
    elif pickled:
        tensors, weights = _pickled(folder, allow_pickle)
    record_path = checked(folder, "training_record.json")
    record = read_json(record_path) if record_path else None
    tokenizer = read_tokenizer(folder)
    notes = refuse_remote_code(folder, config, tokenizer)
    architecture, task = choose_task(folder, config, front_matter(card), record)
    labels = read_labels(folder, config) if task is Task.CLASSIFICATION else ()
    check_weights(folder, config, tensors if graph is None else graph.above_layers, len(labels))
    facts = gather_facts(config, tensors, notes)
    if scheme := read_scheme(config, folder / "config.json"):
        facts["quantization"] = scheme
    if graph is not None:
        check_graph(graph, folder, task, labels)
        facts |= graph.facts
        architecture = f"{architecture} as {graph.words}"
    check_tokenizer(folder, config, facts["vocabulary"], tokenizer, task)
    files = {
        name: hash_once(path)
        for name in (*weights, *CONFIGURATION_FILES, *TOKENIZER_FILES)
        if (path := checked(folder, name))
    }
    text = str(location)
    return Checkpoint(
        name=_name(folder, text, named),
        path=folder,
        location=text,
        sha256=content_hash(files),
        files=files,
        task=task,
        architecture=architecture,
        parameters=count_parameters(tensors.values()) if graph is None else graph.parameters,
        labels=labels,
        licence=read_licence(folder, card),
        card=card,
        max_length=max_length(config, tokenizer),
        facts=facts,
        claims=read_claims(folder),
        training_record=record,
        pickled=pickled,
        graph=graph,
    )


def _name(folder: Path, location: str, named: Path | None) -> str:
    if named is not None:
        return f"{folder.name}/{named.name}"
    return folder.name if Path(location).expanduser().exists() else location.removeprefix("hub:")


def _configuration(folder: Path) -> dict[str, Any]:
    """config.json; without it, what else the folder may be."""
    if checked(folder, "adapter_config.json"):  # transformers would load another base than the one verified here
        raise TaskUnfit(
            f"{folder} is a PEFT adapter (adapter_config.json), not a whole model",
            mend="merge it into its base first: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload()"
            ".save_pretrained(MERGED), and audit MERGED",
        )
    path = checked(folder, "config.json")
    if path is not None:
        return read_json(path)
    _refuse_other_formats(folder)
    if any(map(is_graph, folder.iterdir())):
        raise CheckpointMissing(
            f"{folder} holds an exported graph (ONNX), but no config.json, which names its task and labels",
            mend=f"copy config.json and tokenizer of its checkpoint beside it; this writes all of them: {EXPORT}",
        )
    inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
    raise CheckpointMissing(
        f"{folder} has no config.json (it holds {inside})", mend="name the folder that save_pretrained wrote"
    )


def _refuse_other_formats(folder: Path) -> None:
    kinds = {OTHER_WEIGHTS[p.suffix.lower()]: p for p in folder.iterdir() if p.suffix.lower() in OTHER_WEIGHTS}
    for kind, path in kinds.items():
        raise TaskUnfit(
            f"{path} holds the weights as {kind}; a checkpoint of safetensors is needed",
            mend="convert it with transformers: from_pretrained(..., gguf_file=...) and save_pretrained(OUT)"
            if kind == "GGUF"
            else "save it from transformers with save_pretrained(OUT)",
        )


def _pickled(folder: Path, allowed: bool) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a checkpoint without safetensors: shapes only, and only where a pickle was allowed by name."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    weights = [name for name in pickles if name.startswith("pytorch_model")]
    if not pickles:
        _refuse_other_formats(folder)
        raise CheckpointMissing(f"{folder} has no weights (model.safetensors)", mend="fetch the checkpoint again")
    if not allowed or not weights:
        raise CheckpointUnsafe(
            f"{folder} holds its weights only as a pickle ({pickles[0]}); opening one can run any code",
            mend="convert it to safetensors where you trust it (model.save_pretrained(OUT)), or --allow-pickle to read "
            "pytorch_model.bin with torch's restricted unpickler",
        )
    from core_model.checkpoint_loading import pickled_tensors

    paths = [path for name in weights if (path := checked(folder, name))]
    index = checked(folder, "pytorch_model.bin.index.json")
    return pickled_tensors(paths), [*weights, *([index.name] if index else [])]
