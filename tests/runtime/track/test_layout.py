"""Where things lie in a store of runs."""

import pytest

from steelyard.runtime.track.layout import RunPlace, Store


@pytest.mark.parametrize(
    ("directory", "environ", "root"),
    [
        (None, {}, ".steelyard"),
        (None, {"STEELYARD_TRACK_DIR": "team"}, "team"),
        ("mine", {"STEELYARD_TRACK_DIR": "team"}, "mine"),
        (None, {"STEELYARD_TRACK_DIR": ""}, ".steelyard"),
    ],
)
def test_a_store_is_the_callers_the_environments_or_the_default(
    tmp_path, monkeypatch, directory, environ, root
):
    monkeypatch.chdir(tmp_path)
    assert Store.of(directory, environ).root == tmp_path / root


def test_only_directories_with_a_journal_are_runs(store, make_run, tmp_path):
    make_run("b")
    make_run("a")
    (store.runs / "notes").mkdir()
    (store.runs / "file").write_text("")
    (tmp_path / "artifacts" / "bench" / "journal").mkdir(parents=True)
    assert [(place.path.name, place.is_bench) for place in store.places()] == [
        ("a", False), ("b", False), ("bench", True),
    ]  # fmt: skip


def test_a_store_that_is_not_there_has_no_runs(tmp_path):
    assert list(Store(tmp_path / "none").places()) == []


def test_a_fingerprint_changes_with_what_is_in_the_run(store, make_run):
    writer = make_run("a", status=None)
    place = RunPlace(store.place("a").path)
    before = place.fingerprint()
    assert place.fingerprint() == before
    writer.metrics(0, {"m": 1.0})
    assert place.fingerprint() != before
