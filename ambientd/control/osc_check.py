"""Is this datagram well-formed OSC? Asked before a parser sees it. Supervisor; standard library only.

The parser is lenient where a network must not be trusted: it reads a truncated float as 0, passes NaN on,
never returns from an element size of -4 and recurses as deep as it is asked to. So every byte is accounted
for here first, in time linear in the datagram's length. See https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import math
import re
import struct

from ambientd.control.osc_pattern import BadPattern, Pattern, is_pattern

MAX_BYTES = 16_384
MAX_DEPTH = 4
MAX_ADDRESS = 255
MAX_MESSAGES = 512
"""Of one bundle, with those that are nested in it."""
PATTERN_WEIGHT = 20
"""An address with wildcards is compared with every address there is."""
BUNDLE = b"#bundle\0"

_ADDRESS = re.compile(rb"/[!\"$-~]*")
_SIZES = {"i": 4, "f": 4, "h": 8, "d": 8, "t": 8, "T": 0, "F": 0, "N": 0}


class Malformed(Exception):
    """Why a datagram is not taken."""


def check(datagram: bytes) -> int:
    """How much work the datagram is, in plain messages; 0 for a bundle of nothing.

    Raises Malformed when it is not one message or bundle that a parser can be trusted with.
    """
    if len(datagram) > MAX_BYTES:
        raise Malformed(f"{len(datagram)} bytes, more than {MAX_BYTES}")
    weights: list[int] = []
    _check_element(datagram, MAX_DEPTH, weights)
    return sum(weights)


def _check_element(data: bytes, depth: int, weights: list[int]) -> None:
    if not data or len(data) % 4:
        raise Malformed(f"{len(data)} bytes is not a multiple of 4 above 0")
    if data.startswith(BUNDLE):
        _check_bundle(data, depth, weights)
        return
    weights.append(_check_message(data))
    if len(weights) > MAX_MESSAGES:
        raise Malformed(f"a bundle of more than {MAX_MESSAGES} messages")


def _check_bundle(data: bytes, depth: int, weights: list[int]) -> None:
    if depth == 0:
        raise Malformed(f"bundles nested more than {MAX_DEPTH} deep")
    at = len(BUNDLE) + 8  # behind the time tag
    if at > len(data):
        raise Malformed("a bundle without a time tag")
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if not 0 < size <= len(data) - at:
            raise Malformed(f"an element of {size} bytes where {len(data) - at} are left")
        _check_element(data[at : at + size], depth - 1, weights)
        at += size


def _check_message(data: bytes) -> int:
    address, at = _string(data, 0)
    weight = _check_address(address)
    if at == len(data):
        return weight  # older senders leave out the type tags of a message without arguments
    tags, at = _string(data, at)
    if not tags.startswith(b","):
        raise Malformed(f"type tags without a comma: {tags[:40]!r}")
    for tag in tags[1:].decode("latin-1"):
        at = _check_argument(tag, data, at)
    if at != len(data):
        raise Malformed(f"{len(data) - at} bytes more than the type tags tell of")
    return weight


def _check_address(address: bytes) -> int:
    if len(address) > MAX_ADDRESS:
        raise Malformed(f"an address of {len(address)} bytes, more than {MAX_ADDRESS}")
    if not _ADDRESS.fullmatch(address):
        raise Malformed(f"an address that is not one: {address[:40]!r}")
    text = address.decode("ascii")
    if not is_pattern(text):
        return 1
    try:
        Pattern(text)
    except BadPattern as fault:
        raise Malformed(str(fault)) from None
    return PATTERN_WEIGHT


def _check_argument(tag: str, data: bytes, at: int) -> int:
    """Where the argument at `at` ends."""
    if tag == "s":
        text, end = _string(data, at)
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("text that is not UTF-8") from None
        return end
    if tag == "b":
        size = struct.unpack_from(">i", data, at)[0] if at + 4 <= len(data) else -1
        end = at + 4 + size + -size % 4
        if size < 0 or end > len(data):
            raise Malformed(f"a blob of {size} bytes where {len(data) - at} are left")
        return end
    if tag not in _SIZES:
        raise Malformed(f"type tag {tag!r}")
    end = at + _SIZES[tag]
    if end > len(data):
        raise Malformed(f"{len(data) - at} bytes for an argument of type {tag!r}")
    if tag in "fd" and not math.isfinite(struct.unpack_from(f">{tag}", data, at)[0]):
        raise Malformed("a number that is not finite")
    return end


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes of the string at `at`, and where the next item begins: behind 1 to 4 zeros."""
    end = data.find(b"\0", at)
    if end < 0:
        raise Malformed("a string without an end")
    following = end + 4 - end % 4
    if any(data[end:following]):
        raise Malformed("a string padded with something other than zeros")
    return data[at:end], following
