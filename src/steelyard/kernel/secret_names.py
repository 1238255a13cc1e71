"""What a name tells of its value: whether it is a secret.

A name is read word by word (`OPENAI_API_KEY`, `hfToken` and `db.password` are three, two and two
words), so that `monkey`, `tokenizer` and `author` are nothing but what they say.
"""

import re
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise


class Suspicion(IntEnum):
    """How much a name says that its value is a secret.

    `HINT`: only of a value that looks like one (`key`). `TEXT`: of any text (`hf_token`, which may
    as well be a count). `ANY`: of numbers, too (`password`).
    """

    NONE = 0
    HINT = 1
    TEXT = 2
    ANY = 3


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|\d+")

# Secrets wherever they stand in a name.
_STRONG = _set(
    """
    password passwords passwd passwds passphrase passphrases passwort passcode pwd secret secrets
    credential credentials creds cred authorization bearer jwt apikey apikeys cookie cookies
    mnemonic passkey privkey otp totp
    """
)
# Words are run together, too: `dbpassword`, `PGPASSWORD`.
_STRONG_END = (
    "password", "passwd", "passphrase", "apikey", "secretkey", "privatekey", "accesskey",
    "apitoken", "authtoken", "accesstoken", "refreshtoken", "clientsecret", "credentials",
)  # fmt: skip
# `auth` and `token` at the end of a name, and `pass` after one of these.
_PASS_OF = _set(
    """
    db database user smtp imap ftp mysql redis postgres pg mongo rabbitmq mail email root admin
    login proxy basic http sudo vault wifi ssh cert key keystore service account
    """
)
# A key is a secret when it is a key of one of these; so is a `pat`.
_KEY_OF = _set(
    """
    api access secret private priv signing sign encryption encrypt decryption decrypt ssh rsa dsa
    ecdsa gpg pgp tls ssl auth account storage service license licence master shared subscription
    deploy admin root session hmac aes des webhook function consumer application app client server
    host openai anthropic wandb hf huggingface comet neptune aws azure gcp google mlflow clearml
    cohere mistral groq together replicate stripe twilio sendgrid mailgun github gitlab slack
    datadog sentry pinecone openrouter deepseek gemini perplexity fireworks nvidia ngc kaggle
    elastic algolia write ingest integration instrumentation bot user merchant
    """
)
_PAT_OF = _set("github gh gitlab gl azure ado devops access git bitbucket")
# Tokens of a text, not of a login.
_TEXT_TOKENS = _set(
    """
    pad eos bos unk mask sep cls special image audio video max min per first next last stop start
    end begin decoder encoder forced prompt new class dist register latent num n input output
    suppress additional every each total cached reasoning thinking completion generated time to
    the a any placeholder separator newline padding unknown eot eom think query key value memory
    text speech time2first count vocab word language lang blank current previous prev
    """
)
_TOKENS_OF = _set("access refresh api auth bearer secret session id")
# After these a name tells about a secret instead of holding one.
_ABOUT = _set(
    """
    env envvar envvars var variable file files filename path paths dir directory name names size
    sizes count counts len length lengths dim dims limit limits type types kind mode method
    methods policy policies enabled disabled required optional expiry expires expiration expired
    ttl timeout age rotation min max format formats prefix suffix url urls uri uris endpoint
    endpoints provider providers scope scopes strength rules rule regex pattern field fields
    column columns location source version manager store index idx id ids usage rate rates budget
    position positions embedding embeddings ratio loss dropout heads head num freq frequency reset
    changed updated algorithm algorithms hasher encoder validator validators class strategy
    backend domain port user username attempts retries chars protected visible arn ref reference
    schema jar middleware plugin plugins module flow service server realm per check checks
    detection scanner scanning is samesite secure httponly consent banner lifetime seconds s ms
    days bits bytes list template templates cutter
    """
)
# Before it these say the same: how many, or whether.
_ABOUT_HEADS = _set(
    """
    n num number count total max min avg mean has have is are use uses using requires require
    needs allow with without no show hide log mask redact enable disable ignore skip check
    validate verify reset forgot change missing generate
    """
)
# At the end they change nothing: `API_KEY_2`, `TOKEN_PROD`.
_QUALIFIERS = _set(
    """
    prod production dev development stage staging test testing live sandbox value string str text
    raw base64 b64 hex hash plain plaintext encoded encrypted primary secondary backup main
    default v read write readonly ro rw
    """
)
_AUTH_OF = _set("header headers code value data string key token info cookie bearer")
_HINTS = _set("key keys token pat auth pass sig signature cert pin salt dsn")


@lru_cache(maxsize=4096)
def suspicion_of(name: str) -> Suspicion:
    """Return how much a name says that its value is a secret.

    Dots part the levels of a structure: below `secrets` everything is one that does not say what
    else it is.
    """
    *parents, leaf = name.split(".") if name else [""]
    words = _words(leaf)
    found = _of_words(words)
    if found < Suspicion.TEXT and not (words and words[-1] in _ABOUT):
        above = max((_of_words(_words(parent)) for parent in parents), default=Suspicion.NONE)
        if above == Suspicion.ANY:
            return above
    return found


def is_secret_name(name: str) -> bool:
    """Tell whether a text of this name is a secret."""
    return suspicion_of(name) >= Suspicion.TEXT


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name))


def _of_words(words: tuple[str, ...]) -> Suspicion:
    if words[:1] == ("pass",) and words[-1].isdigit():
        return Suspicion.HINT  # `pass@1`: of how many tries
    while len(words) > 1 and (words[-1] in _QUALIFIERS or words[-1].isdigit()):
        words = words[:-1]
    if not words:
        return Suspicion.NONE
    if words[-2:] == ("secret", "id"):  # of HashiCorp's AppRole: its second half
        return Suspicion.ANY
    if words[-1] in _ABOUT or (len(words) > 1 and words[0] in _ABOUT_HEADS):
        return Suspicion.NONE
    if any(map(_is_strong, words)) or _names_key(words):
        return Suspicion.ANY
    if _names_login(words):
        return Suspicion.TEXT
    return Suspicion.HINT if _HINTS.intersection(words) else Suspicion.NONE


def _is_strong(word: str) -> bool:
    return word in _STRONG or word.endswith(_STRONG_END)


def _names_key(words: tuple[str, ...]) -> bool:
    """`api_key`, `api_keys`, `api_key_openai`, `x-functions-key`, `seed_phrase`."""
    pairs = set(pairwise(words))
    if pairs & {("api", "key"), ("api", "keys"), ("private", "key"), ("seed", "phrase")}:
        return True
    *_, before, last = ("", *words)
    if last in {"key", "keys"}:
        return before in _KEY_OF or before.removesuffix("s") in _KEY_OF
    if last.removesuffix("s").removesuffix("key") in _KEY_OF and "key" in last:  # `openaikey`
        return True
    return last == "pat" and before in _PAT_OF


def _names_login(words: tuple[str, ...]) -> bool:
    """`token`, `hf_token`, `basic_auth`, `auth_header`, `smtp_pass`."""
    *_, before, last = ("", *words)
    if last == "token":
        return not _TEXT_TOKENS.intersection(words)
    if last.endswith("token") and last.removesuffix("token") in _KEY_OF:  # `slacktoken`
        return True
    if last == "tokens":
        return before in _TOKENS_OF
    if last in {"auth", "oauth", "authentication", "oauth2"}:
        return True
    if last in {"pass", "pw"}:
        return not before or before in _PASS_OF
    if last.endswith(("pass", "pw")) and last.removesuffix("pass").removesuffix("pw") in _PASS_OF:
        return True
    return last in _AUTH_OF and before in {"auth", "oauth", "authentication", "token"}
