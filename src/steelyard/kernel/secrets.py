"""The one rule of what is a secret: by name, by shape, and by how random it looks.

What names tell is in `secret_names`. Values tell by the shapes of known tokens and keys, by where
they stand (`Bearer ...`, a URL's user, `password=...`), and by their randomness. Hashes, ids and
other hexadecimal texts are no secrets unless their name hints at it: commits, digests and run ids
are what runs are compared by.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from steelyard.kernel.secret_names import Suspicion, is_secret_name, suspicion_of

REDACTED = "<redacted>"
KNOWN_MIN = 6
"""Characters from which on a known secret is looked for in texts; a shorter one is everywhere."""

_PAIR_LENGTH = 2
_RANDOM_MIN = 20
_RANDOM_MAX = 512
"""Longer texts without a space are data rather than keys."""

_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# Shapes that their makers document, or that their tools' secret scanners look for.
_SHAPES = re.compile(
    r"""(?x)(?<![A-Za-z0-9_-])(?:
      sk-(?:[a-z]{2,8}[0-9]{0,2}-)*(?=[A-Za-z_-]*[0-9])(?![a-z0-9]{1,15}(?:-[a-z0-9]{1,15})*(?![\w-]))
      [A-Za-z0-9_-]{16,}
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | gl[a-z]{2,5}-[\w-]{20,}
    | hf_(?=[A-Za-z]*[0-9A-Z])[A-Za-z0-9]{20,} | xox[abeoprs]-[A-Za-z0-9-]{10,}
    | xapp-[A-Za-z0-9-]{10,} | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9]) | AIza[\w-]{35}
    | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,} | eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,})?\.?[\w.-]+
    | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{40,} | [srp]k_(?:live|test)_[A-Za-z0-9]{10,}
    | whsec_[A-Za-z0-9+/=]{16,} | SG\.[\w-]{16,}\.[\w-]{16,} | do[opr]_v1_[0-9a-f]{32,}
    | dapi[0-9a-f]{32} | gl(?:sa|c)_\w{20,} | r8_[A-Za-z0-9]{30,} | gsk_[A-Za-z0-9]{20,}
    | nvapi-[\w-]{20,} | xai-[A-Za-z0-9]{20,} | pplx-[A-Za-z0-9]{20,} | lsv2_(?:pt|sk)_\w{20,}
    | hv[sbr]\.[\w-]{20,} | shp(?:at|ss|ca|pa)_[0-9a-f]{32} | AGE-SECRET-KEY-1[A-Z0-9]{20,}
    | [0-9]{8,10}:AA[\w-]{32,} | ATATT3[\w=-]{20,} | dckr_pat_[\w-]{20,} | wandb_v1_\w{20,}
    | tskey-\w+-[\w-]{10,} | sntry[su]_[\w=+/-]{20,} | PMAK-[0-9a-f]{24}-[0-9a-f]{30,}
    | fo1_[\w-]{30,} | sty_[a-z2-7]{12}_[\w-]{43}
    )"""
)
_WEBHOOK = re.compile(r"(?i)(/services/T\w+/B\w+/|/api/webhooks/\d+/)[\w-]{8,}")
_USERINFO = re.compile(
    r"(?i)\b(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<user>[^\s/?#@\"'<>]*|[^\s/?#@\"'<>:\[]*:(?!\d+(?:/|$))[^\s@\"'<>]*)@"
)
_QUERY = re.compile(r"(?P<name>(?<=[?&;])[\w.-]+)=(?P<value>[^\s&;#\"'<>]+)")
_SIGNED = frozenset({
    "sig", "signature", "x-amz-signature", "x-amz-credential", "x-amz-security-token",
    "x-goog-signature", "x-goog-credential", "awsaccesskeyid", "key", "sv_sig", "hmac", "code",
})  # fmt: skip
_BEARER = re.compile(
    r"(?i)(?<![\w-])(?P<scheme>bearer|basic)(?P<gap>\s+)"
    r"(?!(?-i:(?!sk-)[a-z]+(?:-[a-z]+)*)(?![\w.~+/=-]))(?P<value>[\w.~+/=-]{6,})"
)
_SKIP = r"(?!(?:None|True|False|null|true|false|str|int|bool|bytes)\b|\$|<redacted>|\{)"
# A text in quotes, with its escapes; where it was cut off, what is there of one.
_QUOTED = r"\"(?:\\.|[^\"\\\n])+\"|'(?:\\.|[^'\\\n])+'"
_PAIR = re.compile(
    r"(?P<name>(?:(?<![\w.-])|(?<=--))[A-Za-z_][\w.-]{1,127})"
    r"(?P<between>\\?[\"']?\s{0,3}[:=]\s{0,3})"
    rf"(?:(?P<quoted>{_QUOTED})|"
    rf"(?P<scheme>(?:bearer|basic|token)\s+)?(?P<open>\\?[\"'])?+{_SKIP}(?!=)"
    r"(?P<value>[^\s\"',;&]+?)(?=[)\]}>]*(?:\\?[\"']|[\s,;&]|\Z)))",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    r"(?i)\b(?P<name>(?:set-)?cookies?[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[\w.-]+=[^\r\n\"']+"
)
_FLAG = re.compile(
    rf"(?P<name>(?<![\w-])--?[A-Za-z][\w-]+)(?P<gap>\s+)"
    rf"(?:(?P<quoted>{_QUOTED})|(?P<value>[^\s\"'<-][^\s\"']*))"
)
_LOGIN = re.compile(r"(?P<flag>(?<![\w-])(?:-u|--user)(?:\s+|=)[\"']?[^\s:\"']+:)[^\s\"'<]+")
# Programs and files that take a password without a name for it.
_SPOKEN = re.compile(
    r"(?P<before>\b(?:login\b|sshpass\b)[^\n;|&]{0,120}?\s-p\s+"
    r"|\bmysql\w*\b[^\n;|&]{0,120}?\s-p(?=\S)"
    r"|\b(?:machine\s+\S+|default)\s+login\s+\S+\s+password\s+)[^\s\"'<]+"
)
_WORD = re.compile(r"(?<![\w+/=.-])[A-Za-z0-9+/_=-]{20,512}(?![\w+/=-])")
_RUN = re.compile(r"[A-Za-z0-9]+")
_WORDLIKE = re.compile(r"[a-z]{4,}")
_HEX = re.compile(r"(?i)(?:0x)?[0-9a-f-]+")
_COLUMN = re.compile(r"[a-z]+(?:_[a-z]+)*")
_PATH = re.compile(r"[./~]|[A-Za-z]:[\\/]|(?:[A-Za-z0-9]+[_-])*[A-Za-z0-9]*[a-z]{4,}/")


def is_secret(name: str, value: Any) -> bool:
    """Tell whether a value is a secret, by its name or by itself; structures are gone into."""
    if isinstance(value, Mapping):
        return any(is_secret(f"{name}.{key}" if name else str(key), v) for key, v in value.items())
    return bool(redacted(name, value) != value)


def redacted(name: str, value: Any, known: Iterable[str] = ()) -> Any:
    """Return a plain value of this name without secrets: whole, in part, or `REDACTED`.

    Args:
        name: dotted where it is part of a structure.
        value: a text, number, list or dict; what is none of these comes back as it is.
        known: secrets that are known by themselves, such as those of the environment.
    """
    if isinstance(value, str):
        return _redacted_text(name, value, known)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return {
            key: redacted(f"{name}.{key}" if name else str(key), item, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return _redacted_items(name, value, known)
    if isinstance(value, int | float) and suspicion_of(name) == Suspicion.ANY:
        return REDACTED
    return value


def _redacted_text(name: str, value: str, known: Iterable[str]) -> str:
    if not value or value == REDACTED or _names_another(value):
        return value
    return REDACTED if _is_named_secret(name, value) else scrubbed(value, known)


def _redacted_items(name: str, values: Sequence[Any], known: Iterable[str]) -> list[Any]:
    """A list may be a command line, where a flag tells what its next word is; or a pair."""
    if _is_header(name, values):
        return [values[0], redacted(values[0], values[1], known)]
    shown: list[Any] = []
    flag = ""
    for value in values:
        item = redacted(name, value, known)
        is_word = isinstance(value, str) and bool(value) and not value.startswith("-")
        shown.append(REDACTED if flag and is_word and is_secret_name(flag) else item)
        is_flag = isinstance(value, str) and value.startswith("--") and "=" not in value
        flag = value.lstrip("-") if is_flag else ""
    return shown


def _is_header(name: str, values: Sequence[Any]) -> bool:
    """Tell whether these are a name and its value, as in `["X-Api-Key", "..."]`."""
    if len(values) != _PAIR_LENGTH or not all(isinstance(value, str) for value in values):
        return False
    if values[0].startswith("-"):
        return False
    told = suspicion_of(values[0])
    if "header" in name.lower():
        return told >= Suspicion.TEXT
    # `["api_key", "age"]` are columns.
    return told == Suspicion.ANY and not all(map(_COLUMN.fullmatch, values))


def _names_another(value: str) -> bool:
    """`${TOKEN}`, `$TOKEN`, `env:TOKEN`: where a secret is, not which."""
    return re.fullmatch(r"\$\{\w+\}|\$[A-Za-z_]\w*|(?:env|os\.environ)[:/.]\w+", value) is not None


def _is_harmless(name: str, suspicion: Suspicion, value: str) -> bool:
    if value.strip().lower() in {"none", "null", "true", "false", "auto", "no", "yes"}:
        return True
    if name.lower() in {"pwd", "oldpwd"}:  # every shell's working directory
        return value.startswith("/")
    return (
        suspicion < Suspicion.ANY
        and re.fullmatch(r"[\d.,e+-]*|<[^<>]*>|\[\w+\]", value) is not None
    )


def scrubbed(text: str, known: Iterable[str] = ()) -> str:
    """Return a text with every secret in it replaced by `REDACTED`; the rest stays as it is.

    Args:
        text: a message, traceback, command line, URL or single value.
        known: values to be replaced wherever they stand.
    """
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= KNOWN_MIN:
            text = text.replace(secret, REDACTED)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(REDACTED, text)
    if "://" in text:
        text = _USERINFO.sub(_without_user, text)
        text = _QUERY.sub(_without_signature, text)
    text = _WEBHOOK.sub(rf"\g<1>{REDACTED}", text)
    text = _BEARER.sub(rf"\g<scheme>\g<gap>{REDACTED}", text)
    text = _COOKIE.sub(rf"\g<name>{REDACTED}", text)
    text = _LOGIN.sub(rf"\g<flag>{REDACTED}", text)
    if " -p" in text or "password" in text:
        text = _SPOKEN.sub(rf"\g<before>{REDACTED}", text)
    text = _PAIR.sub(_without_value, text)
    if "-" in text:
        text = _FLAG.sub(_without_argument, text)
    text = _SHAPES.sub(REDACTED, text)
    return _WORD.sub(lambda match: REDACTED if looks_random(match[0]) else match[0], text)


def known_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose name says that they are secrets."""
    return tuple({
        value
        for name, value in environ.items()
        if len(value) >= KNOWN_MIN and redacted(name, value) == REDACTED and is_secret_name(name)
    })  # fmt: skip


def _without_user(match: re.Match[str]) -> str:
    scheme, user = match["scheme"], match["user"]
    # `ssh://git@host` is how everybody is called there.
    if ":" not in user and not scheme.lower().startswith("http"):
        return match[0]
    return f"{scheme}://{REDACTED}@" if user else match[0]


def _without_signature(match: re.Match[str]) -> str:
    name = match["name"]
    if name.lower() in _SIGNED or is_secret_name(name):
        return f"{name}={REDACTED}"
    return match[0]


def _without_value(match: re.Match[str]) -> str:
    shown = _shown(match["name"], match["quoted"], match["value"])
    if shown is None:
        return match[0]
    before = f"{match['name']}{match['between']}{match['scheme'] or ''}{match['open'] or ''}"
    return before + shown


def _without_argument(match: re.Match[str]) -> str:
    shown = _shown(match["name"].lstrip("-"), match["quoted"], match["value"])
    return match[0] if shown is None else f"{match['name']}{match['gap']}{shown}"


def _shown(name: str, quoted: str | None, value: str | None) -> str | None:
    """Return what is shown for a value that its name makes a secret; None for another."""
    quote = quoted[0] if quoted else ""
    text = quoted[1:-1] if quoted else value or ""
    if not text or text == REDACTED or not _is_named_secret(name, text):
        return None
    return f"{quote}{REDACTED}{quote}"


def _is_named_secret(name: str, value: str) -> bool:
    suspicion = suspicion_of(name)
    if _names_another(value) or suspicion == Suspicion.NONE:
        return False
    if suspicion == Suspicion.HINT:
        is_hash = _HEX.fullmatch(value) is not None and any(map(str.isdigit, value))
        return _RANDOM_MIN <= len(value) <= _RANDOM_MAX and (is_hash or looks_random(value))
    return not _is_harmless(name, suspicion, value)


def looks_random(text: str) -> bool:
    """Tell whether a text without spaces looks drawn rather than written.

    Three numbers tell: the entropy of its characters, how often neighbours are of different kinds
    (upper, lower, digit: in base62 and base64 that is 0.6 of all places), and how much of it is in
    runs of lower letters, as words are. Found are 99 in 100 random texts of 32 characters or more
    of these two alphabets. Texts without capitals, hexadecimal ones and paths never are: run names
    and hashes look like that, too.
    """
    if not _RANDOM_MIN <= len(text) <= _RANDOM_MAX or _HEX.fullmatch(text) or _PATH.match(text):
        return False
    runs = _RUN.findall(text)
    longest = max(map(len, runs), default=0)
    return any(map(_is_drawn, runs)) or (longest >= 10 and _is_drawn("".join(runs)))


def _is_drawn(run: str) -> bool:
    if len(run) < _RANDOM_MIN or run.lower() == run or run.upper() == run:
        return False
    kinds = [_kind(character) for character in run]
    changes = sum(one != other for one, other in pairwise(kinds))
    in_words = sum(map(len, _WORDLIKE.findall(run)))
    return (
        changes >= 0.34 * (len(run) - 1)
        and in_words <= 0.4 * len(run)
        and _entropy(run) >= 0.7 * math.log2(min(len(run), 62))
    )


def _kind(character: str) -> int:
    return 0 if character.isdigit() else 1 if character.isupper() else 2


def _entropy(text: str) -> float:
    """Return bits per character (Shannon)."""
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values())
