"""Functions and files stay small enough to be read at once."""

import ast

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400


def long_functions(tree):
    """Return (name, line, length) of each function that is too long, signature and docstring in."""
    return [
        (node.name, node.lineno, length)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_no_function_is_longer_than_70_lines(sources):
    found = [
        f"{source.path}:{line} {name} has {length} lines"
        for source in sources
        for name, line, length in long_functions(source.tree)
    ]
    assert found == []


def test_no_file_is_longer_than_400_lines(sources):
    found = [
        f"{source.path} has {length} lines"
        for source in sources
        if (length := len(source.text.splitlines())) > FILE_LINES_MAX
    ]
    assert found == []


def test_a_function_of_71_lines_is_found():
    body = "    x = 1\n" * FUNCTION_LINES_MAX
    tree = ast.parse(f"class C:\n  async def f(self):\n{body}\ndef g():\n{body[10:]}")
    assert long_functions(tree) == [("f", 2, 71)]
