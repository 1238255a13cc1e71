"""Whole runs of the endpoints that are no chat, and of every dataset, on the simulated server."""

import json

import pytest
from acceptance_runs import mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

COUNT = ("--request-count", "12", "--concurrency", "2", "--run-type", "inline")


@pytest.fixture(scope="module")
def server():
    with mock_server("--ttft-ms", "5", "--itl-ms", "1", "--tokens", "4") as url:
        yield url


def answered(done, requests=12):
    """Return the rows of a run of which each request was answered."""
    assert done.process.returncode in {0, 1}, done.err
    assert [(row["status"], row["error_kind"]) for row in done.rows] == [(200, "none")] * requests
    assert done.summary["metrics"]["request_latency"]["min"] >= 5
    return done.rows


@pytest.mark.parametrize("endpoint", ["embeddings", "nim_embeddings", "chat_embeddings"])
def test_embeddings_have_input_and_no_output(server, tmp_path, endpoint):
    """The server's usage counts the input; nothing was generated, so nothing is counted."""
    done = run(server, tmp_path, "--endpoint-type", endpoint, "--isl", "20", *COUNT)
    rows = answered(done)
    assert {(row["input_tokens"], row["output_tokens"]) for row in rows} == {(20, 0)}
    assert {row["token_provenance"] for row in rows} == {"server_usage"}


@pytest.mark.parametrize("endpoint", ["nim_rankings", "cohere_rankings", "hf_tei_rankings"])
def test_rankings_get_queries_and_passages_by_themselves(server, tmp_path, endpoint):
    """Three passages of six tokens and a query of four are 22 tokens."""
    flags = ("--rankings-passages-mean", "3", "--rankings-passages-prompt-token-mean", "6",
             "--rankings-query-prompt-token-mean", "4")  # fmt: skip
    rows = answered(run(server, tmp_path, "--endpoint-type", endpoint, *flags, *COUNT))
    assert {row["input_tokens"] for row in rows} == {22}


@pytest.mark.parametrize("streaming", [True, False])
def test_a_template_makes_the_body_of_a_server_it_knows(server, tmp_path, streaming):
    """The user's template asks for completions; the answer's text is found by the query."""
    template = tmp_path.resolve() / "body.jinja"
    template.write_text(
        '{"model": {{ model|tojson }}, "prompt": {{ text|tojson }}, "stream": {{ stream|tojson }}}'
    )
    flags = ["--endpoint-type", "template", "--endpoint", "/v1/completions", "--isl", "9",
             "--extra-inputs", f"payload_template={template}",
             "--extra-inputs", "response_field:choices[0].text", *COUNT]  # fmt: skip
    done = run(server, tmp_path / "run", *flags, *["--streaming"] * streaming)
    rows = answered(done)
    assert {row["output_tokens"] for row in rows} == {4}
    assert (done.summary["metrics"]["time_to_first_token"]["count"] == 12) is streaming


def test_a_wrong_template_ends_the_run_before_it_sends(server, tmp_path):
    """The error says what a template must be."""
    flags = ("--endpoint-type", "template", "--extra-inputs", 'payload_template:{"q": {{ tex }}}')
    done = run(server, tmp_path, *flags, *COUNT)
    assert done.process.returncode == 2
    assert "'tex' is undefined" in done.err
    assert "Traceback" not in done.err


def test_raw_payloads_arrive_as_they_were_written(server, tmp_path):
    """Each line of the file is a body: the server sees its limit, not ours."""
    path = tmp_path / "bodies.jsonl"
    path.write_text("".join(
        json.dumps({"model": "m", "prompt": "a b c", "max_tokens": tokens}) + "\n"
        for tokens in (1, 2, 3)
    ))  # fmt: skip
    flags = ("--endpoint-type", "raw", "--endpoint", "/v1/completions", "--osl", "4")
    done = run(server, tmp_path / "run", *flags, "--input-file", str(path), *COUNT)
    rows = answered(done)
    assert sorted(row["output_tokens"] for row in rows) == [1] * 4 + [2] * 4 + [3] * 4
    assert {row["input_tokens"] for row in rows} == {3}


def test_a_trace_repeats_its_prefixes(server, tmp_path):
    """Lengths are those of the trace; type and tokens need no flag, nor need its times be kept."""
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(
        json.dumps({"timestamp": 10 * n, "input_length": 530 + n, "output_length": 2 + n,
                    "hash_ids": [0, n]}) + "\n"
        for n in range(3)
    ))  # fmt: skip
    rows = answered(run(server, tmp_path / "run", "--input-file", str(path), *COUNT,
                        "--no-fixed-schedule"))  # fmt: skip
    assert {row["input_tokens"] for row in rows} == {530, 531, 532}


def test_a_pool_is_drawn_from(server, tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    for name, text in (("a.txt", "one two\nthree four five\n"), ("b.txt", "six\n")):
        (folder / name).write_text(text)
    flags = ("--endpoint-type", "embeddings", "--input-file", str(folder), *COUNT)
    rows = answered(run(server, tmp_path / "run", *flags))
    assert {row["input_tokens"] for row in rows} == {3, 4}
