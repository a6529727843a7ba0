// One launch makes a block of samples of all voices: the first blocks of the grid are the sample team, the rest the
// frame team. Weights stay where they are from sample to sample, and nothing goes back to the host in between.
//
// Compiled with CLUSTER (1: the sample team is a cluster of blocks and exchanges through their shared memory; 0: through
// global memory, on processors without clusters), SAMPLE_BITS (16, 32) and FRAME_BITS (8, 16, 32).
#include "lanes.h"

#include "voices.h"

#include "teams.h"

#include "frames.h"

#include "samples.h"

extern "C" __global__ void __launch_bounds__(THREADS, 1) make_block(const Plan *plan) {
    if (place().block < plan->sample_blocks)
        SampleTeam(*plan).run();
    else
        FrameTeam(*plan).run();
}
