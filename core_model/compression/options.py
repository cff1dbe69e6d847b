"""What a compression can be told: one model of options a method."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal["quantize", "prune-heads", "distill"]


class Settings(BaseModel):
    """Options of one method."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantize(Settings):
    """Int8 weights and activations."""

    float_words: bool = Field(
        False,
        description="keep the table of words as floats: larger; transformers opens it, with compressed-tensors",
    )


class PruneHeads(Settings):
    """Fewer attention heads."""

    share: float = Field(0.25, gt=0, lt=1, description="share of the heads that each layer loses; one stays at least")


class Distill(Settings):
    """Fewer layers, taught by the original."""

    layers: int | None = Field(None, ge=1, description="layers that the student keeps; half of them when left out")
    temperature: float = Field(2.0, gt=0, description="softens both sides' probabilities; DistilBERT's is 2")
    soft_weight: float = Field(
        0.5, ge=0, le=1, description="share of the teacher's probabilities in the loss; the rest is the task's own"
    )
    epochs: int = Field(2, ge=1, description="passes over the training rows")
    learning_rate: float = Field(5e-5, gt=0, lt=1, description="peak rate")
    batch_size: int = Field(32, ge=1, description="rows in a step")


METHODS: dict[str, type[Settings]] = {"quantize": Quantize, "prune-heads": PruneHeads, "distill": Distill}
