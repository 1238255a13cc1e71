"""Help pages are as wide as the terminal."""

from steelyard.cli.help_lines import joined
from steelyard.cli.main import run


def test_sentences_are_joined_and_what_is_set_in_stays():
    text = "One sentence\nthat goes on.\n\nAnother:\n\n  an example\n  and more\nThe end\nof it.\n"
    assert joined(text) == (
        "One sentence that goes on.\n\nAnother:\n\n  an example\n  and more\nThe end of it.\n"
    )
    assert joined("") == ""
    assert joined("a\n \nb") == "a\n \nb"


def test_no_line_of_a_page_ends_where_a_line_of_the_source_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["fleet", "serve", "--help"]) == 0
    page = capsys.readouterr().out
    assert "goes on. The first start prints an admin's key" in page
    assert "the value in JSON or a text. May be repeated." in page
