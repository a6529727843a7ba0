"""The kernel's view of the voices: plain int64 rows of shapes and addresses. Shared by packing and kernel.

Rows rather than arrays of arrays, because voices differ in dim, tiers and layers, and one compiled kernel
serves them all. Every buffer behind an address is 64-byte aligned float32 unless it says otherwise, and
padded: dims and logits to 64, frames to an even count.
"""

from __future__ import annotations

WINDOW = 4096
"""How many past tokens a stream keeps in front of the block being made: the longest frame a checkpoint may have."""

# A voice's row: shapes, running numbers, weights, buffers. DIM is 0 in an empty slot.
(
    DIM,
    LEVELS,
    TIERS,
    LAYERS,
    POSITION,  # samples since the voice began: the phase of its frames
    COUNTER,  # draws so far: the place in its random stream
    KEY,  # its random stream, uint64 bits
    NOISE_KEY,  # its second one, for chaos, so that no draw depends on it
    UNITS,  # its dim without padding
    POSITIONS,  # the lowest frame size: how many tokens the table looks up
    TABLE,
    HIDDEN_WEIGHT,
    HIDDEN_BIAS,
    OUTPUT_WEIGHT,
    OUTPUT_BIAS,
    DECODE,  # [levels]: a token's sample value
    STREAM,  # uint8 [WINDOW + BLOCK]: what the voice drew, newest last
    FORCED,  # uint8 [frames] to take in place of its own draws, or 0
    SIGNAL,  # the numbers below
    FRAME,  # a tier's input
    X,
    HIDDEN,
    LOGITS,
    GATES_INPUT,
    GATES_STATE,
    VOICE_FIELDS,
) = range(26)

# A voice's SIGNAL numbers.
(
    INVERSE_TAU,
    SCALE_OFFSET,
    SCALE_FACTOR,
    PRE_EMPHASIS,
    DC_POLE,
    EMPHASIS_STATE,
    DC_INPUT,
    DC_OUTPUT,
    START_STRETCH,  # of the block being made
    END_STRETCH,
    START_FREEZE,
    END_FREEZE,
    START_CHAOS,
    END_CHAOS,
    SIGNALS,
) = range(15)

# A tier's row. INPUT_BIAS is the top tier's; a lower tier's is folded into the upsampling bias above it.
(
    FRAME_SIZE,
    RATIO,
    INPUT_COLUMNS,
    INPUT_WEIGHT,
    INPUT_BIAS,
    UPSAMPLE_WEIGHT,
    UPSAMPLE_BIAS,
    CONDITIONING,
    HELD,  # [dim]: the state that freeze holds on to
    TIER_FIELDS,
) = range(10)

# A GRU layer's row.
(
    WEIGHT_IH,
    WEIGHT_HH,
    BIAS_IH,
    BIAS_HH,
    STATE,
    LAYER_FIELDS,
) = range(6)

# A draw of a voice's noise stream is numbered sample, tier, layer, unit; bits up to each.
NOISE_FRAME, NOISE_TIER, NOISE_LAYER = 18, 15, 12
