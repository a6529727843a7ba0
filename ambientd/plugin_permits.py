"""Which plugins may be loaded beside the bundled ones, where that is limited: AMBIENTD_PLUGINS. Any process; light.

An installation that nobody watches (docs/installation.md) loads what was allowed when it was set up, and nothing
that was dropped in since. An environment variable, because every process and command has to obey it, before any
configuration is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from ambientd.plugin_sources import BUNDLED, Source

VARIABLE = "AMBIENTD_PLUGINS"
"""Words of names, each alone or as NAME=SHA-256 of the one file. Unset: everything may be loaded; empty: nothing."""


def refusal(source: Source) -> str:
    """Why a plugin is not to be loaded; empty where it may be."""
    permits = os.environ.get(VARIABLE)
    if permits is None or source.origin == BUNDLED:
        return ""
    allowed = dict(word.partition("=")[::2] for word in permits.split())
    if source.name not in allowed:
        return f"{VARIABLE} does not name it"
    if allowed[source.name] not in ("", digest(source.text)):
        return f"it is not the file that {VARIABLE} names by its SHA-256"
    return ""


def permits(sources: Iterable[Source]) -> str:
    """The variable's value that allows these, files as they are now."""
    return " ".join(f"{source.name}={digest(source.text)}" if source.text else source.name for source in sources)


def digest(text: str) -> str:
    """SHA-256 of a plugin file's text."""
    return hashlib.sha256(text.encode()).hexdigest()
