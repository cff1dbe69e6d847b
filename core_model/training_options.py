"""What training can be told. A run is repeated by these options, the data and the base: nothing else enters it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from core_model.mitigation_options import MitigationOptions
from core_model.optimization import Schedule
from core_model.tasks import Task

EPOCHS = 2
BATCH_SIZE = 32
WARMUP_SHARE = 0.1
FINE_TUNING_RATE = 5e-5  # Devlin et al. 2019, arXiv:1810.04805, appendix A.3: 5e-5, 3e-5 or 2e-5
FROM_SCRATCH_RATE = 5e-4  # new weights have nothing to forget, and small encoders bear larger steps


class TrainingOptions(MitigationOptions):
    """Options of `train`; the same words, with dashes, as the flags of `aboveboard train`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task = Field(Task.CLASSIFICATION, description="what the checkpoint's head will do")
    seed: int = Field(0, ge=0, lt=2**32, description="of new weights, of the order of rows and of dropout")

    epochs: int | None = Field(
        None, ge=1, description=f"passes over the data; {EPOCHS} where neither max_steps nor max_minutes ends the run"
    )
    max_steps: int | None = Field(None, ge=1, description="steps after which the run ends, if no epoch ends it before")
    max_minutes: float | None = Field(
        None, gt=0, description="minutes of training, evaluation and saving, over all sessions, after which it ends"
    )
    batch_size: int | None = Field(
        None, ge=1, description=f"rows in a batch, on each process; {BATCH_SIZE} where batch_tokens is not given"
    )
    batch_tokens: int | None = Field(
        None, ge=1, description="padded tokens in a batch, on each process, in the place of a number of rows"
    )
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients are added up for one step: as one batch of so many times the rows"
    )

    optimizer: Literal["adamw", "adam"] = Field(
        "adamw", description="adamw: weight decay shrinks weights; adam: it is added to the gradient"
    )
    beta2: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="share of the old in Adam's mean of squared gradients; 0.98 is usual to translate",
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description=f"peak rate; {FINE_TUNING_RATE:g} from a base, {FROM_SCRATCH_RATE:g} from scratch"
    )
    schedule: Schedule = Field(
        "linear",
        description="how the rate falls after warm-up: to 0 at the last step, or with one over the square root of the "
        "step, which needs no last step",
    )
    warmup_share: float | None = Field(
        None, ge=0, lt=1, description=f"share of all steps in which the rate rises from 0; {WARMUP_SHARE:g}"
    )
    warmup_steps: int | None = Field(None, ge=0, description="the same as a number of steps")
    weight_decay: float = Field(0.01, ge=0, lt=1, description="biases and normalization are spared")
    clip_norm: float | None = Field(1.0, gt=0, description="longest gradient; None: gradients are not clipped")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="share of activations set to 0, everywhere in the model; None: as its config says"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label spread over all classes")
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="how much a row of each class counts in the loss; balanced: every class counts alike"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of a moving average of the weights, which is evaluated and saved for them"
    )

    adapters: int | None = Field(
        None, ge=1, description="rank of low-rank adapters (LoRA), trained in the place of the base's own weights"
    )
    adapter_targets: tuple[str, ...] = Field(
        (), description="names of the layers that get adapters; none: every linear layer but the head"
    )
    freeze: tuple[str, ...] = Field(
        (), description="parts of the base that are held still, by name; body: all below the head"
    )

    evaluate_every: int | None = Field(
        None, ge=1, description="steps between evaluations; None: one after each epoch. The end is always evaluated"
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="evaluations without a lower loss after which to stop; the best weights are kept",
    )
    max_length: int | None = Field(None, ge=3, description="tokens; longer rows are cut, and counted in the record")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, float32 elsewhere"
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="steps between saved states; None: a minute apart, and under 2% of the time"
    )
    country: str = Field("WORLD", description="whose electricity, ISO 3166 alpha-3; WORLD is the world's average")

    @model_validator(mode="after")
    def _one_of_two(self) -> TrainingOptions:
        for one, other in (("batch_size", "batch_tokens"), ("warmup_share", "warmup_steps")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                flags = (f"--{name.replace('_', '-')}" for name in (one, other))
                raise ValueError(f"{one} and {other} say the same thing twice; {' or '.join(flags)}")
        if self.class_weights is not None and self.task is not Task.CLASSIFICATION:
            raise ValueError(
                f"class_weights weighs classes, which {self.task.value} has not; leave --class-weights out"
            )
        if self.adapter_targets and self.adapters is None:
            raise ValueError("adapter_targets is read by adapters alone; --adapters RANK, such as --adapters 8")
        if self.freeze and self.adapters is not None:
            raise ValueError("adapters hold the base still already; leave --freeze out, or --adapters")
        return self

    @model_validator(mode="after")
    def _rate_is_defined(self) -> TrainingOptions:
        """A run that only the clock ends has no last step, where a rate could reach 0 or of which a share could be."""
        if self.max_minutes is None or self.epochs is not None or self.max_steps is not None:
            return self
        if self.schedule != "inverse-sqrt":
            raise ValueError(
                f"with max_minutes alone nobody knows the last step, where the {self.schedule} schedule ends; "
                "--schedule inverse-sqrt --warmup-steps 400, or --epochs N or --max-steps N as well"
            )
        if self.warmup_steps is None:
            raise ValueError(
                "with max_minutes alone a share of all steps is no number; --warmup-steps N, such as --warmup-steps 400"
            )
        return self

    def resolved(self, *, from_scratch: bool) -> TrainingOptions:
        """With every default that depends on the base or on other options filled in."""
        filled: dict[str, Any] = {
            "learning_rate": self.learning_rate or (FROM_SCRATCH_RATE if from_scratch else FINE_TUNING_RATE)
        }
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            filled["epochs"] = EPOCHS
        if self.batch_size is None and self.batch_tokens is None:
            filled["batch_size"] = BATCH_SIZE
        if self.warmup_share is None and self.warmup_steps is None:
            filled["warmup_share"] = WARMUP_SHARE
        return self.model_copy(update=filled)

    def that_change_weights(self) -> dict[str, Any]:
        """The options that a resumed run must share with the run that it resumes.

        Of a list of identity terms the content counts, not its place: `core_model.mitigation.terms_sha256`.
        """
        return self.model_dump(mode="json", exclude={"checkpoint_every", "country", "identity_terms"})
