"""What a checkpoint is, from its configuration: its task, its classes, its size, and what it claims of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core_model.checkpoint_files import checked, read_json
from core_model.checkpoint_fit import EMBEDDINGS, TokenizerFacts, first
from core_model.checkpoint_weights import Tensor, main_dtype
from core_model.errors import CheckpointDamaged, CheckpointUnsafe, TaskUnfit
from core_model.tasks import Task

CLAIM_FILES = ("privacy.json", "training_record.json", "federated_record.json")
TRAINING_CLAIMS = re.compile(  # of a training record, what a reader of an audit holds the checkpoint to
    r"task|base\.(name|sha256)|data\.(name|sha256|rows)|evaluation\.\w+|options\.epochs|seed|model_sha256"
    r"|energy\.(energy_kwh|emissions_kg|method)|tool\.(name|version)"
)
LARGEST_CLAIM_FILE = 16 * 2**20  # bytes; a record with a long loss curve is about 1 MB
MOST_CLAIMS = 200  # per file
HEADS = {
    "ForSequenceClassification": Task.CLASSIFICATION,
    "ForCausalLM": Task.LANGUAGE_MODELING,
    "LMHeadModel": Task.LANGUAGE_MODELING,
    "ForQuestionAnswering": Task.QUESTION_ANSWERING,
    "ForMaskedLM": Task.FEATURE_EXTRACTION,  # its words are not an audit's subject; a base to train from
    "ForPreTraining": Task.FEATURE_EXTRACTION,
    "EncoderModel": Task.FEATURE_EXTRACTION,
    "Model": Task.FEATURE_EXTRACTION,
}
SEQUENCE_TO_SEQUENCE = ("ForConditionalGeneration", "MTModel", "ForSeq2SeqLM")
TRANSLATORS = {"marian", "m2m_100", "fsmt", "nllb-moe", "mbart"}


def choose_task(
    folder: Path, config: Mapping[str, Any], card: Mapping[str, Any], record: Mapping[str, Any] | None
) -> tuple[str, Task]:
    """The architecture's name and what its head does.

    A sequence-to-sequence head says not what it was trained for: the training record tells, else the card's
    pipeline_tag, else the model type; translation where nothing does.

    Raises: CheckpointDamaged without a model_type; TaskUnfit for a head that no audit knows.
    """
    path = folder / "config.json"
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise CheckpointDamaged(f"{path} names no model_type", mend="put back the config.json that was saved with it")
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else f"{kind} without a head"
    if config.get("problem_type") in ("multi_label_classification", "regression"):
        raise TaskUnfit(
            f"{path}: problem_type is {config['problem_type']!r}; one class a row is what can be audited",
            mend="a checkpoint with problem_type single_label_classification",
        )
    if name.endswith(SEQUENCE_TO_SEQUENCE):
        said = [record.get("task") if record else None, card.get("pipeline_tag")]
        task = next((Task(s) for s in said if s in (Task.TRANSLATION, Task.SUMMARIZATION)), None)
        guess = Task.SUMMARIZATION if kind in ("pegasus", "led") else Task.TRANSLATION
        return name, task or guess
    if name.endswith(" without a head"):
        return name, Task.FEATURE_EXTRACTION
    task = next((task for head, task in HEADS.items() if name.endswith(head)), None)
    if task is None or re.search(r"Image|Audio|Speech|Video|Vision", name):
        raise TaskUnfit(
            f"{path}: the head of {name} is none that can be audited",
            mend=f"a checkpoint for {', '.join(t for t in Task if t is not Task.MASKED_LANGUAGE_MODELING)}",
        )
    return name, task


def read_labels(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes in the order of the outputs; LABEL_0, LABEL_1 where the configuration names none.

    Raises: CheckpointDamaged when the ids have gaps or two classes share a name; TaskUnfit for a single output.
    """
    path = folder / "config.json"
    named = config.get("id2label")
    if not isinstance(named, dict):
        count = config.get("num_labels", config.get("_num_labels", 2))
        named = {i: f"LABEL_{i}" for i in range(count if type(count) is int else 2)}
    by_id = {str(key): str(label) for key, label in named.items()}
    if set(by_id) != {str(i) for i in range(len(by_id))}:
        raise CheckpointDamaged(
            f"{path}: the ids of id2label are {', '.join(sorted(by_id)[:10])}; they must run from 0 without gaps",
            mend='"id2label": {"0": "...", "1": "..."}',
        )
    labels = tuple(by_id[str(i)] for i in range(len(by_id)))
    if len(labels) < 2:
        raise TaskUnfit(f"{path}: the head has {len(labels)} output, a score rather than classes", mend="a classifier")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise CheckpointDamaged(f"{path}: two classes of id2label are called {twice!r}", mend="rename one of them")
    return labels


def refuse_remote_code(folder: Path, config: Mapping[str, Any], tokenizer: TokenizerFacts) -> list[str]:
    """Notes on code that came with the checkpoint and stays unused; a model that cannot do without it is refused.

    Raises: CheckpointUnsafe when transformers does not know the architecture itself.
    """
    notes: list[str] = []
    if "auto_map" in config:
        names = config.get("architectures") or [""]
        if not _is_native(str(config.get("model_type")), str(names[0])):
            raise CheckpointUnsafe(
                f"{folder / 'config.json'}: auto_map asks to run the checkpoint's own code, and transformers does not "
                f"know {names[0] or 'its architecture'} without it",
                mend="a checkpoint of an architecture that transformers has; code from checkpoints is never run",
            )
        notes.append("config.json names code of its own (auto_map); it is not used, transformers has the architecture")
    if tokenizer.remote_code:
        notes.append("tokenizer_config.json names code of its own (auto_map); it is not used")
    return notes


def _is_native(kind: str, architecture: str) -> bool:
    """Whether transformers itself defines this class: looked up in its source, because importing it loads torch."""
    from importlib.util import find_spec

    spec = find_spec("transformers")
    if spec is None or spec.origin is None or not re.fullmatch(r"[\w-]+", kind):
        return False
    folder = Path(spec.origin).parent / "models" / kind.replace("-", "_")
    declared = re.compile(rf"^class {re.escape(architecture)}\(", re.MULTILINE)
    return any(declared.search(file.read_text(encoding="utf-8")) for file in folder.glob("modeling_*.py"))


def gather_facts(config: Mapping[str, Any], tensors: Mapping[str, Tensor], notes: Sequence[str]) -> dict[str, Any]:
    """Layers, widths and the like; None where neither configuration nor weights say. Vocabulary: embedding rows."""
    rows = next((tensor.shape[0] for name, tensor in tensors.items() if EMBEDDINGS.search(name)), None)
    return {
        "model_type": config.get("model_type"),
        "layers": first(config, "num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"),
        "hidden_size": first(config, "hidden_size", "d_model", "dim", "n_embd"),
        "heads": first(config, "num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads"),
        "positions": first(config, "max_position_embeddings", "n_positions", "n_ctx"),
        "vocabulary": rows or first(config, "vocab_size"),
        "dtype": main_dtype(tensors),
        "notes": tuple(notes),
    }


def read_claims(folder: Path) -> tuple[tuple[str, Any, str], ...]:
    """What the checkpoint's own records assert: scalars, nested names joined by dots, at most 200 a file.

    Of a training record only `TRAINING_CLAIMS`: the rest says how, not what. Whole, it is `Checkpoint.training_record`.

    Raises: CheckpointDamaged when a record is no JSON object.
    """
    claims: list[tuple[str, Any, str]] = []
    for name in CLAIM_FILES:
        if path := checked(folder, name):
            found = _scalars(read_json(path, largest=LARGEST_CLAIM_FILE), "")
            if name == "training_record.json":
                found = [claim for claim in found if TRAINING_CLAIMS.fullmatch(claim[0])]
            claims += [(field, value, name) for field, value in found[:MOST_CLAIMS]]
    return tuple(claims)


def _scalars(value: Mapping[str, Any], prefix: str, depth: int = 3) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, inner in value.items():
        if isinstance(inner, dict) and depth:
            found += _scalars(inner, f"{prefix}{key}.", depth - 1)
        elif isinstance(inner, str):
            found.append((f"{prefix}{key}", inner[:500]))
        elif inner is None or isinstance(inner, bool | int | float):
            found.append((f"{prefix}{key}", inner))
    return found
