"""Options of a run, from flags and from `aboveboard.toml`; a flag wins over the file, the file over the default.

[audit]                     # the same words as the flags of `aboveboard audit`
data = "test.jsonl"
group_columns = ["sex"]
profile = "quick"

[audits.fairness]           # options of one audit
max_equalized_odds_difference = 0.08
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from audit.plugin import Options, Plugin
from core_model.errors import OptionUnfit
from core_model.settings import checked, read_toml
from core_model.tasks import Task

Profile = Literal["quick", "standard", "full"]
PROFILES: tuple[str, ...] = get_args(Profile)


class Configuration(BaseModel):
    """Everything that a run of the audits is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str | None = Field(None, description="file or hub name of the rows to audit on")
    train_data: str | None = Field(None, description="file or hub name of the rows that it was trained on")
    text_column: str | None = None
    pair_column: str | None = None
    reference_column: str | None = Field(None, description="column of what the model should write")
    label_column: str | None = None
    task: Task | None = Field(None, description="what the checkpoint is asked to do, where its head can do several")
    beams: int = Field(1, ge=1, le=64, description="hypotheses kept by beam search where text is written; 1 is greedy")
    max_new_tokens: int | None = Field(
        None, ge=1, description="tokens written at most; unset: what the checkpoint says"
    )
    smoothing_keep: float | None = Field(
        None, gt=0, le=1, description="share of the words in a look of the smoothed classifier; unset: not smoothed"
    )
    smoothing_looks: int | None = Field(None, ge=1, description="looks that vote for each answer; unset: 25")
    smoothing_mask: str | None = Field(None, description="in the place of a hidden word; unset: it is left out")
    group_columns: tuple[str, ...] = ()
    encoding: str | None = Field(None, description="how the data file is encoded, where it is not UTF-8")
    reference: str | None = Field(None, description="another checkpoint to hold this one against")
    only: tuple[str, ...] | None = None
    profile: Profile = "standard"
    policy: str | None = None
    selftest: str | None = Field(
        None, description="selftest.json of `aboveboard selftest`, which the report then cites"
    )
    out: str = "audit-out"
    lang: str | None = Field(None, description="language of the report's fixed texts: en, de or zh")
    lang_file: Path | None = Field(None, description="a catalogue of one's own (.po) for the report's fixed texts")
    seed: int = Field(0, ge=0, lt=2**32)
    threads: int | None = Field(None, ge=1)
    allow_pickle: bool = False
    audits: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict, description="options of each audit")


def configuration(*, file: Path | None, flags: Mapping[str, Any], settings: Sequence[str] = ()) -> Configuration:
    """One configuration from a file, flags and `--set audit.option=value` settings.

    Args:
        file: a TOML file, or None.
        flags: values of the flags that were given; those that were not are absent.
        settings: "fairness.max_gap=0.05"; values are read as TOML, else taken as text.
    Raises: OptionUnfit for broken TOML (with its line), an unknown key (with its nearest neighbour) or a value that
        does not fit.
    """
    written = read_toml(file, flag="--config") if file else {}
    audits = {name: dict(options) for name, options in written.pop("audits", {}).items()}
    section = written.pop("audit", {})
    if written:
        raise OptionUnfit(
            f"{file}: there is no section {next(iter(written))!r}; there are audit, audits",
            mend="put it under [audit] or [audits.NAME]",
        )
    for name, options in flags.get("audits", {}).items():  # from Python
        audits.setdefault(name, {}).update(options)
    for setting in settings:
        name, option, value = _setting(setting)
        audits.setdefault(name, {})[option] = value
    where = str(file) if file else "the command line"
    return checked(Configuration, {**section, **flags, "audits": audits}, where=where)


def options_of(plugin: Plugin, configuration: Configuration) -> Options:
    """The typed options of one audit: its defaults, the profile's, then the user's.

    Raises: OptionUnfit for an unknown option (with its nearest neighbour) or a value that does not fit.
    """
    given = configuration.audits.get(plugin.id, {})
    values = {**plugin.profiles.get(configuration.profile, {}), **given}
    return checked(plugin.options, values, where=f"audits.{plugin.id}")


def _setting(text: str) -> tuple[str, str, Any]:
    path, equals, value = text.partition("=")
    name, dot, option = path.strip().partition(".")
    if not (equals and dot and name and option):
        raise OptionUnfit(
            f"--set {text!r} is not of the form AUDIT.OPTION=VALUE", mend="--set fairness.minimum_group_rows=50"
        )
    try:
        return name, option, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return name, option, value.strip()
