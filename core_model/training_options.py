"""What training can be told. A run is repeated by these options, the data and the base: nothing else enters it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from core_model.mitigation_options import MitigationOptions
from core_model.tasks import Task

FINE_TUNING_RATE = 5e-5  # Devlin et al. 2019, arXiv:1810.04805, appendix A.3: 5e-5, 3e-5 or 2e-5
FROM_SCRATCH_RATE = 5e-4  # new weights have nothing to forget, and small encoders bear larger steps


class TrainingOptions(MitigationOptions):
    """Options of `train`; the same words, with dashes, as the flags of `aboveboard train`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task = Field(Task.CLASSIFICATION, description="what the checkpoint's head will do")
    epochs: int = Field(2, ge=1, description="passes over the data")
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description=f"peak rate; {FINE_TUNING_RATE:g} from a base, {FROM_SCRATCH_RATE:g} from scratch"
    )
    batch_size: int = Field(32, ge=1, description="rows in a step, on each process")
    seed: int = Field(0, ge=0, lt=2**32, description="of new weights, of the order of rows and of dropout")
    schedule: Literal["linear", "cosine"] = Field("linear", description="how the rate falls to 0 after warm-up")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the rate rises from 0")
    weight_decay: float = Field(0.01, ge=0, lt=1, description="decoupled; biases and normalization are spared")
    clip_norm: float | None = Field(1.0, gt=0, description="longest gradient; None: gradients are not clipped")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label spread over all classes")
    early_stopping: int | None = Field(
        None, ge=1, description="epochs without a lower evaluation loss after which to stop; the best weights are kept"
    )
    max_length: int | None = Field(None, ge=3, description="tokens; longer rows are cut, and counted in the record")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, float32 elsewhere"
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="steps between saved states; None: a minute apart, and under 2% of the time"
    )
    country: str = Field("WORLD", description="whose electricity, ISO 3166 alpha-3; WORLD is the world's average")

    def resolved(self, *, from_scratch: bool) -> TrainingOptions:
        """With every default that depends on the base filled in."""
        rate = self.learning_rate or (FROM_SCRATCH_RATE if from_scratch else FINE_TUNING_RATE)
        return self.model_copy(update={"learning_rate": rate})

    def that_change_weights(self) -> dict[str, Any]:
        """The options that a resumed run must share with the run that it resumes.

        Of a list of identity terms the content counts, not its place: `core_model.mitigation.terms_sha256`.
        """
        return self.model_dump(mode="json", exclude={"checkpoint_every", "country", "identity_terms"})
