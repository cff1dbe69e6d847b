"""What can be set about the attacks on answers."""

from __future__ import annotations

from pydantic import Field, field_validator

from audit.plugin import Options
from core_model.attacks.masked_words import MaskedWords
from core_model.attacks.recipes import RECIPES
from core_model.checkpoint import open_checkpoint


class AttackOptions(Options):
    """How many rows are attacked, by what, and how hard."""

    attack_rows: int = Field(
        60, ge=2, description="rows under word attacks, drawn at random; more narrow the intervals"
    )
    recipes: tuple[str, ...] = Field(
        ("deepwordbug", "pwws", "textfooler-like", "look-alikes"),
        description=f"word attacks, of {', '.join(RECIPES)}; none by an empty list",
    )
    masked_model: str | None = Field(
        None, description="folder of a masked language model (safetensors), which bae-like asks for words"
    )
    max_attack_success: float | None = Field(
        None, ge=0, le=1,
        description="largest share of attacked answers that a word attack may change; unset: told without a verdict",
    )  # fmt: skip
    query_budget: int = Field(500, ge=1, description="texts that an attack may ask for one row; more is a stronger foe")
    attack_seconds: float = Field(
        120, gt=0, description="seconds for one recipe on all rows; what it cuts counts as not changed, and is told"
    )
    gradient_rows: int = Field(60, ge=2, description="rows that are moved in embedding space")
    radii: tuple[float, ...] = Field(
        (0.02, 0.05, 0.1, 0.2, 0.4),
        min_length=1,
        description="how far, in units of the row's embeddings (L2: their norm, Linf: their root mean square)",
    )
    pgd_steps: int = Field(5, ge=1, description="steps of PGD for each radius; more is a stronger foe")
    trigger_rows: int = Field(32, ge=0, description="twice the rows of a class that a trigger is searched on; 0: none")
    trigger_length: int = Field(3, ge=1, le=10, description="words of a universal trigger")
    trigger_candidates: int = Field(8, ge=1, description="words tried at each place of a trigger")
    resamples: int = Field(2000, ge=200, description="resamples of the bootstrap; fewer are quicker and rougher")

    @field_validator("recipes", "radii", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        """A list may be given as one text with commas, or as its only number."""
        if isinstance(given, int | float):
            return (given,)
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("recipes")
    @classmethod
    def _known(cls, recipes: tuple[str, ...]) -> tuple[str, ...]:
        for name in recipes:
            if name not in RECIPES:
                raise ValueError(f"there is no attack {name!r}; try one of {', '.join(RECIPES)}")
        return tuple(dict.fromkeys(recipes))

    @field_validator("masked_model")
    @classmethod
    def _can_be_opened(cls, folder: str | None) -> str | None:
        """Looked at before anything is measured; its weights are read when they are asked."""
        if folder is not None:
            MaskedWords(open_checkpoint(folder))
        return folder

    @field_validator("radii")
    @classmethod
    def _ascending(cls, radii: tuple[float, ...]) -> tuple[float, ...]:
        if any(radius <= 0 for radius in radii) or list(radii) != sorted(set(radii)):
            raise ValueError(f"radii {list(radii)} do not ascend from above 0; try 0.05, 0.1, 0.2")
        return radii
