"""TextAttack on some rows, inside its own environment: reads a job (JSON) and writes what became of each row.

    python attack_peer.py JOB RESULT

Nothing is downloaded: stop words and WordNet lie in the folder that NLTK_DATA names.
"""

# Runs under TextAttack's interpreter, which does not know this suite: only its packages and the standard library.

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ROOM = 24  # tokens that edits may add
RECIPES = {"deepwordbug": "DeepWordBugGao2018", "pwws": "PWWSRen2019"}


def main(job_file: str, result_file: str) -> None:
    import nltk

    nltk.download = lambda *given, **named: False  # everything is there

    import numpy as np
    import textattack
    import torch
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    model = AutoModelForSequenceClassification.from_pretrained(job["checkpoint"], use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(job["checkpoint"])
    longest = max(len(ids) for ids in tokenizer(job["texts"])["input_ids"])
    tokenizer.model_max_length = job["length"] or longest + ROOM  # TextAttack pads every text to it
    wrapper = textattack.models.wrappers.HuggingFaceModelWrapper(model, tokenizer)
    found = {}
    for name in job["recipes"]:
        attack = getattr(textattack.attack_recipes, RECIPES[name]).build(wrapper)
        np.random.seed(0)
        attack.attack(textattack.shared.AttackedText("a warm start"), 0)
        rows = []
        for text, label in zip(job["texts"], job["labels"], strict=True):
            begun = time.process_time()
            result = attack.attack(textattack.shared.AttackedText(text), label)
            rows.append(
                {
                    "seconds": time.process_time() - begun,
                    "skipped": isinstance(result, SkippedAttackResult),
                    "succeeded": isinstance(result, SuccessfulAttackResult),
                    "queries": result.num_queries,
                    "text": result.perturbed_text(),
                }
            )
        found[name] = rows
    Path(result_file).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
