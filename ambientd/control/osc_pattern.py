"""Address patterns of OSC 1.0: which names `*`, `?`, `[a-c]`, `[!a-c]` and `{one,two}` stand for. Supervisor.

Standard library only. Matching follows all possibilities at once, as a set of places in the name, so that its time
is the product of both lengths whatever the pattern: `*a*a*a*a*b` costs no more than it looks.
See https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import re
from collections.abc import Callable

Token = Callable[[str, set[int]], set[int]]
"""From the places in a name where a match may stand to those where it may stand behind this token."""

_WILD = re.compile(r"\*|\?|\[[^\]]*\]")
_SPECIAL = re.compile(r"[*?\[\]{},]")
_TOKEN = re.compile(
    r"""(?P<star>\*+) | (?P<one>\?) | \[(?P<not>!?)(?P<set>[^*?\[\]{},]+)\]
      | \{(?P<words>[^*?\[\]{}]*)\} | (?P<text>[^*?\[\]{},]+)""",
    re.VERBOSE,
)


class BadPattern(ValueError):
    """Not a pattern: a bracket or brace without its other half, an empty set, a comma outside of braces."""


def is_pattern(address: str) -> bool:
    return _SPECIAL.search(address) is not None


class Pattern:
    """An address with wildcards; none of them reaches over a slash.

    open: the places, counted in parts, where `*`, `?` or `[...]` may stand for names that are not spelled out.
    blank: below the root it names nothing at all.
    """

    def __init__(self, address: str) -> None:
        """Raises BadPattern."""
        parts = address.removeprefix("/").split("/")
        self._parts = [_tokens(part) for part in parts]
        self.blank = not any(_WILD.sub("", part) for part in parts[1:])
        self.open = tuple(place for place, part in enumerate(parts) if re.search(r"[*?\[]", part))

    def matches(self, names: tuple[str, ...]) -> bool:
        """names: an address, cut at its slashes."""
        return len(names) == len(self._parts) and all(map(_fits, self._parts, names))


def _fits(tokens: list[Token], name: str) -> bool:
    places = {0}
    for token in tokens:
        places = token(name, places)
        if not places:
            return False
    return len(name) in places


def _tokens(part: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(part):
        found = _TOKEN.match(part, at)
        if not found:
            raise BadPattern(f"{part[at : at + 20]!r} is no pattern")
        tokens.append(_token(found))
        at = found.end()
    return tokens


def _token(found: re.Match[str]) -> Token:
    if found["star"]:
        return lambda name, places: set(range(min(places), len(name) + 1))
    if found["one"]:
        return _one_of(frozenset(), negated=True)
    if found["set"]:
        return _one_of(_characters(found["set"]), negated=bool(found["not"]))
    return _words((found["words"] or "").split(",") if found["text"] is None else [found["text"]])


def _one_of(characters: frozenset[str], negated: bool) -> Token:
    return lambda name, places: {at + 1 for at in places if at < len(name) and (name[at] in characters) != negated}


def _words(words: list[str]) -> Token:
    return lambda name, places: {at + len(word) for at in places for word in words if name.startswith(word, at)}


def _characters(text: str) -> frozenset[str]:
    """What stands between square brackets; a minus sign at either end is itself."""
    found: set[str] = set()
    for first, last in re.findall(r"(.)(?:-(.))?", text):
        found.update(map(chr, range(ord(first), ord(last or first) + 1)))
    return frozenset(found)
