// What the persistent kernel is called with. `layouts.py` fills in the same structures from Python; addresses are the
// device's. V voices of a bank, S blocks of the sample team.
#pragma once

constexpr int MOST_VOICES = 16, MOST_TIERS = 6, MOST_LAYERS = 4, BLOCK = 256, WINDOW = 4096, LEVELS = 256;
constexpr int SCALES = 256, NOISE_FRAME = 18, NOISE_TIER = 15, NOISE_LAYER = 12;
enum Number { PART, CENTRE, FAST, SLOW, LEAST, NUMBERS };

#if SAMPLE_BITS == 32
typedef float SampleWeight;
#else
typedef Half SampleWeight;
#endif
#if FRAME_BITS == 32
typedef float FrameWeight;
#elif FRAME_BITS == 16
typedef Half FrameWeight;
#else
typedef signed char FrameWeight;
#endif

// Row-major; rows are `stride` elements apart, a multiple of 16, zeros behind the last column.
struct Matrix {
    const FrameWeight *weight;
    const float *bias;   // [rows]
    const float *scale;  // [rows]: what an int8 counts; else 1
    int rows, stride;
};

struct Layer {
    Matrix ih, hh;
    float *state;  // [dim]
    float *ahead;  // [3, dim]: hh times the state, as soon as that is known
};

struct Tier {
    const float *input_weight;  // [dim, frame_size]
    const float *input_bias;    // [dim]
    Matrix upsample;
    float *held;     // [dim]
    float *vectors;  // [ratio, vector_stride]
    Layer layers[MOST_LAYERS];
    int frame_size, ratio;
};

// Of a forecast along a guide; order 0: the voice has none.
struct Forecast {
    const SampleWeight *table;  // [3, SCALES, dim]
    const float *levels;        // [levels]
    const float *midpoints;     // [levels - 1]
    const float *width;         // [2, SCALES]
    float *numbers;             // [NUMBERS]
    float *taps;                // [order]
    float *inputs;              // [order + BLOCK]: see memory.py
    int order;
    float slope;
};

struct Voice {
    // Slices of columns, one for each block of the sample team, in pairs: [S, slice / 2, rows, 2].
    const SampleWeight *hidden, *output;
    const float *hidden_bias, *output_bias;
    const SampleWeight *table;  // [width, levels, dim]
    float *x;                   // [dim], scratch
    unsigned char *tokens;      // [WINDOW + BLOCK]
    Tier tiers[MOST_TIERS];
    Forecast forecast;
    int dim;  // 0: nobody is here
    int levels, tier_count, layer_count, width;
    int slice;        // columns of a block of the sample team, even
    int resident;  // where in shared memory its slices are kept, in bytes; or -1
    int vector_stride;
    float inverse_tau, offset, factor;
};

// One block's inputs, as inputs.py has them.
struct Inputs {
    const long long *counters, *keys, *noise_keys;  // [V]
    const int *phases, *history, *drawing;          // [V]
    const int *forced;                              // [V, BLOCK]
    const float *start_logits, *end_logits;                     // [V, V]
    const float *start_mixture, *end_mixture;                   // [V], and so are the others
    const float *start_conditioning, *end_conditioning;         // [MOST_TIERS, V, V]
    const float *start_temperature, *end_temperature;
    const float *start_stretch, *end_stretch;
    const float *start_freeze, *end_freeze;
    const float *start_chaos, *end_chaos;
};

struct Plan {
    Voice voices[MOST_VOICES];
    Inputs inputs;
    unsigned char *tokens;  // [V, BLOCK], out
    float *logits;          // [V, BLOCK, LEVELS], out; or null
    int *flags;             // zeros at the start: see Flag, then [frame_blocks] of progress
    float *exchange;        // [S, exchange_floats], where there are no clusters
    int count, sample_blocks, frame_blocks;
    int exchange_floats;
    int shares;         // whether vectors of others are heard
    int resident_bytes;  // of shared memory, for slices of weights
    int slice, order, width;  // the most that any voice has
};

enum Flag { SAMPLED, SAMPLE_BARRIER, FRAME_BARRIER, PROGRESS = 4 };
