"""The structures of `source/voices.h`, for ctypes. Same names, same order; a test compares their sizes."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

MOST_VOICES, MOST_TIERS, MOST_LAYERS = 16, 6, 4
SAMPLED, SAMPLE_BARRIER, FRAME_BARRIER = range(3)
PROGRESS = 4
"""Flags."""

_ADDRESS, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float


def _fields(kind: type, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Matrix(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [*_fields(_ADDRESS, "weight bias scale"), *_fields(_INT, "rows stride")]


class Layer(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [*_fields(Matrix, "ih hh"), *_fields(_ADDRESS, "state ahead")]


class Tier(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *_fields(_ADDRESS, "input_weight input_bias"),
        ("upsample", Matrix),
        *_fields(_ADDRESS, "held vectors"),
        ("layers", Layer * MOST_LAYERS),
        *_fields(_INT, "frame_size ratio"),
    ]


class Forecast(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *_fields(_ADDRESS, "table levels midpoints width numbers taps inputs"),
        ("order", _INT),
        ("slope", _FLOAT),
    ]


class VoicePlan(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *_fields(_ADDRESS, "hidden output hidden_bias output_bias table x tokens"),
        ("tiers", Tier * MOST_TIERS),
        ("forecast", Forecast),
        *_fields(_INT, "dim levels tier_count layer_count width slice resident vector_stride"),
        *_fields(_FLOAT, "inverse_tau offset factor"),
    ]


class Inputs(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = _fields(
        _ADDRESS,
        "counters keys noise_keys phases history drawing forced start_logits end_logits start_mixture end_mixture "
        "start_conditioning end_conditioning start_temperature end_temperature start_stretch end_stretch "
        "start_freeze end_freeze start_chaos end_chaos",
    )


class Plan(ctypes.Structure):
    _fields_: ClassVar[list[tuple[str, Any]]] = [
        ("voices", VoicePlan * MOST_VOICES),
        ("inputs", Inputs),
        *_fields(_ADDRESS, "tokens logits flags exchange"),
        *_fields(_INT, "count sample_blocks frame_blocks exchange_floats shares resident_bytes slice order width"),
    ]
