"""Server-sent events, split at any byte.

Source: WHATWG HTML, section 9.2 "Server-sent events": lines end with LF, CRLF or CR; a line that
begins with a colon is a comment; the `data` lines of an event are joined by LF; a blank line ends
it. The `event`, `id` and `retry` fields carry nothing that a measurement needs and are skipped. An
`error` field is none of the standard's, but how llama.cpp's server once told of an error in a
stream; it is read as the data that others send for it, a JSON object with the member `error`.
"""


class SseParser:
    """Turns body bytes, in pieces of any size, into the data of whole events."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._data: list[bytes] = []
        self._started = False

    @property
    def between_events(self) -> bool:
        """Nothing of an event is held: the next piece may be read without the parser."""
        return not self._held and not self._data

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of each event that `piece` completes, in order."""
        if not self._held and not self._data and piece[-2:] == b"\n\n" and b"\r" not in piece:
            whole = self._whole_events(piece)
            if whole is not None:
                self._started = True
                return whole
        return self._lines(piece)

    @staticmethod
    def _whole_events(piece: bytes) -> list[bytes] | None:
        """Read the usual shape, one `data:` line an event; None when it is anything else."""
        events = piece[:-2].split(b"\n\n")
        for number, event in enumerate(events):
            if event[:6] != b"data: " or b"\n" in event:
                return None
            events[number] = event[6:]
        return events

    def _lines(self, piece: bytes) -> list[bytes]:
        undecided = bool(self._held) and self._held[-1].endswith(b"\r")
        if self._started and not undecided and b"\n" not in piece and b"\r" not in piece:
            self._held.append(piece)  # joined once: a line may come in a million pieces
            return []
        text = b"".join((*self._held, piece))
        self._held.clear()
        if not self._started and text:
            if b"\xef\xbb\xbf".startswith(text):
                self._held.append(text)
                return []
            text = text.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        events: list[bytes] = []
        start = 0
        while (end := _line_end(text, start)) is not None:
            self._line(text[start : end[0]], events)
            start = end[1]
        if start < len(text):
            self._held.append(text[start:])
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data = []
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"error":
            self._data.append(b'{"error":%b}' % value)

    def finish(self) -> list[bytes]:
        """Return the event that lacked its blank line when the stream ended, if any.

        The standard drops it; servers that close right after `data: [DONE]` are common.
        """
        events: list[bytes] = []
        if self._held:
            self._line(b"".join(self._held).rstrip(b"\r"), events)
        self._line(b"", events)
        self._held.clear()
        return events


def _line_end(text: bytes, start: int) -> tuple[int, int] | None:
    """Return where the line ends and the next begins; None when its end is not in `text` yet."""
    lf = text.find(b"\n", start)
    cr = text.find(b"\r", start, lf if lf >= 0 else len(text))
    if cr < 0:
        return None if lf < 0 else (lf, lf + 1)
    if cr + 1 == len(text):
        return None  # an LF may follow in the next piece
    return cr, cr + 2 if text[cr + 1] == 0x0A else cr + 1
