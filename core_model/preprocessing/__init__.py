"""Preparing text for training: clean, filter, remove duplicates, split, and say in a data card what was done.

prepared = prepare("pairs.jsonl", "prepared", task="translation", source_column="en", target_column="de")
prepared.files["train"], prepared.card["steps"]
"""

from core_model.preprocessing.options import PreparationOptions
from core_model.preprocessing.preparation import Preparation, prepare

__all__ = ["Preparation", "PreparationOptions", "prepare"]
