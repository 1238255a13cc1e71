"""Broad excepts stand at the plugin borders, named and counted; nothing is swallowed in silence."""

import ast
from collections import Counter

import pytest

BROAD = frozenset({"Exception", "BaseException"})

# How many such handlers stand where, and why.
BORDERS = {
    # The one way into a plugin's code: its `__exit__` takes any exception and gives on a named one.
    "src/steelyard/runtime/plugin_border.py": 0,
    "src/steelyard/cli/main.py": 1,  # a process's last line: a bug ends in exit code 70
}


def named(expression):
    """Return the exception names of an except clause or of suppress(...)."""
    if expression is None:
        return {"BaseException"}
    parts = expression.elts if isinstance(expression, ast.Tuple) else [expression]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def gives_it_on(handler):
    """Return True when the handler ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def broad_handlers(tree):
    """Return the lines of handlers, and of suppress(...), that keep any exception to themselves."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            if named(node.type) & BROAD and not gives_it_on(node):
                lines.append(node.lineno)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else None
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name == "suppress" and any(named(argument) & BROAD for argument in node.args):
                lines.append(node.lineno)
    return lines


def silent_handlers(tree):
    """Return the lines of handlers that do nothing at all."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(
            isinstance(step, ast.Pass)
            or (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))
            for step in node.body
        )
    ]


def test_any_exception_is_caught_at_the_plugin_borders_only(sources):
    lines = {s.path: found for s in sources if (found := broad_handlers(s.tree))}
    counted = Counter({path: len(found) for path, found in lines.items()})
    strangers = {path: lines[path] for path in counted if path not in BORDERS}
    assert strangers == {}, "catch the exceptions you expect, by name"
    assert {path: counted[path] for path in BORDERS if counted[path] > BORDERS[path]} == {}


def test_no_handler_swallows_an_error_without_a_word(sources):
    found = [f"{s.path}:{line}" for s in sources for line in silent_handlers(s.tree)]
    assert found == [], "count it, log it, or say contextlib.suppress(TheError) and why"


@pytest.mark.parametrize(
    ("text", "broad", "silent"),
    [
        ("try: f()\nexcept Exception: log()", [2], []),
        ("try: f()\nexcept: pass", [2], [2]),
        ("try: f()\nexcept (OSError, BaseException) as e: log(e)", [2], []),
        ("try: f()\nexcept BaseException:\n  undo()\n  raise", [], []),
        ("try: f()\nexcept OSError: pass", [], [2]),
        ("try: f()\nexcept OSError: 'why'", [], [2]),
        ("with contextlib.suppress(Exception): f()", [1], []),
        ("with suppress(OSError): f()", [], []),
    ],
)
def test_the_rules_see_what_they_should(text, broad, silent):
    tree = ast.parse(text)
    assert (broad_handlers(tree), silent_handlers(tree)) == (broad, silent)
