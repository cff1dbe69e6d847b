"""A plug-in that does not fit is refused when it is registered, by its name and by what does not fit."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from audit.plugin import Evidence, Options, audit, plugin_of
from audit.registry import installed, registry_of
from core_model.errors import BrokenPlugin, OptionUnfit


class SomeOptions(Options):
    pass


def test_a_wrong_argument_is_named():
    with pytest.raises(BrokenPlugin, match=r"'mine'.*'checkpoint' does not fit"):

        @audit(concern="mine")
        def mine(checkpoint, options: SomeOptions, random: np.random.Generator) -> Evidence: ...


def test_a_missing_argument_is_counted():
    with pytest.raises(BrokenPlugin, match="it takes 2 arguments"):

        @audit(concern="mine")
        def mine(subject, options: SomeOptions) -> Evidence: ...


def test_options_that_are_no_options_are_refused():
    with pytest.raises(BrokenPlugin, match="not a subclass of Options"):

        @audit(concern="mine")
        def mine(subject, options: dict, random: np.random.Generator) -> Evidence: ...


def test_something_undecorated_is_no_plugin():
    with pytest.raises(BrokenPlugin, match="not decorated"):
        plugin_of(print)


def test_an_entry_point_that_does_not_load_is_kept_with_its_reason():
    registry = registry_of([EntryPoint("lost", "no_such_module:lost", "aboveboard.audits")])
    assert registry.plugins == ()
    assert registry.broken[0].id == "lost" and "no_such_module" in registry.broken[0].reason


def test_two_packages_that_offer_one_audit_are_both_refused():
    twice = [EntryPoint("reliability", "tests.audit.plugins:reliability", "aboveboard.audits")] * 2
    registry = registry_of(twice)
    assert registry.plugins == () and "two packages" in registry.broken[0].reason


def test_an_entry_point_of_another_name_is_refused():
    registry = registry_of([EntryPoint("other", "tests.audit.plugins:reliability", "aboveboard.audits")])
    assert "'reliability'" in registry.broken[0].reason


def test_an_unknown_audit_is_answered_with_its_nearest_neighbour():
    with pytest.raises(OptionUnfit) as caught:
        installed().only(["fairnes"])
    assert caught.value.mend == "--only fairness"


def test_the_four_concerns_of_this_package_are_installed():
    registry = installed()
    assert {"evaluability", "generalization", "fairness", "emissions"} <= {p.id for p in registry.plugins}
    assert [b for b in registry.broken if b.distribution == "aboveboard"] == []
