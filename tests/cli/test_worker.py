"""`steelyard worker secrets` hands keys on, and shows them to nobody."""

import sys

import yaml


def test_keys_are_printed_for_a_pipe(steelyard):
    code, out, _ = steelyard("worker", "secrets", "run", "--workers", "2", "--namespace", "bench")
    assert code == 0
    made = list(yaml.safe_load_all(out))
    assert [each["metadata"]["name"] for each in made] == [
        "run-controller-join", "run-worker-join",
    ]  # fmt: skip
    assert {each["metadata"]["namespace"] for each in made} == {"bench"}


def test_keys_are_not_shown_on_a_terminal(steelyard, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = steelyard("worker", "secrets", "run", "--workers", "2")
    assert (code, out) == (2, "")
    assert "Keys are not shown on a terminal" in err


def test_a_run_without_workers_has_no_keys(steelyard):
    code, out, err = steelyard("worker", "secrets", "run", "--workers", "0")
    assert (code, out) == (2, "")
    assert "--workers 1 or more" in err


def test_a_worker_without_a_join_says_where_one_comes_from(steelyard, monkeypatch):
    monkeypatch.delenv("STEELYARD_JOIN", raising=False)
    code, _, err = steelyard("worker", "--wait", "1")
    assert code == 2
    assert "--join-file FILE" in err
