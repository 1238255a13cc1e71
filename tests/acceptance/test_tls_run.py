"""`steelyard profile` against an https server: trusted, not trusted, and not checked."""

import json

import pytest
import trustme
from acceptance_runs import mock_server, run
from relay import relay

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

FLAGS = ("--endpoint-type", "chat", "--isl", "20", "--osl", "8", "--streaming",
         "--concurrency", "4", "--request-count", "60")  # fmt: skip
UNREACHABLE = 4


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def plain():
    with mock_server("--ttft-ms", "5", "--itl-ms", "1") as url:
        yield url


@pytest.fixture(scope="module")
def server(authority, plain, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tls") / "server.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    with relay(plain, "tls", path) as url:
        yield url


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.parametrize("run_type", ["inline", "process"])
def test_a_trusted_server_is_measured(server, ca_file, tmp_path, run_type):
    """Kernel stamps, full counts and no note, wherever the worker runs."""
    done = run(server, tmp_path, *FLAGS, "--ca-file", ca_file, "--run-type", run_type)
    assert done.process.returncode in {0, 1}, done.err
    assert done.summary["metrics"]["request_count"]["avg"] == 60
    assert done.summary["metrics"]["time_to_first_token"]["min"] >= 5
    assert done.summary["errors"] == []
    assert {row["stamp_source"] for row in done.rows} == {"kernel"}
    assert not any("certificates" in note for note in done.summary["run"]["notes"])


def test_an_untrusted_server_is_refused_before_the_run(server, tmp_path):
    """The message says that it is TLS, what is wrong, and what to do."""
    done = run(server, tmp_path, *FLAGS)
    assert done.process.returncode == UNREACHABLE
    assert "tls: the server's certificate is not trusted" in done.err
    assert "--ca-file" in done.err
    assert not (tmp_path / "profile_export.json").exists()


def test_an_untrusted_server_among_others_fails_its_requests(server, plain, tmp_path):
    """Half of them, each a record of kind tls; the rest are measured."""
    done = run("", tmp_path, *FLAGS, "-u", f"{plain},{server}")
    (error,) = done.summary["errors"]
    assert (error["kind"].lower(), error["count"]) == ("tls", 30)
    assert "not trusted" in error["example"]
    assert done.summary["metrics"]["request_count"]["avg"] == 30


def test_insecure_runs_and_says_so(server, tmp_path):
    """On the page and in the file."""
    done = run(server, tmp_path, *FLAGS, "--insecure")
    assert done.summary["metrics"]["request_count"]["avg"] == 60
    (note,) = [note for note in done.summary["run"]["notes"] if "certificates" in note]
    assert "--insecure" in note
    assert "TLS certificates were not checked" in done.out


def test_a_bundle_that_is_none_is_a_mistake_in_usage(server, tmp_path):
    """Exit code 2, and the file is named."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text(json.dumps({}))
    done = run(server, tmp_path / "run", *FLAGS, "--ca-file", str(wrong))
    assert done.process.returncode == 2
    assert str(wrong) in done.err


def test_a_unix_socket_is_measured(tmp_path, plain):
    """Stamped in user space, which its rows say."""
    with relay(plain, "unix", str(tmp_path / "s.sock")) as url:
        done = run(url, tmp_path / "run", *FLAGS)
    assert done.summary["metrics"]["request_count"]["avg"] == 60
    assert {row["stamp_source"] for row in done.rows} == {"user"}
