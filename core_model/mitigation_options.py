"""What training can be told about mitigations: rows, noise, constraints, adversaries, and what comes before.

`TrainingOptions` has these beside its own.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from core_model.tasks import Task

Parity = Literal["demographic-parity", "equalized-odds"]
Augmentation = Literal["identity-swap", "typos", "noise", "token-dropout", "word-order"]
COPIES = ("identity-swap", "typos", "noise")  # these add rows; the others disturb those that there are
PENALTY_WEIGHT = 10.0

# Why a task cannot have its texts disturbed; copies are trained on under a label, which classification alone has.
UNDISTURBED = {
    Task.LANGUAGE_MODELING: "the text that it reads is also the text that it must write",
    Task.MASKED_LANGUAGE_MODELING: "it hides words itself",
    Task.QUESTION_ANSWERING: "the answer is a place in the text, which would move",
}


class MitigationOptions(BaseModel):
    """Options of the mitigations; what each does: docs/mitigation.md."""

    augment: tuple[Augmentation, ...] = Field(
        (),
        description="identity-swap: rows with an identity term once more, swapped, under the same label; typos and "
        "noise: rows once more with typing errors, or every kind of noise; the others: words left out or moved, new in "
        "every epoch",
    )
    token_dropout_rate: float = Field(0.1, gt=0, lt=1, description="share of words that token-dropout leaves out")
    word_order_distance: int = Field(3, ge=1, description="places that word-order moves a word at most")
    identity_terms: str | None = Field(
        None, description="TOML file of identity-term pairs for augment, in the place of our list"
    )
    reweigh: str | None = Field(
        None, min_length=1, description="column of groups that weights make independent of the label in the loss"
    )
    fairness_penalty: Parity | None = Field(
        None, description="term of the loss that grows as groups' mean probabilities part"
    )
    reductions: Parity | None = Field(
        None, description="weights of rows that are moved after each epoch until groups' rates agree; two classes only"
    )
    fairness_column: str | None = Field(
        None, min_length=1, description="column of groups for fairness_penalty or reductions"
    )
    fairness_weight: float = Field(
        PENALTY_WEIGHT, gt=0, description="what fairness_penalty's variance is multiplied by in the loss"
    )
    adversarial: Literal["freelb"] | None = Field(
        None, description="train where small shifts of the embeddings make the loss large"
    )
    adversarial_steps: int = Field(3, ge=1, description="passes over each batch, each at a worse shift")
    # 0.02 of a row of MiniLM is 0.1 in FreeLB's own units, where its released settings shift by 0.14 to 0.7; at 0.1 a
    # small model learned to say one class of everything (docs/mitigation.md).
    adversarial_radius: float = Field(
        0.02, gt=0, le=1,
        description="longest shift, in units of the norm of the row's embeddings; more withstands more and answers "
        "worse, and from some radius on a model says one class of everything",
    )  # fmt: skip
    adversarial_step_size: float | None = Field(
        None, gt=0, description="length of a step, in the same units; None: 2.5 radii over all steps"
    )

    @field_validator("augment", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        names = (given,) if isinstance(given, str) else given
        return tuple(dict.fromkeys(names)) if isinstance(names, list | tuple) else names

    @model_validator(mode="after")
    def _terms_are_read(self) -> Self:
        if self.identity_terms is not None and "identity-swap" not in self.augment:
            raise ValueError("identity_terms is read by augment alone; --augment identity-swap")
        return self

    @model_validator(mode="after")
    def _noise_fits_the_task(self) -> Self:
        task = getattr(self, "task", Task.CLASSIFICATION)
        for name in self.augment:
            if name in COPIES:
                why = None if task is Task.CLASSIFICATION else "a copy is trained on under the label of its row"
            else:
                why = UNDISTURBED.get(task)
            if why is not None:
                raise ValueError(f"augment = {name} cannot be had for {task.value}: {why}; leave --augment {name} out")
        return self

    @model_validator(mode="after")
    def _a_constraint_has_groups_and_classes(self) -> Self:
        asked = [name for name in ("fairness_penalty", "reductions") if getattr(self, name) is not None]
        if not asked:
            if self.fairness_column is not None:
                raise ValueError(
                    f"fairness_column = {self.fairness_column!r} is read by no constraint; "
                    "--fairness-penalty equalized-odds or --reductions equalized-odds, or leave it out"
                )
            return self
        task, flag = getattr(self, "task", Task.CLASSIFICATION), "--" + asked[0].replace("_", "-")
        if task is not Task.CLASSIFICATION:
            raise ValueError(f"{asked[0]} compares rates of classes, which {task.value} has not; leave {flag} out")
        if len(asked) == 2:
            raise ValueError("fairness_penalty and reductions are two ways to one end; choose one of the two flags")
        if self.fairness_column is None:
            raise ValueError(f"{asked[0]} does not say between which groups; --fairness-column COLUMN")
        if self.reweigh is not None:
            raise ValueError(
                f"reweigh and {asked[0]} both weigh rows by their group, and would count twice; leave --reweigh out"
            )
        return self

    @property
    def group_column(self) -> tuple[str, str] | None:
        """The flag that names a column of groups, and the column; None without one."""
        if self.reweigh is not None:
            return "--reweigh", self.reweigh
        return None if self.fairness_column is None else ("--fairness-column", self.fairness_column)
