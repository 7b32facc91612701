"""What nobody may read: credentials in addresses and settings. They come from the environment or the usual files."""

import re
from urllib.parse import parse_qsl, urlsplit

ADVICE = (
    "credentials never stand in a configuration: it is copied into results; give them by the environment or the usual "
    "files (docs/data.md)"
)
SECRET = re.compile(
    r"(^|[_-])(password|passwd|secret|token|signature|sig|credentials?|authorization|apikey|(api|access|account)[_-]?key)"
    r"([_-]|$)|^x-(amz|goog)-",
    re.IGNORECASE,
)
ANY_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Return whether a key, of a mapping or in an address, is called like a credential."""
    return SECRET.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key)) is not None


def faults(address: str) -> str | None:
    """Return what is secret in an address that a person wrote, in words, or None."""
    parts = urlsplit(address)
    if parts.username is not None or parts.password is not None:
        return "a user or a password"
    keys = [key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if is_secret(key)]
    return f"the key {keys[0]!r}" if keys else None


def shown(address: str) -> str:
    """Return an address as it may be shown: without user, password, and the values of its query."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        query = "&".join(f"{key}=…" for key, _ in parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{host}{parts.path}{'?' if query else ''}{query}"


def without(text: str) -> str:
    """Return a text of another program with the addresses in it as they may be shown."""
    return ANY_ADDRESS.sub(lambda found: shown(found[0]), text)
