"""OSCQuery: the address tree as JSON. Supervisor; standard library only.

See https://github.com/Vidvox/OSCQueryProposal. WARP, SLEW (seconds) and DEFAULT are ours: how 0..1 maps onto
the range of `value`, how fast a jump is followed, and where the knob begins.
"""

from __future__ import annotations

from typing import Any

from ambientd.control.osc_methods import AddressSpace, Method
from ambientd.errors import AmbientdError

Node = dict[str, Any]

OPTIONAL = ("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "UNIT", "CLIPMODE", "WARP", "SLEW", "DEFAULT")
ATTRIBUTES = ("FULL_PATH", "CONTENTS", "TYPE", *OPTIONAL)
STREAMING = ("LISTEN", "PATH_CHANGED")
READ, WRITE = 1, 2
_UNITS = {"s": "time.second", "ms": "time.ms", "hz": "time.hz", "bpm": "time.bpm", "db": "gain.db"}


def host_info(port: int) -> Node:
    """port: OSC's, over UDP as over TCP. Addresses are left out: they are those the client asked at."""
    extensions = dict.fromkeys((*OPTIONAL, *STREAMING), True)
    return {"NAME": "ambientd", "OSC_PORT": port, "OSC_TRANSPORT": "UDP", "EXTENSIONS": extensions}


def describe(space: AddressSpace, path: str) -> Node | None:
    """The node at `path` with all below it, or None."""
    node = _tree(space)
    for name in filter(None, path.split("/")):
        node = node.get("CONTENTS", {}).get(name)
        if node is None:
            return None
    return node


def _tree(space: AddressSpace) -> Node:
    root: Node = {"FULL_PATH": "/", "ACCESS": 0, "CONTENTS": {}}
    for method in space:
        node = root
        for name in method.address[1:].split("/"):
            contents = node.setdefault("CONTENTS", {})
            path = f"{node['FULL_PATH'].rstrip('/')}/{name}"
            node = contents.setdefault(name, {"FULL_PATH": path, "ACCESS": 0})
        node.update(_describe_method(method))
    return root


def _describe_method(method: Method) -> Node:
    node: Node = {
        "DESCRIPTION": method.description,
        "TYPE": method.tags,
        "ACCESS": (READ if method.query else 0) | (WRITE if method.act else 0),
    }
    if method.query:
        try:
            node["VALUE"] = list(method.query())
        except AmbientdError:
            node["VALUE"] = []  # such as the seed of an empty slot
    if method.range:
        whole = method.tags != "f"
        low, high = (int(end) if whole else end for end in method.range)
        node["RANGE"] = [{"MIN": low, "MAX": high}]
    return node | _describe_knob(method)


def _describe_knob(method: Method) -> Node:
    knob = method.parameter
    if not knob:
        return {}
    if not method.own_unit:
        return {"CLIPMODE": ["both"], "SLEW": knob.slew, "DEFAULT": [knob.normalise(knob.default)]}
    node = {"CLIPMODE": ["both"], "WARP": knob.warp, "SLEW": knob.slew, "DEFAULT": [knob.default]}
    unit = _UNITS.get(knob.unit.lower(), knob.unit) or ("gain.linear" if knob.warp == "decibel" else "")
    return node | ({"UNIT": [unit]} if unit else {})
