"""Somebody is told when a module has been imported; the import itself does not notice."""

import importlib
import importlib.util
import sys
import threading
import time

import pytest

from steelyard.runtime.track.import_watch import ImportWatch


@pytest.fixture
def watch():
    return ImportWatch()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return the name of a package with two modules, importable and not imported."""
    name = "watched_package"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("VALUE = 1\n")
    (tmp_path / name / "part.py").write_text("import time\ntime.sleep(0.2)\nVALUE = 2\n")
    (tmp_path / name / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def test_a_module_that_is_imported_is_told_of_at_once(watch):
    finders, found = list(sys.meta_path), []
    watch.when_imported("json", found.append)
    assert found == [sys.modules["json"]]
    assert sys.meta_path == finders


def test_a_module_is_told_of_when_it_has_been_imported(watch, package):
    finders, found = list(sys.meta_path), []
    watch.when_imported(f"{package}.part", lambda module: found.append(module.VALUE))
    assert package not in sys.modules
    module = importlib.import_module(f"{package}.part")
    assert found == [2]
    assert sys.meta_path == finders
    plain = importlib.import_module(package)
    assert type(module.__spec__.loader) is type(plain.__spec__.loader)
    assert module.__loader__ is module.__spec__.loader


def test_several_may_wait_for_one_and_who_gives_up_is_not_told(watch, package):
    found = []
    watch.when_imported(package, lambda module: found.append("a"))
    cancel = watch.when_imported(package, lambda module: found.append("b"))
    watch.when_imported(package, lambda module: found.append("c"))
    cancel()
    cancel()
    importlib.import_module(package)
    assert found == ["a", "c"]


def test_the_finder_goes_with_the_last_who_waits(watch, package):
    finders = list(sys.meta_path)
    cancels = [watch.when_imported(name, lambda module: None) for name in (package, "no_such")]
    assert sys.meta_path[0] is watch
    for cancel in cancels:
        cancel()
    assert sys.meta_path == finders
    importlib.import_module(package)


def test_an_import_that_fails_fails_as_before(watch, package):
    found = []
    watch.when_imported(f"{package}.broken", found.append)
    watch.when_imported("no_such_module", found.append)
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(f"{package}.broken")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("no_such_module")
    assert found == []


def test_a_module_that_another_thread_is_importing_is_waited_for(watch, package):
    """Half a module has nothing to be watched yet."""
    thread = threading.Thread(target=importlib.import_module, args=(f"{package}.part",))
    thread.start()
    while f"{package}.part" not in sys.modules:
        time.sleep(0.001)
    found = []
    cancel = watch.when_imported(f"{package}.part", lambda module: found.append(module.VALUE))
    thread.join()
    cancel()
    assert found == [2]


def test_a_module_that_must_not_be_imported_is_left_alone(watch, monkeypatch):
    monkeypatch.setitem(sys.modules, "forbidden_module", None)
    found = []
    watch.when_imported("forbidden_module", found.append)()
    assert found == []


def test_files_beside_the_module_are_found_while_it_is_executed(watch, package, tmp_path):
    (tmp_path / package / "data.txt").write_text("here")
    (tmp_path / package / "reads.py").write_text(
        "import pkgutil\nVALUE = pkgutil.get_data(__package__, 'data.txt')\n"
    )
    watch.when_imported(f"{package}.reads", lambda module: None)
    assert importlib.import_module(f"{package}.reads").VALUE == b"here"


def test_a_module_that_puts_another_in_its_place_is_told_as_that(watch, package, tmp_path):
    """As lazy modules do."""
    (tmp_path / package / "lazy.py").write_text(
        "import sys, types\n"
        "other = types.ModuleType('other')\nother.VALUE = 3\nsys.modules[__name__] = other\n"
    )
    found = []
    watch.when_imported(f"{package}.lazy", lambda module: found.append(module.VALUE))
    assert importlib.import_module(f"{package}.lazy").VALUE == 3
    assert found == [3]
    assert watch not in sys.meta_path


def test_who_only_asks_where_a_module_is_imports_nothing(watch, package):
    """As libraries do to know whether another is installed."""
    found = []
    cancel = watch.when_imported(package, found.append)
    spec = importlib.util.find_spec(package)
    assert spec.loader.get_filename(package).endswith("__init__.py")
    assert (found, package in sys.modules) == ([], False)
    cancel()
