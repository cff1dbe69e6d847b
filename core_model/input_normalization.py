"""Input normalization: a tokenizer that takes disguises off before it reads, so that no model has to learn them.

    full width, styled letters, ligatures   compatibility normalization, NFKC (Unicode Standard Annex 15)
    zero-width and other invisible marks    left out
    letters that only look Latin            read as Latin (Unicode Technical Standard 39): everywhere, where the
                                            tokenizer knows no words of their script; else only in words that hold a
                                            Latin letter, so that Russian stays Russian

Case stays as it is. It is a front part of the tokenizer's own normalizer, saved in tokenizer.json: a standard folder
that every tool loads, with nothing trained and nothing to install. Its price: what it unites can no longer be told
apart, such as a Greek letter in a formula beside a Latin one.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core_model.checkpoint_files import TOKENIZER_FILES
from core_model.errors import OptionUnfit, OutputUnwritable, TokenizerUnfit
from core_model.files import replace_folder, write_atomically
from core_model.look_alikes import LATIN_OF
from core_model.training_record import NAME as TRAINING_RECORD
from core_model.training_record import hashes, read_record

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer

    from core_model.checkpoint import Checkpoint

SOURCE = "Unicode Technical Standard 39 and Standard Annex 15"
# Default ignorable code points; the joiners U+200C and U+200D among them mean something in Persian, Hindi and emoji.
INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
JOINERS = "\u200c\u200d"
PROBE = "a t\u0435xt, d\u0456sgu\u0456s\u0435d; \uff41nd ag\u200bain."
KNOWN_PIECES = 200  # pieces of three letters or more: with so many, a tokenizer knows a script's words
CARRIED = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "generation_config.json", "calibration.json")


@dataclass(frozen=True)
class Normalized:
    """A checkpoint with a normalizing tokenizer.

    Attributes:
        path: its folder.
        replaced_everywhere, replaced_in_latin_words: scripts whose look-alikes are read as Latin, and where.
    """

    path: Path
    replaced_everywhere: tuple[str, ...]
    replaced_in_latin_words: tuple[str, ...]


def scripts_known(vocabulary: Iterable[str]) -> frozenset[str]:
    """Scripts, as Unicode names begin with them ("CYRILLIC"), of which a tokenizer knows words."""
    counts = Counter(
        script_of(letters[0])
        for letters in ("".join(c for c in token if c.isalpha()) for token in vocabulary)
        if len(letters) >= 3
    )
    return frozenset(script for script, pieces in counts.items() if pieces >= KNOWN_PIECES)


def script_of(letter: str) -> str:
    """First word of a letter's Unicode name: "LATIN", "CYRILLIC", "GREEK"."""
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def normalizer(known: frozenset[str]) -> Normalizer:
    """What stands in front of a tokenizer's own normalizer.

    Args:
        known: scripts of which it knows words, see `scripts_known`.
    """
    from tokenizers import Regex, normalizers

    invisible = INVISIBLE + (JOINERS if known <= {"LATIN"} else "")
    steps: list[Any] = [normalizers.NFKC(), normalizers.Replace(Regex(f"[{invisible}]"), "")]
    for _ in range(2):  # a letter that became Latin lets the next one be seen as part of a Latin word
        for letter, latin in LATIN_OF.items():
            inside = f"(?<=[A-Za-z]){letter}|{letter}(?=\\w*[A-Za-z])"
            steps.append(normalizers.Replace(Regex(inside if script_of(letter) in known else letter), latin))
        if not known - {"LATIN"}:
            break
    return normalizers.Sequence(steps)


def normalize(checkpoint: Checkpoint, *, out: str | Path) -> Normalized:
    """Leave a copy of a checkpoint in `out` whose tokenizer takes disguises off.

    Raises: TokenizerUnfit when the tokenizer is not a fast one; OptionUnfit when it normalizes so already;
        OutputUnwritable.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputUnwritable(f"{out} is not an empty folder", mend="name another folder with --out")
    tokenizer: Any = checkpoint.load_tokenizer()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TokenizerUnfit(
            f"{checkpoint.name} has no fast tokenizer, whose normalizer could be saved",
            mend="save the checkpoint with a fast tokenizer (tokenizer.json)",
        )
    known = scripts_known(tokenizer.get_vocab())
    front = normalizer(known)
    if _begins_so(backend.normalizer, front):
        raise OptionUnfit(f"{checkpoint.name} normalizes its input already", mend="use it as it is")
    from tokenizers import normalizers

    backend.normalizer = normalizers.Sequence([front, *([backend.normalizer] if backend.normalizer else [])])
    scripts = sorted({script_of(letter) for letter in LATIN_OF} - {"LATIN"})
    made = Normalized(out, tuple(s for s in scripts if s not in known), tuple(s for s in scripts if s in known))
    with replace_folder(out) as fresh:
        for name in {*checkpoint.files, *CARRIED} - set(TOKENIZER_FILES):
            if (checkpoint.path / name).is_file():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoint.path / name, fresh / name)
        tokenizer.save_pretrained(fresh)
        _load_as_written(tokenizer, fresh)
        _write_record(checkpoint, made, fresh)
    return made


def _load_as_written(tokenizer: Any, folder: Path) -> None:
    """Have tokenizer.json taken as it is: a model's own tokenizer class would build its usual normalizer instead.

    Raises: TokenizerUnfit when the tokenizer, loaded again, reads a disguised text otherwise than this one.
    """
    from transformers import AutoTokenizer

    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": tokenizer.model_input_names}
    write_atomically(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    again = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if dict(again(PROBE, PROBE)) != dict(tokenizer(PROBE, PROBE)):
        raise TokenizerUnfit(
            "this tokenizer does not read a text in the same way once it was saved with another normalizer",
            mend="normalize texts before they reach the model: core_model.input_normalization.normalizer",
        )


def _begins_so(normalizer: Normalizer | None, front: Normalizer) -> bool:
    """Whether a normalizer is a sequence whose first part does the same as `front`."""
    if normalizer is None:
        return False
    found, wanted = (json.loads(one.__getstate__()) for one in (normalizer, front))
    steps = found.get("normalizers") or [{}]
    return bool(found == wanted or steps[0] == wanted or steps[: len(wanted["normalizers"])] == wanted["normalizers"])


def _write_record(checkpoint: Checkpoint, made: Normalized, fresh: Path) -> None:
    """The training record, where there is one, with what was done since."""
    record = read_record(checkpoint.path)
    if record is None:
        return
    facts = {
        "base_sha256": checkpoint.sha256,
        "replaced_everywhere": list(made.replaced_everywhere),
        "replaced_in_latin_words": list(made.replaced_in_latin_words),
        "source": SOURCE,
    }
    note = "After training the tokenizer was given a normalizer that takes disguises off; the weights are as trained."
    updated = record.model_copy(
        update={
            "mitigation": {**record.mitigation, "input_normalization": facts},
            "notes": [*record.notes, note],
            "files": hashes(fresh),
        }
    )
    write_atomically(fresh / TRAINING_RECORD, updated.as_json())
