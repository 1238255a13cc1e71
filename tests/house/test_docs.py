"""Pages lead where they say."""

import re

import yaml

LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<to>[^)\s]+)\)")


def test_every_link_between_pages_leads_to_a_file(root, files):
    pages = [name for name in files if name.endswith(".md")]
    assert "README.md" in pages
    broken = [
        f"{page}: {to}"
        for page in pages
        for to in LINK.findall((root / page).read_text())
        if not to.startswith(("http://", "https://", "#", "mailto:"))
        and not ((root / page).parent / to.partition("#")[0]).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_gaps_and_say_what_follows(root):
    decisions = sorted((root / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name


def blocks(root, files, language):
    """Return (page and line, text) of each fenced block of `language`."""
    fence = re.compile(rf"^```{language}\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
    for name in files:
        if name == "README.md" or (name.startswith("docs/") and name.endswith(".md")):
            page = (root / name).read_text()
            for match in fence.finditer(page):
                yield f"{name}:{page.count(chr(10), 0, match.start()) + 1}", match["text"]


def test_every_python_example_runs(root, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = list(blocks(root, files, "python"))
    assert examples
    for place, text in examples:
        exec(compile(text, place, "exec"), {"__name__": "example"})  # noqa: S102  our own pages


def test_every_yaml_example_can_be_read(root, files):
    examples = list(blocks(root, files, "yaml"))
    assert examples
    for place, text in examples:
        assert yaml.safe_load(text), place
