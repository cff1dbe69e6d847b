"""Options: a flag wins over the file, the file over the default; what is unknown is answered with its neighbour."""

from __future__ import annotations

import pytest

from audit.configuration import configuration, options_of
from audit.plugin import plugin_of
from core_model.errors import OptionUnfit
from tests.audit.plugins import reliability


def written(tmp_path, text):
    path = tmp_path / "aboveboard.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = written(tmp_path, '[audit]\nprofile = "quick"\nseed = 3\n')
    made = configuration(file=file, flags={"seed": 4})
    assert (made.profile, made.seed, made.out) == ("quick", 4, "audit-out")


def test_broken_toml_is_answered_with_its_line(tmp_path):
    file = written(tmp_path, '[audit]\nprofile = "quick"\nseed = = 3\n')
    with pytest.raises(OptionUnfit, match=r"aboveboard\.toml is not TOML: .*line 3"):
        configuration(file=file, flags={})


def test_an_unknown_key_is_answered_with_its_nearest_neighbour(tmp_path):
    with pytest.raises(OptionUnfit) as caught:
        configuration(file=written(tmp_path, '[audit]\nprofil = "quick"\n'), flags={})
    assert "profil" in caught.value.found and "profile" in caught.value.mend


def test_an_unknown_section_is_refused(tmp_path):
    with pytest.raises(OptionUnfit, match="'audi'"):
        configuration(file=written(tmp_path, "[audi]\n"), flags={})


def test_an_unknown_profile_names_the_profiles():
    with pytest.raises(OptionUnfit, match=r"quick.*standard.*full"):
        configuration(file=None, flags={"profile": "fast"})


def test_options_of_an_audit_come_from_file_and_settings(tmp_path):
    file = written(tmp_path, "[audits.reliability]\nvalue = 0.1\n")
    plugin = plugin_of(reliability)
    assert options_of(plugin, configuration(file=file, flags={})).value == 0.1
    made = configuration(file=file, flags={}, settings=["reliability.value=0.2"])
    assert options_of(plugin, made).value == 0.2


def test_an_unknown_option_of_an_audit_is_answered_with_its_neighbour():
    made = configuration(file=None, flags={}, settings=["reliability.valu=0.2"])
    with pytest.raises(OptionUnfit) as caught:
        options_of(plugin_of(reliability), made)
    assert "'valu'" in caught.value.found and caught.value.mend.startswith("value")


def test_an_option_that_does_not_fit_says_what_it_means():
    made = configuration(file=None, flags={}, settings=["reliability.value=high"])
    with pytest.raises(OptionUnfit, match="claims to have measured"):
        options_of(plugin_of(reliability), made)


def test_a_setting_of_another_form_is_refused():
    with pytest.raises(OptionUnfit, match=r"AUDIT\.OPTION=VALUE"):
        configuration(file=None, flags={}, settings=["value=3"])


def test_a_missing_configuration_file_is_named(tmp_path):
    with pytest.raises(OptionUnfit, match=r"none\.toml"):
        configuration(file=tmp_path / "none.toml", flags={})


def test_options_of_an_audit_from_python_are_not_dropped(tmp_path):
    file = written(tmp_path, "[audits.reliability]\nvalue = 0.1\n")
    made = configuration(file=file, flags={"audits": {"reliability": {"value": 0.3}}})
    assert options_of(plugin_of(reliability), made).value == 0.3
    with pytest.raises(OptionUnfit):
        options_of(plugin_of(reliability), configuration(file=None, flags={"audits": {"reliability": {"valu": 1}}}))
