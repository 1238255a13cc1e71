"""A configuration file is read within bounds, and every part of it knows where it stands."""

import pytest

from steelyard.app.config.yaml_file import LARGEST_BYTES, read_yaml
from steelyard.kernel.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def _read(text, environ=None):
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return read_yaml(path, environ or {})

    return _read


def test_keys_and_values_keep_their_line_and_column(read):
    document = read("a:\n  b: [1, 2]\n")
    assert str(document.values["a", "b", 1]).endswith("a.yaml:2:10")
    assert str(document.keys["a", "b"]).endswith("a.yaml:2:3")
    assert document.data == {"a": {"b": [1, 2]}}


def test_an_empty_file_says_nothing(read):
    assert read("# only a comment\n").data == {}


def test_references_are_filled_but_never_below_headers(read):
    document = read(
        "a: ${A}\nb: ${B:-7}\nc: x${A}y\nheaders: {K: '${A}'}\nd: ${C}\n", {"A": "1", "Z": "2"}
    )
    assert document.data == {"a": "1", "b": "7", "c": "x1y", "headers": {"K": "${A}"}, "d": ""}
    assert [p.split("a.yaml:")[1] for p in document.problems] == [
        "5:4: the environment variable C is not set"
    ]


def test_a_key_given_twice_is_a_mistake(read):
    document = read("a: 1\na: 2\n")
    assert document.problems[0].endswith("a.yaml:2:1: the key 'a' is given twice")


def test_aliases_and_merges_work_within_bounds(read):
    document = read("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\n")
    assert document.data["mine"] == {"x": 1, "y": 3}
    assert document.problems == []


BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "grows too large through its aliases"),
        ("a: &a [*a]\n", "aliases"),
        ("[" * 100_000, "nested too deep"),
        ("a: " + "{b: " * 40 + "1" + "}" * 40, "nested too deep"),
        ("x" * (LARGEST_BYTES + 1), "larger than"),
        ("a: [1\nb: 2\n", r"not valid YAML(.|\n)*a.yaml:2:\d+"),
        ("- a\n", "expected a mapping"),
        ("a: \x01", "not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_refused_at_once(read, text, told):
    with pytest.raises(ConfigError, match=told):
        read(text)


def test_tags_make_no_objects(read):
    document = read("a: !!python/object/apply:os.getcwd []\nb: !!binary aGk=\n")
    assert document.problems[0].endswith("the tag tag:yaml.org,2002:binary is not allowed")
    assert document.data["a"] == []


def test_a_missing_or_unreadable_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="config init"):
        read_yaml(tmp_path / "none.yaml", {})
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "b.yaml", {})
