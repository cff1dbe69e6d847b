"""What a preparation can be told: columns, cleaning, filters, duplicates, split."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core_model.tasks import Task

DUPLICATES = "remove or keep"


class PreparationOptions(BaseModel):
    """Options of one preparation, each with its consequence; a column that is not named is found by a usual name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = Field(Task.CLASSIFICATION, description="what the rows are for: decides which columns hold texts")
    text_column: str | None = Field(None, description="column of the text")
    pair_column: str | None = Field(None, description="column of the second text of a pair")
    source_column: str | None = Field(None, description="column of the text to translate or to sum up")
    target_column: str | None = Field(None, description="column of the translation or summary")
    question_column: str | None = Field(None, description="column of the question")
    context_column: str | None = Field(None, description="column of the text that holds the answer")
    answer_column: str | None = Field(None, description="column of the answer, or of a list of answers")
    label_column: str | None = Field(None, description="column of the label: counts duplicates that contradict")
    encoding: str | None = Field(None, description="encoding of a text file; UTF-8 when left out")

    html: bool = Field(True, description="take out HTML tags and read character references")
    unicode: bool = Field(True, description="write characters in Unicode's composed form (NFC)")
    control: bool = Field(True, description="take out control, zero-width and direction characters")
    whitespace: bool = Field(True, description="one blank between words, none at the ends")
    keep_lines: bool | None = Field(
        None, description="whether line ends stay; by default they do but for classification and translation"
    )

    min_words: int = Field(1, ge=1, description="fewest words of each text")
    max_words: int | None = Field(None, ge=1, description="most words of each text")
    min_characters: int = Field(1, ge=1, description="fewest characters of each text")
    max_characters: int | None = Field(None, ge=1, description="most characters of each text")
    max_length_ratio: float | None = Field(
        None, ge=1, allow_inf_nan=False, description="most characters of one side for a character of the other"
    )
    identical: Literal["drop", "keep"] | None = Field(
        None, description="what becomes of rows whose two sides are the same; by default, translations are dropped"
    )
    min_letters: float = Field(0, ge=0, le=1, description="smallest share of letters among characters but blanks")
    language: str | None = Field(None, description="language of the texts, such as en (ISO 639-1)")
    source_language: str | None = Field(None, description="language of the source")
    target_language: str | None = Field(None, description="language of the target")
    min_language_probability: float = Field(
        0.2, gt=0, lt=1, description="smallest probability of that language where another one is likely"
    )

    exact_duplicates: Literal["remove", "keep"] = Field("remove", description=DUPLICATES)
    near_duplicates: Literal["remove", "keep"] = Field("remove", description=DUPLICATES)
    duplicates_by: str = Field(
        "row", description="what repeats in a duplicate: the row (all its sides), either side, or one side by name"
    )
    similarity: float = Field(
        0.8, ge=0.3, le=1, description="smallest Jaccard similarity of three-word shingles that makes a near duplicate"
    )

    validation: float = Field(0.1, ge=0, lt=1, description="share of rows for validation")
    test: float = Field(0.1, ge=0, lt=1, description="share of rows for the test")
    split_column: str | None = Field(None, description="column whose equal values stay together, such as a page")
    seed: int = Field(0, ge=0, lt=2**32, description="another seed, another split")
    format: Literal["jsonl", "parquet"] = Field("jsonl", description="of the files that are written")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for least, most, what in (
            (self.min_words, self.max_words, "words"),
            (self.min_characters, self.max_characters, "characters"),
        ):
            if most is not None and least > most:
                raise ValueError(f"at least {least} and at most {most} {what} is no text; swap the two limits")
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave no row for training; make their sum smaller than 1")
        if self.language and (self.source_language or self.target_language):
            raise ValueError("language is named twice; give the language of source and target only")
        if self.exact_duplicates == "keep" and self.near_duplicates == "remove":
            raise ValueError("exact duplicates are near ones, too, and would go; keep the near ones as well")
        return self
