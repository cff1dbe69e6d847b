"""Promises of the flags that say how a model learns: each reaches its option, and help shows it under a heading."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from audit.commands.option_groups import OTHERS, grouped
from audit.commands.train import train
from audit.commands.training_arguments import FLAGS, read_values, training_options
from core_model.errors import OptionUnfit
from core_model.training_options import TrainingOptions

NOT_OPTIONS = {"resume"}


@click.command()
@training_options
def told(**flags: object) -> None:
    click.echo(
        TrainingOptions(**{k: v for k, v in read_values(flags).items() if k not in NOT_OPTIONS}).model_dump_json()
    )


def options_of(*arguments: str) -> TrainingOptions:
    result = CliRunner().invoke(told, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return TrainingOptions.model_validate_json(result.output)


def test_every_flag_is_an_option_and_every_option_a_flag():
    names = {parameter.name for parameter in told.params} - NOT_OPTIONS
    assert names <= set(TrainingOptions.model_fields)
    own = set(TrainingOptions.model_fields) - {"task"}
    assert own <= {parameter.name for parameter in train.params}


def test_words_become_values():
    assert options_of("--adapters", "4", "--adapter-targets", "query, value").adapter_targets == ("query", "value")
    assert options_of("--class-weights", "no=1,yes=5").class_weights == {"no": 1.0, "yes": 5.0}
    assert options_of("--class-weights", "balanced").class_weights == "balanced"
    assert options_of("--clip-norm", "0").clip_norm is None
    assert options_of().clip_norm == 1.0


def test_class_weights_that_cannot_be_read_are_refused():
    with pytest.raises(OptionUnfit, match="--class-weights balanced"):
        options_of("--class-weights", "yes")


def test_help_shows_each_group_under_its_heading():
    said = CliRunner().invoke(train, ["--help"]).output
    places = [said.index(f"\n{heading}:\n") for heading in (OTHERS, *FLAGS, "Mitigations")]
    assert places == sorted(places)
    optimizer = said[said.index("\nOptimizer, rate:") : said.index("\nRegularization:")]
    assert "--schedule" in optimizer
    assert "--dropout" not in optimizer


def test_an_option_without_a_group_stands_with_the_others():
    @click.command(cls=grouped({"Colours": [click.option("--red")]}))
    @click.option("--red")
    @click.option("--size")
    def paint(**flags: object) -> None: ...

    others, colours = CliRunner().invoke(paint, ["--help"]).output.split("Colours:")
    assert "--size" in others
    assert "--red" in colours
