"""The inventory of the reference documents: complete, true, and never shorter than before."""

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from steelyard.app.config.fields import flag_fields

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "tests" / "house" / "reference_words.json"
EXAMPLE = ROOT / "examples" / "aiperf-example-plugin"
DOCUMENTS = Path(os.environ.get("STEELYARD_REFERENCE_DIR", ROOT.parent / "shared" / "reference"))
KINDS = {"name", "option", "default", "example", "target", "flag"}
REQUIRED_NOW = {"000", "001"}

# How many names work, by document. A change may only raise these.
FLOOR = {"000": 83, "001": 95, "002": 151, "003": 105, "004": 91}


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("conformance", ROOT / "tools" / "conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONFORMANCE = tool()
INVENTORY = CONFORMANCE.load()
ENTRIES: list[dict[str, str]] = INVENTORY["entries"]
WORKS = [entry for entry in ENTRIES if entry["status"] == "works"]


def label(entry: dict[str, str]) -> str:
    return f"{entry['document']}: {entry['name'][:60]}"


def test_every_entry_is_complete():
    """A working name says where it is and which test holds it; a planned one who brings it."""
    for entry in ENTRIES:
        assert entry["kind"] in KINDS, entry
        wanted = {"works": {"where", "test"}, "planned": {"part"}}[entry["status"]]
        assert set(entry) == {"document", "name", "kind", "status"} | wanted, entry
        assert all(entry.values()), entry


def test_no_name_is_listed_twice():
    """One entry for each name of a document."""
    names = Counter((e["document"], e["kind"], e["name"]) for e in ENTRIES)
    assert [name for name, count in names.items() if count > 1] == []


def test_no_name_regresses():
    """As many names work as ever did."""
    works = Counter(entry["document"] for entry in WORKS)
    lower = {doc: works[doc] for doc, floor in FLOOR.items() if works[doc] < floor}
    assert lower == {}, "a name that worked is planned again, or was dropped"


def test_what_is_required_now_is_not_put_off():
    """Documents 000 and 001 work whole, with what 001 itself calls not yet supported."""
    planned = [e["name"] for e in ENTRIES if e["status"] == "planned"]
    early = [e["name"] for e in ENTRIES if e["document"] in REQUIRED_NOW and e["name"] in planned]
    assert early == []


def test_every_word_of_the_documents_is_accounted_for():
    """Each word that may be a name is in an entry, or ignored for a reason; none is both."""
    for document, words in json.loads(WORDS.read_text()).items():
        listed = {
            part
            for entry in ENTRIES
            if entry["document"] == document
            for part in CONFORMANCE.parts_of(entry["name"])
        }
        ignored = {w for group in INVENTORY["ignored"][document].values() for w in group}
        assert [word for word in words if word not in listed | ignored] == [], document
        assert sorted(listed & ignored) == [], document
        assert sorted(ignored - set(words)) == [], document


@pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the reference documents are not here")
def test_the_checked_in_words_are_those_of_the_documents():
    """The list that everyone checks against is what the documents say."""
    assert CONFORMANCE.words_in(DOCUMENTS) == json.loads(WORDS.read_text())


def resolve(where: str) -> None:
    """Fail unless `where` leads somewhere; its forms are those of conformance.toml's head."""
    prefix, _, rest = where.partition(":")
    if prefix == "file":
        assert (ROOT / rest).is_file(), where
    elif prefix == "make":
        assert re.search(rf"^{re.escape(rest)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
            where
        )
    elif prefix == "flag":
        assert rest in {name for field in flag_fields() for name in field.names}, where
    else:
        resolve_object(where)


def resolve_object(where: str) -> None:
    match = re.fullmatch(r"([\w.]+)(?::([\w.]+)(?:\((\w+)\))?)?", where)
    assert match is not None, where
    found: object = importlib.import_module(match[1])
    for name in match[2].split(".") if match[2] else ():
        found = getattr(found, name)
    if match[3]:
        assert callable(found), where
        assert match[3] in inspect.signature(found).parameters, where


@pytest.mark.parametrize("entry", WORKS, ids=label)
def test_what_works_is_there(entry, monkeypatch):
    """The place an entry names can be imported, and has the parameter, target or flag."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    resolve(entry["where"])


@cache
def named_in(path: Path) -> frozenset[str]:
    """Return the tests that a file defines, methods as `Class::test`, inherited ones included."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            names |= {f"{node.name}::{test}" for test in methods_of(node)}
    return frozenset(name for name in names if "test_" in name)


def methods_of(node: ast.ClassDef) -> set[str]:
    """Return a class's own methods and those of the kits in `steelyard.testing` it inherits."""
    kits = importlib.import_module("steelyard.testing.services")
    names = {n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    for base in node.bases:
        if isinstance(base, ast.Name) and hasattr(kits, base.id):
            names |= {name for name in dir(getattr(kits, base.id)) if name.startswith("test_")}
    return names


@pytest.mark.parametrize("entry", WORKS, ids=label)
def test_what_works_is_tested(entry):
    """The named test exists where pytest collects it."""
    file, _, name = entry["test"].partition("::")
    path = ROOT / file
    assert path.is_file(), entry["test"]
    assert path.is_relative_to(ROOT / "tests")
    assert path.name.startswith("test_")
    known = named_in(path)
    assert (name in known) if name else known, entry["test"]
