"""No secret gets into a run, and its name does."""

import logging

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.failures import TEXT_MAX, failure_of
from steelyard.app.track.secrecy import Secrecy
from steelyard.kernel.errors import UsageError
from steelyard.kernel.secrets import REDACTED

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def bytes_of(experiment):
    """Return all that lies in a run's directory."""
    return b"".join(p.read_bytes() for p in experiment.directory.rglob("*") if p.is_file())


def test_parameters_and_tags_keep_the_names_of_secrets_and_not_their_values():
    with Experiment(
        "e", tags={"api_key": "hunter2!"}, params={"db": {"password": "s3same"}}
    ) as run:
        run.log_params({"opt": {"lr": 0.1, "max_tokens": 5}, "note": f"with {TOKEN}"})
        run.set_tags(hf_token="abc-def-ghi", team="vision")
    kept = run.snapshot()
    assert kept.params == {
        "db.password": REDACTED, "opt.lr": 0.1, "opt.max_tokens": 5, "note": f"with {REDACTED}",
    }  # fmt: skip
    assert kept.tags == {"api_key": REDACTED, "hf_token": REDACTED, "team": "vision"}
    for secret in ("hunter2!", "s3same", TOKEN, "abc-def-ghi"):
        assert secret.encode() not in bytes_of(run)


def test_what_was_hidden_is_counted_and_said_once(caplog):
    with caplog.at_level(logging.WARNING), Experiment("e") as run:
        run.log_params({"password": "one", "lr": 0.1})
        run.log_params({"api_key": "two", "secret": "three"})
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "'password'" in told[0]
    assert run._secrecy.hidden == 3


def test_what_only_looks_like_a_secret_can_be_said_to_be_none():
    with Experiment("e", not_secret=["token", "model.*"]) as run:
        run.log_params({"token": "the", "model": {"key_secret": "shape"}, "password": "x"})
    assert run.snapshot().params == {
        "token": "the", "model.key_secret": "shape", "password": REDACTED,
    }  # fmt: skip
    with pytest.raises(UsageError, match="not_secret has names"):
        Experiment("e", not_secret=[3])


def test_an_exception_is_kept_without_secrets_of_the_environment_and_of_its_own(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "open sesame")
    with pytest.raises(RuntimeError), Experiment("e") as run:
        raise RuntimeError(f"401 for open sesame at https://me:pw12345@host/x with Bearer {TOKEN}")
    failure = run.snapshot().failure
    for secret in ("open sesame", "pw12345", TOKEN):
        assert secret not in failure.message
        assert secret not in failure.traceback
    assert failure.message.startswith(f"401 for {REDACTED} at https://{REDACTED}@host/x")


def test_an_exception_that_can_not_say_what_it_means_is_kept_all_the_same():
    class OddError(Exception):
        def __str__(self):
            raise ValueError("odd")

    failure = failure_of(OddError())
    assert failure.type.endswith("OddError")
    assert "failed to say what it means: ValueError: odd" in failure.message


def test_an_exception_longer_than_a_journal_takes_keeps_both_ends():
    failure = failure_of(ValueError("begin " + "x " * TEXT_MAX + " end \udc80"))
    assert failure.message.startswith("begin")
    assert failure.message.endswith("end \\udc80")
    assert "characters left out" in failure.message
    assert len(failure.message) < TEXT_MAX + 100


def test_nan_is_not_hidden():
    secrecy = Secrecy()
    assert str(secrecy.shown({"lr": float("nan")}, "parameters")) == "{'lr': nan}"
    assert secrecy.hidden == 0


@pytest.mark.parametrize("tags", [["a"], "a", {"": "x"}])
def test_tags_without_names_are_refused_at_once(tags):
    with pytest.raises(UsageError, match="tag"):
        Experiment("e", tags=tags)


def test_a_name_that_the_index_could_not_hold_is_refused_and_the_run_goes_on():
    with Experiment("e") as run:
        for name in ("x" * 10_001, "a\0b", "\udc80"):
            for log in (lambda n: run.log_metric(n, 1.0), lambda n: run.log_metrics({n: 1.0})):
                with pytest.raises(UsageError, match="The name of a metric"):
                    log(name)
        run.log_metric("m", 1.0, 2**62)
        with pytest.raises(UsageError, match="A step"):
            run.log_metric("m", 1.0, 2**64)
        run.log_params({"file": "caf\udce9"})
        run.set_tags(file="caf\udce9")
    kept = run.snapshot()
    assert kept.unwritten == 0
    assert (kept.params["file"], kept.tags["file"]) == ("caf\\udce9", "caf\\udce9")
    assert kept.metrics["m"].last_step == 2**62
