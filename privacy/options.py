"""What a private training can be told, beside what every training can."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core_model.errors import OptionUnfit
from core_model.training_options import TrainingOptions

GradSample = Literal["book-keeping", "ghost", "hooks"]
Clipping = Literal["flat", "per-layer", "adaptive"]


class PrivacyOptions(BaseModel):
    """Options of `train --private`; the same words, with dashes, as its flags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, allow_inf_nan=False, description="the most that may be spent: smaller is safer")
    delta: float | None = Field(
        None, gt=0, lt=1, description="chance with which the promise may fail; 1 / (10 units) when left out"
    )
    clipping: Clipping = Field(
        "flat", description="flat: one norm for a row's whole gradient; per-layer: one for each parameter; adaptive: "
        "flat, and the norm follows the median of the rows' norms, itself counted with noise"
    )  # fmt: skip
    clipping_norm: float = Field(
        1.0, gt=0, description="longest contribution of one unit to a step; adaptive: at first"
    )
    grad_sample: GradSample = Field(
        "book-keeping", description="how single rows' gradients are clipped; book-keeping is the fast one"
    )
    user_column: str | None = Field(None, description="column that names the user whose rows are protected together")
    rows_per_unit: int = Field(1, ge=1, description="rows of one unit that may enter a step")
    canaries: int = Field(
        0, ge=0, description="made-up rows of which about half enter the training, to audit its privacy by; 0: none"
    )
    noise_seed: int | None = Field(
        None, ge=0, description="makes the noise repeatable, for tests alone: whoever knows it can take the noise away"
    )


# Options of training that would make the promise false, or for which nobody has proved one.
UNFIT = {
    "reweigh": "a row's weight follows from how many rows are like it",
    "class_weights": "a class's weight follows from how many rows it has",
    "augment": "a row's copies would enter steps beside it, and its share would not be bounded",
    "reductions": "rows are weighed by what the model does on all of them",
    "fairness_penalty": "its gradient is one of the whole batch, not of single rows",
    "adversarial": "its steps look at a batch several times, and only one is accounted",
    "pretrain": "the further training of the base would not be private",
    "calibrate": "the temperature would be fitted without noise",
    "batch_tokens": "the expected number of rows in a step must be a public number",
    "accumulate": "batches are cut to fit memory by themselves here",
    "early_stopping": "the moment to stop would not be chosen before",
}


def refuse_unfit(options: TrainingOptions, *, processes: int) -> None:
    """Hold the options of training against a promise of privacy.

    Raises: OptionUnfit, with the reason why one does not go with it.
    """
    for name, why in UNFIT.items():
        given = getattr(options, name, None)
        if given and given != type(options).model_fields[name].default:
            flag = "--" + name.replace("_", "-")
            raise OptionUnfit(f"{flag} does not go with --private: {why}", mend=f"leave {flag} out")
    if processes > 1:
        raise OptionUnfit(
            "private training runs in one process: rows are sampled for all of it at once",
            mend="start it without torchrun",
        )
    if options.epochs is None and options.max_steps is None:
        raise OptionUnfit(
            "the noise follows from the number of steps, and --max-minutes alone names none",
            mend="--epochs or --max-steps",
        )


def refuse_from_scratch() -> None:
    """Raises: OptionUnfit: what is learnt from the rows before the first noisy step is not protected."""
    raise OptionUnfit(
        "--base none does not go with --private: the tokenizer would be learnt from the private rows without noise",
        mend="--base with a checkpoint whose weights and tokenizer are public",
    )
