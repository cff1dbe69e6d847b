"""The tasks that a Transformer checkpoint can do. One file a task; this one holds their names."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What a checkpoint's head does, by the names that the command line and the record use."""

    CLASSIFICATION = "classification"
    LANGUAGE_MODELING = "language-modeling"
    TRANSLATION = "translation"
    SUMMARIZATION = "summarization"
    QUESTION_ANSWERING = "question-answering"
    MASKED_LANGUAGE_MODELING = "masked-language-modeling"  # for training alone; such a head is a base to others
    FEATURE_EXTRACTION = "feature-extraction"
