"""Reading a text file whose path a user wrote, without being led elsewhere (CWE-22)."""

from pathlib import Path

READ_MAX_BYTES = 16 * 1024 * 1024
"""A template larger than this is refused; it would be merged into every request."""


def _resolve_plain_file(path_text: object) -> Path | None:
    """Return the real path, or None when it is no plain file or a link is on the way to it."""
    try:
        path = Path(path_text).expanduser()  # type: ignore[arg-type]  # a non-path is a TypeError
        # resolve() follows linked directories in silence, so each step is looked at first.
        if any(step.is_symlink() for step in (path, *path.parents)):
            return None
        resolved = path.resolve(strict=True)
        return resolved if resolved.is_file() else None
    except (TypeError, ValueError, RuntimeError, OSError):
        # No path, a null byte, an unknown ~user, a missing or forbidden file.
        return None


def safe_read_template_path(path_text: object) -> str | None:
    """Return the text of the file a user named, or None when it isn't safe or possible to read.

    A path is refused when it or any directory above it is a symbolic link, when it is missing or
    not a regular file, when it is longer than `READ_MAX_BYTES`, or when it isn't UTF-8. The caller
    decides what None means: the "path or inline text" idiom takes the text literally.
    """
    resolved = _resolve_plain_file(path_text)
    if resolved is None:
        return None
    try:
        if resolved.stat().st_size > READ_MAX_BYTES:
            return None
        return resolved.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return None
