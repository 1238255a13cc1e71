"""No file holds the address of a registry, a path of one machine, or a rule broken in silence."""

import re

import pytest

# Spelled in pieces, so that this file passes its own test.
HOSTS = re.compile(
    "|".join(
        [
            r"pypi\." + "org",
            r"files\.python" + "hosted",
            r"registry\.npm" + "js",
            r"deb\." + "debian",
            r"proxy\." + "golang",
            r"index\.crates\." + "io",
            r"registry-1\." + "docker",
        ]
    )
)
MACHINE_PATHS = re.compile(
    r"(?<![\w.{}/*-])/(?:work|root|home/(?!steelyard|user|me|you|app)\w+|Users/\w+)/"
)
NOQA = re.compile(r"# noqa(?P<rest>.*)")
NOQA_WITH_REASON = re.compile(r"^: [A-Z]+\d+(?:, ?[A-Z]+\d+)*\s+\S+")
TYPE_IGNORE = re.compile(r"# type: ignore(?!\[)")
BINARY = (".png", ".ico", ".parquet", ".duckdb", ".whl", ".gz", ".journal", ".jpg", ".wav")


@pytest.fixture(scope="module")
def texts(root, files):
    """Every text file but the licence, whose words are not ours."""
    mine = "tests/house/test_words.py"
    names = [n for n in files if not n.endswith(BINARY) and n not in {"LICENSE", mine}]
    return {name: (root / name).read_text(errors="replace") for name in names}


def lines_with(texts, pattern):
    return [
        f"{name}:{number} {line.strip()[:80]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_host_of_a_package_registry(texts):
    assert lines_with(texts, HOSTS) == []


def test_no_file_knows_the_machine_it_was_written_on(texts):
    assert lines_with(texts, MACHINE_PATHS) == []


def test_every_noqa_says_which_rule_and_why(texts):
    found = [
        f"{name}:{number} {line.strip()[-80:]}"
        for name, text in texts.items()
        if name.endswith(".py")
        for number, line in enumerate(text.splitlines(), 1)
        if (match := NOQA.search(line)) and not NOQA_WITH_REASON.match(match["rest"])
    ]
    assert found == []


def test_every_type_ignore_says_which_error(texts):
    python = {name: text for name, text in texts.items() if name.endswith(".py")}
    assert lines_with(python, TYPE_IGNORE) == []


def test_every_rule_of_ruff_that_is_off_says_why(root):
    table = (root / "pyproject.toml").read_text().partition("[tool.ruff.lint]")[2]
    table = table.partition("[tool.ruff.lint.flake8-tidy-imports]")[0]
    off = re.findall(r'^    "([A-Z]+\d*)",(.*)$', table, re.MULTILINE)
    assert len(off) > 20
    assert [rule for rule, reason in off if not re.match(r"\s+# \w.{5,}", reason)] == []


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (
            MACHINE_PATHS,
            ["cd /work/x", '"/root/.cache"', "/home/ann/run"],
            ["/v1/work/x", "a/root/"],
        ),
        (HOSTS, ["https://pypi" + ".org/simple"], ["pip install steelyard"]),
        (TYPE_IGNORE, ["x  # type: " + "ignore"], ["x  # type: ignore[arg-type]"]),
    ],
)
def test_the_rules_see_what_they_should(pattern, bad, good):
    assert [line for line in bad if not pattern.search(line)] == []
    assert [line for line in good if pattern.search(line)] == []
