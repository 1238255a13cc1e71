"""Our own backends keep the contract that strangers must keep, read back through their storage."""

import json
import math

import pytest

from steelyard.runtime.discovery import builtin_manifest
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.reader import facts_of, read_run
from steelyard.testing.contracts.backend import (
    ALL_PARTS,
    BackendContract,
    BackendSubject,
    ReadBack,
)

HOST = PluginHost.standard()
MARKS = {"nan": math.nan, "+inf": math.inf, "-inf": -math.inf}


def number(line):
    return MARKS[line["non_finite"]] if line["value"] is None else line["value"]


def read_jsonl(directory):
    (run, *others) = directory.iterdir()
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kept = ReadBack(runs=1 + len(others))
    for line in lines:
        if line["kind"] == "start":
            kept.tags.update(line["tags"])
        elif line["kind"] == "metric":
            kept.metrics.setdefault(line["name"], []).append((line["step"], number(line)))
        elif line["kind"] in {"params", "tags"}:
            getattr(kept, line["kind"]).update(line["values"])
        elif line["kind"] == "artifact":
            kept.artifacts[line["name"]] = (run / "artifacts" / line["name"]).read_bytes()
        else:
            kept.status = line["status"]
    return kept


def read_local(directory):
    store = Store(directory)
    (place, *others) = store.places()
    run = read_run(place)
    blobs = BlobStore(store.blobs)
    kept = ReadBack(params=run.params, tags=run.tags, status=run.status, runs=1 + len(others))
    for fact, _ in facts_of(place):
        for name, value in getattr(fact, "values", {}).items():
            if hasattr(fact, "step"):
                kept.metrics.setdefault(name, []).append((fact.step, value))
    for artifact in run.artifacts:
        kept.artifacts[artifact.name] = blobs.path(artifact.sha256).read_bytes()
    return kept


class TestJsonl(BackendContract):
    @pytest.fixture
    def subject(self):
        cls = HOST.load("backend", "jsonl")
        return BackendSubject(cls, lambda directory: cls(str(directory)), read_jsonl)


class TestLocal(BackendContract):
    @pytest.fixture
    def subject(self):
        cls = HOST.load("backend", "local")
        return BackendSubject(cls, lambda directory: cls(str(directory)), read_local)


def test_a_backend_that_says_all_is_verified_is_tried_whole():
    """What the manifest calls verified is what the kit reads back here."""
    told = {s.name: s.metadata for s in builtin_manifest().specs if s.kind == "backend"}
    parts = {"scalar", "parameter", "tag", "artifact", "status"}
    assert len(parts) == len(ALL_PARTS)
    for name in ("jsonl", "local"):
        assert set(told[name]["verified"]) == parts == set(told[name]["takes"])
