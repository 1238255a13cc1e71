"""What things may be called."""

import pytest

from steelyard.domain.track.names import (
    NAME_MAX,
    check_artifact_name,
    check_name,
    check_names,
    check_run_id,
)
from steelyard.kernel.errors import UsageError


@pytest.mark.parametrize("name", ["loss", "val/loss", "größe", "a b", "x" * NAME_MAX])
def test_a_name_is_nearly_any_text(name):
    assert check_name(name, "metric") == name


@pytest.mark.parametrize("name", ["", "a\nb", "\x00", "x" * (NAME_MAX + 1), "\udc80", 3, None])
def test_a_name_that_can_not_be_used_is_refused(name):
    with pytest.raises(UsageError, match="The name of a metric"):
        check_name(name, "metric")


def test_the_error_has_the_right_article_and_not_ten_thousand_letters():
    with pytest.raises(UsageError, match="The name of an artifact"):
        check_name("", "artifact")
    with pytest.raises(UsageError) as caught:
        check_name("x" * 10_000, "metric")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("given", [["a"], "a", 3, {3: "x"}, {"": "x"}])
def test_tags_without_names_are_refused(given):
    with pytest.raises(UsageError, match="tag"):
        check_names(given, "tag")
    assert check_names(None, "tag") == {}


@pytest.mark.parametrize(("given", "name"), [("m.bin", "m.bin"), ("a//b/./c", "a/b/c")])
def test_an_artifact_is_named_by_a_relative_path(given, name):
    assert check_artifact_name(given) == name


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\b", ".", "/"])
def test_an_artifact_stays_among_the_artifacts(name):
    with pytest.raises(UsageError, match="The name of an artifact"):
        check_artifact_name(name)


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden", "x" * 200, None])
def test_a_run_id_does_as_a_directory(run_id):
    with pytest.raises(UsageError, match="A run's id"):
        check_run_id(run_id)
