"""The kernel's view of the voices: plain int64 rows of shapes and addresses. Shared by packing and kernels.

Rows rather than arrays of arrays, because voices differ in dim, tiers and layers, and one compiled kernel
serves them all. Every buffer behind an address is 64-byte aligned float32 unless it says otherwise, and
padded: dims and logits to whole blocks of 64, frames to 4.
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
    TABLE,  # [positions, levels, dim], float32 or int16
    TABLE_SCALE,  # float32 bits: what an int16 of the table counts; 0: the table is float32
    QUANTIZED,  # what its matrices want of their activations: FLOATS, BYTES or SHORTS
    HIDDEN_QUANTIZED,  # what OUTPUT_MATRIX wants: the same, or PLACES
    HIDDEN_MATRIX,  # also what tells voices of one checkpoint from others
    OUTPUT_MATRIX,
    DECODE,  # [levels]: a token's sample value
    STREAM,  # uint8 [WINDOW + BLOCK]: what the voice drew, newest last
    FORCED,  # uint8 [frames] to take in place of its own draws, or 0
    SIGNAL,  # the numbers below
    FRAME,  # a tier's input
    X,  # activation
    HIDDEN,  # activation
    LOGITS,
    GATES_INPUT,  # [3, dim], and as much for the second core
    GATES_STATE,
    FORECASTER,  # its row and, behind it, those of its stages; or 0: the voice does not forecast
    VOICE_FIELDS,
) = range(28)

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
    START_MIXTURE,
    END_MIXTURE,
    SIGNALS,
) = range(17)

# A tier's row.
(
    FRAME_SIZE,
    RATIO,
    INPUT_COLUMNS,
    INPUT_MATRIX,
    UPSAMPLE_MATRIX,
    CONDITIONING,  # [ratio, dim], and as much for the second core
    HELD,  # [dim]: the state that freeze holds on to
    HEARD,  # activation: what the tier below hears while something is held
    SHARED_FROM,  # of the frame's vectors, the first that is not in CONDITIONING yet, but with the second core
    SHARED_JOB,  # the number of its first job; -1: of none
    SHARED_INPUT,  # the activation that it is made from
    FOLDED_BIAS,  # [dim]: the input's bias of the tier below, which is in every vector of CONDITIONING
    START_SHARES,  # [V]: of the block being made, how much whose vectors of this tier condition the one below
    END_SHARES,  # START_SHARES 0: its own alone
    TIER_FIELDS,
) = range(15)

# A GRU layer's row.
(
    MATRIX_IH,
    MATRIX_HH,
    STATE,  # activation
    GATES_AHEAD,  # where the second core puts MATRIX_HH's next results
    AHEAD_JOB,  # the number of its first job; -1: of none
    LAYER_FIELDS,
) = range(6)

# A forecaster's row: what its checkpoint says, and what it knows. Its floats are float64, as bits.
(
    STAGES,
    FORECAST_TABLE,  # [3, 256, dim], float32 or int16
    FORECAST_SCALE,  # as TABLE_SCALE
    LEVEL_VALUES,  # [levels]: a token's value, the album's gain in it
    MIDPOINTS,  # [levels - 1]: between neighbouring ones
    WIDTHS,  # [2, 256]
    GUIDED,  # 1: by one filter that was given to it; it learns nothing, and SLOW_ERROR stays
    LEAST_FAST,  # what FAST_ERROR does not fall below
    SLOPE,
    CENTRE,  # what it expects
    FAST_ERROR,
    SLOW_ERROR,
    TOKENS,  # the same as the table knows them, uint8 [3]
    FORECASTER_FIELDS,
) = range(14)

# A stage's row. Floats as above.
(
    ORDER,
    RATE,
    TAPS,  # float32 [order]
    INPUTS,  # float32 [order + SLACK]
    OLDEST,  # which of the inputs is the first that its taps are multiplied with
    ENERGY,
    PART,  # its share of what is expected
    STAGE_FIELDS,
) = range(8)

SLACK = 256
"""Inputs that a stage hears before the newest of them are moved down to where there is room for as many more."""

ROWS = 64
"""Rows of a matrix that are worked on together."""

# A matrix. WEIGHT's layout is its kind's (`gemv.py`); the last four are arrays [ROWS * BLOCKS].
(
    KIND,
    COLUMNS,
    BLOCKS,
    WEIGHT,
    BIAS,
    SCALE,  # integers: what a unit of weight is
    ROW_SUM,  # integers: int32, the sum of a row's weights
    MATRIX_FIELDS,
) = range(8)

FP32, BF16, BF16_SPARSE, INT8_AVX512, INT8_AVX2, INT8_PORTABLE = range(6)
"""Kinds of matrices. The sparse one is for vectors that are mostly zeros."""

# An activation: a vector that matrices are multiplied with. float32 [dim]; the same as unsigned bytes [dim], or
# those in 16 bits; then what one of them counts (float32) and which of them is 0 (int32). For the sparse kind: in
# place of the bytes the places of what is not 0, in 16 bits, and their number (int32). In bytes a dim:
QUANTIZED_AT, NUMBERS_AT = 4, 6
NUMBER_BYTES = 64
FLOATS, BYTES, SHORTS, PLACES = range(4)
"""What a matrix wants of an activation, beside the floats."""

# A draw of a voice's noise stream is numbered sample, tier, layer, unit; bits up to each.
NOISE_FRAME, NOISE_TIER, NOISE_LAYER = 18, 15, 12
