"""JUnit XML as test runners write it, read with bounds; no entities, no document types.

Elements and attributes are those of the widespread format of Apache Ant's JUnit report: suites of
cases with `failure`, `error`, `skipped`, `system-out` and `properties`.
"""

from xml.parsers import expat

import msgspec

from steelyard.kernel.errors import SteelyardError

BYTES_MAX = 64 << 20
CASES_MAX = 100_000
DEPTH_MAX = 32
TEXT_MAX = 4_000
NAME_MAX = 1_000
NODE_PROPERTY = "steelyard_node"
"""A property of a case that holds its full name, where its runner was asked to write it."""

_BAD = {"failure": "failed", "error": "error", "skipped": "skipped"}
_WORST = ("passed", "skipped", "failed", "error")


class JUnitError(SteelyardError):
    """A report that can't be read."""


class Case(msgspec.Struct, kw_only=True):
    """One test.

    Attributes:
        name: the property `NODE_PROPERTY`, or class and name joined by `::`.
        status: `passed`, `failed`, `error` or `skipped`.
        seconds: how long it took, 0 where nobody says.
        message: of its failure, error or skip.
        text: what comes with that, its first `TEXT_MAX` characters.
    """

    name: str
    status: str = "passed"
    seconds: float = 0.0
    message: str = ""
    text: str = ""


class _Reader:
    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._depth = 0
        self._case: Case | None = None
        self._in = ""
        self._text: list[str] = []
        self._left = 0

    def parse(self, data: bytes) -> list[Case]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: encodings
            raise JUnitError(f"The JUnit report is no XML: {error}") from None
        return self.cases

    def _doctype(self, name: str, *_: object) -> None:
        raise JUnitError("The JUnit report declares a document type; that is not read", got=name)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise JUnitError(f"The JUnit report is nested deeper than {DEPTH_MAX}")
        if tag == "testcase":
            if len(self.cases) >= CASES_MAX:
                raise JUnitError(f"The JUnit report has more than {CASES_MAX} cases")
            self._case = _case(attributes)
            self.cases.append(self._case)
        elif self._case is None:
            return
        elif tag in _BAD:
            self._found(tag, attributes)
        elif tag == "property" and attributes.get("name") == NODE_PROPERTY:
            self._case.name = attributes.get("value", "")[:NAME_MAX] or self._case.name

    def _found(self, tag: str, attributes: dict[str, str]) -> None:
        case = self._case
        status = _BAD[tag]
        if case is None or _WORST.index(status) <= _WORST.index(case.status):
            return
        case.status = status
        case.message = attributes.get("message", "")[:TEXT_MAX]
        self._in, self._text, self._left = tag, [], TEXT_MAX

    def _characters(self, text: str) -> None:
        if self._in and self._left > 0:
            self._text.append(text[: self._left])
            self._left -= len(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == self._in and self._case is not None:
            self._case.text = "".join(self._text).strip()
            self._in = ""
        elif tag == "testcase":
            self._case = None


def _case(attributes: dict[str, str]) -> Case:
    words = [attributes.get("classname", ""), attributes.get("name", "")]
    return Case(
        name="::".join(word for word in words if word)[:NAME_MAX],
        seconds=_seconds(attributes.get("time", "")),
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.replace(",", "") or 0)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < float("inf") else 0.0


def parse_junit(data: bytes) -> list[Case]:
    """Return the cases of a report, in its order.

    Raises:
        JUnitError: it is too large, no XML, or declares a document type.
    """
    if len(data) > BYTES_MAX:
        raise JUnitError("The JUnit report is too large", got=f"{len(data)} bytes",
                         expected=f"at most {BYTES_MAX}")  # fmt: skip
    return _Reader().parse(data)
