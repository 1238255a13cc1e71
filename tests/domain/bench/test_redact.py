"""Secrets stay out of reports; the rest stays readable."""

import msgspec
import pytest

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.redact import HIDDEN, redacted_plan, redacted_text, redacted_url
from steelyard.testing.journals import fake_plan

SECRET = "sk-verysecret"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"got header authorization={SECRET}",
        f"steelyard profile --api-key {SECRET} -m x",
        f"steelyard profile --api-key={SECRET}",
        f"steelyard profile --header 'X-Api-Key: {SECRET}'",
        f"refused: basic {SECRET}",
        f"steelyard profile --endpoint '/v1/chat?api_key={SECRET}' -m x",
    ],
)
def test_a_secret_in_a_text_is_hidden(text):
    shown = redacted_text(text)
    assert SECRET not in shown
    assert HIDDEN in shown


def test_a_text_without_secrets_stays_as_it_is():
    text = "steelyard profile -m llama --tokenizer builtin --osl 64 --concurrency 8"
    assert redacted_text(text) == text


def test_user_and_password_leave_the_url_and_nothing_else_does():
    assert redacted_url(f"https://me:{SECRET}@host:8443/v1?x=1") == "https://host:8443/v1?x=1"
    assert redacted_url("http://[::1]:80/a@b") == "http://[::1]:80/a@b"


@pytest.mark.parametrize("name", ["key", "api-key", "sig", "access_token", "X-Amz-Credential"])
def test_a_secret_in_a_querys_value_is_hidden(name):
    url = f"https://host/v1?a=1&{name}={SECRET}&tokenizer=x#end"
    assert redacted_url(url) == f"https://host/v1?a=1&{name}={HIDDEN}&tokenizer=x#end"


def test_a_plan_hides_users_and_keys_wherever_a_url_stands():
    plan = {"track": {"options": {"mlflow": {"tracking_uri": f"http://me:{SECRET}@h:5000"}}},
            "endpoint": {"path": f"/v1/chat?api_key={SECRET}"}}  # fmt: skip
    shown = redacted_plan(plan)
    assert shown["track"]["options"]["mlflow"]["tracking_uri"] == "http://h:5000"
    assert shown["endpoint"]["path"] == f"/v1/chat?api_key={HIDDEN}"


def test_a_plan_is_shown_without_its_secrets():
    plan = fake_plan(
        "/x",
        endpoint=EndpointPlan(
            urls=(f"http://u:{SECRET}@127.0.0.1:1",),
            headers=(("X-Api-Key", SECRET), ("X-Team", "blue")),
            extra_inputs={"session_token": SECRET, "temperature": 0, "max_tokens": 5},
            api_key_env="OPENAI_API_KEY",
        ),
        command_line=f"steelyard profile --api-key {SECRET}",
    )
    shown = redacted_plan(msgspec.to_builtins(plan))
    assert SECRET not in msgspec.json.encode(shown).decode()
    endpoint = shown["endpoint"]
    assert endpoint["headers"] == [["X-Api-Key", HIDDEN], ["X-Team", "blue"]]
    assert endpoint["extra_inputs"]["max_tokens"] == 5
    assert endpoint["api_key_env"] == "OPENAI_API_KEY"
    assert shown["dataset"]["tokenizer"] == "builtin"
