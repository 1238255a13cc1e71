"""`steelyard report` as a person meets it."""

import json

import pytest

from steelyard.testing.journals import answered, fake_plan, record_batch, refused, write_journal


@pytest.fixture
def killed_run(tmp_path):
    directory = tmp_path / "run"
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(100)]
    write_journal(directory, fake_plan(directory), [record_batch(rows)], status=None)
    return directory


def test_a_killed_run_is_reported_whole_from_its_journal(steelyard, killed_run):
    code, out, err = steelyard("report", str(killed_run))
    assert (code, err) == (0, "")
    assert "Verdict: SUSPECT" in out
    assert "interrupted: The journal just ends" in out
    for suffix in ("json", "csv", "jsonl", "parquet"):
        assert (killed_run / f"profile_export.{suffix}").stat().st_size > 0


def test_a_piped_page_has_no_trailing_spaces_and_no_folded_lines(
    steelyard, killed_run, monkeypatch
):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = steelyard("report", str(killed_run))[1].splitlines()
    assert not [line for line in lines if line != line.rstrip()]
    (cause,) = [line for line in lines if "interrupted:" in line]
    assert cause.endswith("Run again to its end for figures of the whole load.")
    assert lines[0].endswith(", interrupted")


def test_json_is_all_that_is_printed(steelyard, killed_run):
    code, out, _ = steelyard("report", str(killed_run), "--json")
    document = json.loads(out)
    assert code == 0
    assert document == json.loads((killed_run / "profile_export.json").read_text())
    assert document["metrics"]["time_to_first_token"]["p50"] == 20


def test_only_what_is_asked_for_is_written(steelyard, killed_run):
    code, _, _ = steelyard("report", str(killed_run), "--export", "csv,json")
    assert code == 0
    written = {path.name for path in killed_run.iterdir()}
    assert written == {"journal", "profile_export.csv", "profile_export.json"}


def test_an_invalid_run_fails_the_report_too(steelyard, tmp_path):
    directory = tmp_path / "bad"
    batch = record_batch([refused(0, start_ms=0)])
    write_journal(directory, fake_plan(directory), [batch])
    code, out, _ = steelyard("report", str(directory))
    assert code == 1
    assert "all_failed" in out


def test_mistakes_are_met_with_the_next_step(steelyard, killed_run):
    code, _, err = steelyard("report", str(killed_run), "--export", "parqet")
    assert (code, "Did you mean 'parquet'?" in err) == (3, True)
    code, _, err = steelyard("report", str(killed_run / "journal"))
    assert (code, f"Try: steelyard report {killed_run}" in err) == (2, True)
    code, _, err = steelyard("report", str(killed_run / "nowhere"))
    assert (code, "There is no directory" in err) == (2, True)


def test_outputs_that_cannot_be_written_are_an_error(steelyard, killed_run):
    """Something lies where a file should be: exit 2, one line, the others are written."""
    (killed_run / "profile_export.csv").mkdir()
    code, out, err = steelyard("report", str(killed_run))
    assert code == 2
    assert "Verdict: SUSPECT" in out
    first, second = err.splitlines()
    assert first.startswith("error: not written: csv: Can't write ")
    assert second == f"Once that is mended: steelyard report {killed_run}"
    assert (killed_run / "profile_export.json").is_file()
