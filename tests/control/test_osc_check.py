"""The OSC bouncer: what the parser cannot be trusted with does not reach it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from ambientd.control.osc_check import MAX_ADDRESS, MAX_BYTES, MAX_DEPTH, MAX_MESSAGES, PATTERN_WEIGHT, Malformed, check

arguments = st.lists(
    st.one_of(
        st.integers(-(2**31), 2**31 - 1),
        st.floats(-(2.0**100), 2.0**100, width=32),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        st.binary(min_size=1, max_size=20),
        st.booleans(),
        st.none(),
    ),
    max_size=8,
)


def message(address: str, *values: object) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


def bundle(*elements: bytes) -> bytes:
    return b"#bundle\0" + bytes(7) + b"\1" + b"".join(struct.pack(">i", len(e)) + e for e in elements)


@given(arguments)
def test_what_the_library_builds_passes_and_reads_back(values: list) -> None:
    datagram = message("/ambientd/volume", *values)
    check(datagram)
    (timed,) = OscPacket(datagram).messages
    assert timed.message.params == values


def test_bundles_pass_down_to_the_depth_allowed() -> None:
    builder = OscBundleBuilder(IMMEDIATELY)
    builder.add_content(OscMessageBuilder("/a").build())
    check(builder.build().dgram)
    nested = message("/a", 1.0)
    for _ in range(MAX_DEPTH):
        nested = bundle(nested, message("/b", 1))
        check(nested)
    with pytest.raises(Malformed, match="nested"):
        check(bundle(nested))
    check(bundle())


def test_work_is_weighed() -> None:
    assert check(message("/a", 1)) == 1
    assert check(message("/a/*", 1)) == PATTERN_WEIGHT
    assert check(bundle(message("/a"), bundle(message("/{b,c}"), bundle()))) == 1 + PATTERN_WEIGHT
    check(bundle(*[b"/a\0\0"] * MAX_MESSAGES))
    with pytest.raises(Malformed, match="more than 512 messages"):
        check(bundle(*[b"/a\0\0"] * (MAX_MESSAGES + 1)))


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "multiple of 4"),
        (b"/ab", "multiple of 4"),
        (b"/abcd/ef", "without an end"),
        (b"abc\0", "not one"),
        (b"/a b\0\0\0\0", "not one"),
        (b"/\xff\xff\0", "not one"),
        (b"/#a\0", "not one"),
        (b"/{a\0", "no pattern"),
        (b"/a]\0", "no pattern"),
        (b"/[]\0", "no pattern"),
        (b"/a,\0", "no pattern"),
        (b"/" + bytes(b"a" * MAX_ADDRESS) + bytes(4), "an address of 256 bytes"),
        (b"/a\0x,\0\0\0", "padded"),
        (b"/a\0\0f\0\0\0", "comma"),
        (b"/a\0\0,f\0\0", "0 bytes for an argument"),
        (b"/a\0\0,d\0\0\0\0\0\0", "4 bytes for an argument"),
        (b"/a\0\0,f\0\0" + struct.pack(">f", float("nan")), "not finite"),
        (b"/a\0\0,d\0\0" + struct.pack(">d", float("-inf")), "not finite"),
        (b"/a\0\0,s\0\0abcd", "without an end"),
        (b"/a\0\0,s\0\0\xff\0\0\0", "UTF-8"),
        (b"/a\0\0,b\0\0" + struct.pack(">i", -1), "blob of -1"),
        (b"/a\0\0,b\0\0" + struct.pack(">i", 2**31 - 1), "blob of 2147483647"),
        (b"/a\0\0,b\0\0", "blob"),
        (b"/a\0\0,[]\0", "type tag '\\['"),
        (b"/a\0\0,i\0\0" + bytes(8), "4 bytes more"),
        (b"#bundle\0", "time tag"),
        (b"#bundle\0" + bytes(8) + struct.pack(">i", -4), "element of -4"),
        (b"#bundle\0" + bytes(8) + struct.pack(">i", 0), "element of 0"),
        (b"#bundle\0" + bytes(8) + struct.pack(">i", 400) + b"/a\0\0", "element of 400 bytes where 4"),
        (bytes(MAX_BYTES + 4), "more than"),
    ],
)
def test_what_is_malformed_is_refused_with_the_reason(datagram: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        check(datagram)


def test_every_truncation_is_refused_or_still_whole() -> None:
    whole = bundle(message("/ambientd/volume", 0.5), message("/ambientd/mashup/select", "blend"))
    for length in range(len(whole)):
        if length == 16:
            continue  # a bundle of nothing
        if length == 16 + 4 + len(message("/ambientd/volume", 0.5)):
            continue  # a bundle of the first message
        with pytest.raises(Malformed):
            check(whole[:length])


@given(st.binary(max_size=200).map(lambda data: b"#bundle\0" + bytes(8) + data))
def test_whatever_passes_the_parser_reads_without_tripping(datagram: bytes) -> None:
    try:
        check(datagram)
    except Malformed:
        return
    OscPacket(datagram)
