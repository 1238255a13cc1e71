"""What is a secret by its value or its place, and what only looks like one."""

import base64
import hashlib
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.kernel.secrets import (
    REDACTED,
    is_secret,
    known_secrets,
    looks_random,
    redacted,
    scrubbed,
)


def drawn(length, alphabet=string.ascii_letters + string.digits, seed=7):
    """Return a random text that is the same each time; in no file does it look like a token."""
    return "".join(random.Random(seed).choices(alphabet, k=length))  # noqa: S311  no secret


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
B64 = string.ascii_letters + string.digits + "-_"
# Put together here, so that this file holds nothing that a scanner would stop at.
TOKENS = {
    "openai": "sk-" + drawn(48),
    "openai project": "sk-proj-" + drawn(60, B64),
    "anthropic": "sk-ant-api03-" + drawn(80, B64),
    "openrouter": "sk-or-v1-" + drawn(64, HEX),
    "github": "ghp_" + drawn(36),
    "github app": "ghs_" + drawn(36),
    "github fine": "github_pat_" + drawn(22) + "_" + drawn(59),
    "gitlab": "glpat-" + drawn(20, B64),
    "hugging face": "hf_" + drawn(34),
    "slack bot": "xoxb-" + "123456789012-" + drawn(24),
    "slack app": "xapp-1-" + drawn(20, UPPER),
    "aws key id": "AKIA" + drawn(16, UPPER),
    "aws temporary": "ASIA" + drawn(16, UPPER),
    "google": "AIza" + drawn(35, B64),
    "google oauth": "ya29." + drawn(60, B64),
    "google client": "GOCSPX-" + drawn(28, B64),
    "jwt": ".".join(("eyJ" + drawn(20, B64), "eyJ" + drawn(60, B64), drawn(43, B64))),
    "npm": "npm_" + drawn(36),
    "pypi": "pypi-" + drawn(90, B64),
    "stripe": "sk_" + "live_" + drawn(24),
    "stripe webhook": "whsec_" + drawn(32),
    "sendgrid": "SG." + drawn(22, B64) + "." + drawn(43, B64),
    "digital ocean": "dop_v1_" + drawn(64, HEX),
    "databricks": "dapi" + drawn(32, HEX),
    "grafana": "glsa_" + drawn(32) + "_" + drawn(8, HEX),
    "replicate": "r8_" + drawn(37),
    "groq": "gsk_" + drawn(52),
    "nvidia": "nvapi-" + drawn(64, B64),
    "xai": "xai-" + drawn(80),
    "langsmith": "lsv2_" + "pt_" + drawn(32, HEX) + "_" + drawn(10, HEX),
    "vault": "hvs." + drawn(90, B64),
    "shopify": "shpat_" + drawn(32, HEX),
    "telegram": "123456789:AA" + drawn(33, B64),
    "docker": "dckr_pat_" + drawn(27, B64),
    "base62": drawn(40),
    "base64": base64.b64encode(hashlib.sha512(b"x").digest()).decode(),
    "urlsafe": drawn(43, B64, 3),
    "pem": "-----BEGIN RSA PRIVATE KEY-----\n" + drawn(64) + "\n-----END RSA PRIVATE KEY-----",
    "pem cut off": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + drawn(64),
    "pgp": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n" + drawn(64),
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=list(TOKENS))
def test_a_token_is_found_alone_and_in_a_sentence_under_a_name_that_says_nothing(token):
    assert redacted("note", token) == REDACTED
    sentence = scrubbed(f"the server said '{token}', and no more")
    assert sentence == f"the server said '{REDACTED}', and no more" or "PRIVATE KEY" in token
    assert token not in sentence


# Where a secret stands tells what it is; `{}` is a secret that looks like nothing.
PLACES = """
    docker login -u me -p {} registry.example
    sshpass -p {} ssh host
    mysql -u root -p{} db
    machine host login me password {}
    Authorization: Bearer {}
    authorization=Bearer {}
    {{"Authorization": "Bearer {}"}}
    {{'X-Api-Key': '{}', 'n': 1}}
    curl -H "Authorization: Basic {}" http://localhost
    refused: bearer {}
    steelyard profile --api-key {} -m x
    steelyard profile --api-key={}
    steelyard profile --hf-token '{}' --url x
    python train.py --db-password "{}"
    steelyard profile --header 'X-Api-Key: {}'
    got header cookie: session={}
    OPENAI_API_KEY={} python train.py
    export HF_TOKEN="{}"
    password={}
    password: {}
    login failed (user=me, password={})
    Client(api_key='{}')
    Client(token="{}", retries=3)
    https://me:{}@example.org/v1
    https://{}@example.org/v1
    postgresql://me:{}@db:5432/runs
    postgres://me:a/b{}@db/runs
    redis://:{}@localhost:6379/0
    mongodb+srv://root:{}@cluster.example.org
    amqp://guest:{}@mq
    Server=db;Database=x;User Id=sa;Password={};
    DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};
    Endpoint=sb://x.example.org/;SharedAccessKeyName=k;SharedAccessKey={}
    host=db user=me password={} dbname=x
    https://x.example.org/blob?sv=2022&sig={}
    https://x.example.org/o?X-Amz-Credential={}
    https://x.example.org/o?a=1&X-Amz-Signature={}&b=2
    https://x.example.org/o?access_token={}
    wss://x.example.org/?token={}
    https://hooks.example.org/services/T0001/B0001/{}
    https://example.org/api/webhooks/123456/{}
    client_secret: "{}"
    {{"password": "one\\"{}"}}
    {{'password': 'one\\'{}'}}
    "{{\\"password\\": \\"{}\\"}}"
    cut off: {{"password": "{}
    curl -u me:{} http://localhost
    curl --user=me:{} http://localhost
    secrets.openai={}
    secret_key = '{}'
""".strip().splitlines()  # fmt: skip


@pytest.mark.parametrize("place", [place.strip() for place in PLACES])
@pytest.mark.parametrize("secret", ["hunter2hunter", "Tr0ub4dor-and-3"])
def test_where_a_secret_stands_tells_what_it_is(place, secret):
    shown = scrubbed(place.format(secret))
    assert secret not in shown
    assert REDACTED in shown
    assert scrubbed(shown) == shown


DIGESTS = {kind: hashlib.new(kind, b"k").hexdigest() for kind in ("md5", "sha1", "sha256")}
HARMLESS = [
    "mysql -p -u root", "docker run -p 80:80 login", "the login page, password forgotten",
    "llama", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-VL-72B-Instruct-AWQ",
    "mistralai/Mixtral-8x22B-Instruct-v0.1-GPTQ-Int4", "gpt-4o-mini-2024-07-18",
    "resnet50_imagenet_bs256_lr0.1_wd1e-4_ep90", "claude-3-5-sonnet-20241022",
    "DeepSeek-R1-Distill-Qwen-32B-bnb-4bit", "nvidia/Llama-3_3-Nemotron-Super-49B-v1",
    DIGESTS["sha1"], hashlib.sha256(b"a").hexdigest(), DIGESTS["md5"],
    "sha256:" + hashlib.sha256(b"b").hexdigest(), "e1825c9", "v1.2.3-14-ge1825c9-dirty",
    "550e8400-e29b-41d4-a716-446655440000", "20261122-045412-a1b2c3",
    "GPU-8a7b1c2d-3e4f-5a6b-7c8d", "2026-11-22T04:54:12.123456+00:00",
    "3.14159265358979323846264338", "1e-05", "12345678901234567890", "-0.00012207031250000000",
    "0x7f3a5c9e1b2d4f60", "0b1010101010101010101010101", "/home/me/data/imagenet/train",
    "./runs/2026-11-22/model_best.ckpt", "~/checkpoints/epoch=3-step=1000.ckpt",
    "/nix/store/0c5z6b1v8g9w2k4l7m3n1p5q8r9s0t2u-python3", "C:\\Users\\me\\data\\Train2017",
    "src/steelyard/kernel/secret_names.py", "data/COCO2017/Train2017/Images0001",
    "s3://bucket/path/to/Data2024.parquet", "gs://bucket/a@b/c",
    "https://example.org/v1/chat/completions", "http://127.0.0.1:8000/v1?stream=true&n=4",
    "http://[::1]:80/a@b", "ssh://git@example.org/repo.git", "git@example.org:group/repo.git",
    "mailto:me@example.org", "me@example.org", "sqlite:///mlruns/mlflow.db",
    "tcp://127.0.0.1:5555", "<class 'torch.optim.adamw.AdamW'>",
    "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts", "AbstractSingletonProxyFactoryBean",
    "CosineAnnealingLRWithLinearWarmupAndRestarts", "Conv2dBatchNorm2dReLU6InvertedResidualBlock",
    "BertForSequenceClassification", "ViTForImageClassificationV2",
    "snake_case_name_of_a_very_long_parameter_42", "SCREAMING_SNAKE_CASE_2",
    "kebab-case-name-of-a-long-run-number-17", "a quick brown fox jumps over the lazy dog",
    "Answer with at most 20 tokens.", "The password policy asks for 12 characters.",
    "basic understanding", "a bearer of news", "basic auto-encoder", "Basic training run",
    "secret santa", "token bucket", "key: value", "tokens=128", "max_tokens=4096 temperature=0",
    "n_keys: 8", "monkey=chimp", "author=someone", "tokenizer: builtin", "eos_token='</s>'",
    "pad_token: [PAD]", "python train.py --max-tokens 128 --tokenizer builtin --key-size 4",
    "--keys a --author me",
    "steelyard profile -m llama --tokenizer builtin --osl 64 --concurrency 8", "pass", "true",
    "None", "", " ", "-", "[1, 2, 3]", '{"lr": 0.1, "max_tokens": 5}', "${OPENAI_API_KEY}",
    "api_key=$OPENAI_API_KEY", "password=None", "token: null", "(0.9, 0.999)",
    "adamw_torch_fused", "resnet50bs256lr0001wd1e4ep90seed42", "cuda:0", "bf16-mixed",
    "ddp_find_unused_parameters_true", "sk-learn-style-pipeline-with-steps",
    "task-2024-experiment-run-number-17", "hf_transfer", "hf_hub_download_with_progress_bars",
    "AKIA", "eyJ", "ghp_", "sk-", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0" * 64, "A1" * 20,
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "Ünïcödé-wörds-with-ümlauts-everywhere", "模型名称非常长的一个中文字符串没有空格也没有秘密",
    "x86_64-unknown-linux-gnu", "linux-6.1.0-28-cloud-amd64",
    "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "torch==2.13.0+cpu",
    "NVIDIA H200 141GB HBM3e", "Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz",
    "en_core_web_trf-3.7.3", "EleutherAI/pythia-1.4b-deduped", "WARNING: retrying in 5 s",
    "KeyError: 'token'", "UnknownTokenTypeException",
]  # fmt: skip


@pytest.mark.parametrize("value", HARMLESS)
def test_ordinary_values_are_left_alone(value):
    assert redacted("note", value) == value
    assert not is_secret("note", value)


def test_the_tables_are_long_enough_to_mean_something():
    assert len(TOKENS) + 2 * len(PLACES) + len(HARMLESS) >= 200
    assert len(set(HARMLESS)) == len(HARMLESS)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hunter2", REDACTED),
        ("password", 1234, REDACTED),
        ("password", True, True),
        ("password", None, None),
        ("password", "", ""),
        ("password", "${DB_PASSWORD}", "${DB_PASSWORD}"),
        ("password", ["a", "b"], [REDACTED, REDACTED]),
        ("db", {"password": "x", "port": 1}, {"password": REDACTED, "port": 1}),
        ("secrets", {"openai": "x", "path": "y"}, {"openai": REDACTED, "path": "y"}),
        (
            "headers",
            [["Authorization", "Bearer x"], ["Accept", "*/*"]],
            [["Authorization", REDACTED], ["Accept", "*/*"]],
        ),
        ("headers", [("X-Auth-Token", "x")], [["X-Auth-Token", REDACTED]]),
        ("columns", ["token", "label"], ["token", "label"]),
        ("columns", ["api_key", "age"], ["api_key", "age"]),
        ("columns", ["password", "is_reset"], ["password", "is_reset"]),
        ("pair", ["api_key", "hunter2"], ["api_key", REDACTED]),
        ("pair", ["X-Api-Key", "age"], ["X-Api-Key", REDACTED]),
        ("headers", [["password", "age"]], [["password", REDACTED]]),
        ("token", 5, 5),
        ("token", "5", "5"),
        ("token", "<mask>", "<mask>"),
        ("use_auth_token", True, True),
        ("hf_token", "abc", REDACTED),
        ("pwd", "hunter2", REDACTED),
        ("PWD", "/home/me", "/home/me"),
        ("key", "loss", "loss"),
        ("key", DIGESTS["sha1"], REDACTED),
        ("wandb.key", drawn(40, HEX), REDACTED),
        ("commit", DIGESTS["sha1"], DIGESTS["sha1"]),
        ("url", "postgres://me:x@db/runs", f"postgres://{REDACTED}@db/runs"),
        ("argv", ["--api-key", "x", "--lr", "1"], ["--api-key", REDACTED, "--lr", "1"]),
        ("argv", ["--api-key", "--lr"], ["--api-key", "--lr"]),
        ("layers", [1, 2.5, None], [1, 2.5, None]),
        ("auth", "none", "none"),
    ],
)
def test_name_and_value_decide_together(name, value, shown):
    assert redacted(name, value) == shown
    assert is_secret(name, value) == (shown != value)


def test_secrets_of_the_environment_are_found_wherever_they_stand():
    environ = {
        "OPENAI_API_KEY": "plain-words", "HF_TOKEN": "abc", "PWD": "/home/me", "HOME": "/home/me",
        "TOKENIZERS_PARALLELISM": "false-as-can-be", "SECRETS_FILE": "/etc/secrets",
    }  # fmt: skip
    known = known_secrets(environ)
    assert known == ("plain-words",), "what is short, or only told about, is none"
    assert scrubbed("it said plain-words twice: plain-words", known).count(REDACTED) == 2


def test_a_longer_secret_is_taken_out_before_one_that_is_part_of_it():
    assert scrubbed("abcdefgh", ("abcdef", "abcdefgh")) == REDACTED


@given(st.binary(min_size=8, max_size=8), st.sampled_from(["ghp_", "hf_", "sk-", "gsk_", "npm_"]))
def test_every_token_of_a_known_shape_is_found(seed, prefix):
    """They are made as real ones are: drawn. A digit or a capital is in every one of 40."""
    token = prefix + base64.b32hexencode(hashlib.sha256(seed).digest()).decode()[:40]
    assert redacted("note", token) == REDACTED


@pytest.mark.parametrize("alphabet", [string.ascii_letters + string.digits, B64], ids=["62", "64"])
@pytest.mark.parametrize("length", [32, 43, 64])
def test_99_of_100_random_texts_are_found(alphabet, length):
    found = sum(looks_random(drawn(length, alphabet, seed)) for seed in range(2_000))
    assert found >= 0.99 * 2_000


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.none()))
def test_numbers_are_no_secrets_unless_their_name_says_so(value):
    assert redacted("lr", value) is value
    assert redacted("note", str(value)) == str(value)


@given(st.binary(max_size=64), st.sampled_from(["sha256", "md5", "sha1", "blake2b"]))
def test_digests_are_no_secrets_under_a_name_that_does_not_hint_at_it(data, kind):
    digest = hashlib.new(kind, data).hexdigest()
    assert redacted("checksum", digest) == digest


WORD = st.text(string.ascii_lowercase, min_size=1, max_size=10)


@given(st.lists(WORD, min_size=1, max_size=6), st.sampled_from(["_", "-", ".", " ", ""]))
def test_words_are_no_secrets_however_they_are_joined(words, joint):
    text = joint.join(["x", *words])
    assert not looks_random(text)


@given(st.lists(WORD, min_size=1, max_size=6), WORD)
def test_paths_are_no_secrets(parts, suffix):
    path = "/" + "/".join(parts) + "." + suffix
    assert redacted("path", path) == path


@given(st.text(max_size=200))
def test_any_text_can_be_scrubbed_and_a_second_time_changes_nothing(text):
    once = scrubbed(text)
    assert scrubbed(once) == once


@given(
    st.text(max_size=50),
    st.text(string.ascii_letters, min_size=6, max_size=30),
    st.text(max_size=50),
)
def test_a_known_secret_never_survives(before, secret, after):
    text = before + secret + after
    if secret not in REDACTED:
        assert secret not in scrubbed(text, (secret,)).replace(REDACTED, "")


def test_a_long_text_takes_no_longer_than_its_length_tells():
    """Shapes are looked for in one pass each: 1 MB of the worst letters ends."""
    for text in (
        "a" * 1_000_000,
        "password" * 100_000,
        "-" * 100_000,
        "://" * 100_000,
        "eyJ" * 100_000,
    ):
        scrubbed(text)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("word", ["login ", "mysql ", "machine ", "sshpass\t", "default login x "])
def test_a_long_text_of_words_that_may_begin_a_secret_takes_no_longer_than_another(word):
    """Looked for from each of them to the end it would take minutes."""
    text = word * 50_000 + "password -p"
    assert len(scrubbed(text)) >= len(text) - 20
