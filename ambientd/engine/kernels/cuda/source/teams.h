// What both teams of blocks use: barriers, ramps, random numbers.
#pragma once

// All blocks of a team, by a counter in global memory. Everybody's writes before it are seen by all after it.
DEVICE void sync_by_counter(int *counter, int members) {
    sync_block();
    if (place().warp == 0) ONCE {
        int goal = (counted(counter) / members + 1) * members;
        while (observed(counter) < goal) rest();
    }
    sync_block();
}

#if !CLUSTER
DEVICE void sync_team(int *counter, int members) { sync_by_counter(counter, members); }
DEVICE float exchanged(const float *value) { return fresh(value); }
#endif

// What is fetched from memory at once.
template <class Value>
struct alignas(16) Sixteen {
    Value value[16 / sizeof(Value)];
};
template <class Value>
DEVICE Sixteen<Value> sixteen_bytes(const Value *at) {
    return *reinterpret_cast<const Sixteen<Value> *>(at);
}

DEVICE float ramped(const float *start, const float *end, int i, float share) {
    return start[i] + share * (end[i] - start[i]);
}

// As `elementary.uniform`.
DEVICE float uniform(long long key, long long counter) {
    unsigned long long x = key + (counter + 1) * 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    x ^= x >> 31;
    return float(unsigned(x >> 40) | 1u) * (1.0f / (1 << 24));
}

// Whether a frame of the voice's tier k begins with sample s of the block.
DEVICE bool begins(const Plan &plan, int v, int k, int s) {
    const Voice &voice = plan.voices[v];
    return voice.dim && k < voice.tier_count && (plan.inputs.phases[v] + s) % voice.tiers[k].frame_size == 0;
}

// Which of tier k's vectors of voice v is heard at sample s, for `period` samples.
DEVICE int vector_at(const Plan &plan, int v, int k, int s, int period) {
    return (plan.inputs.phases[v] + s) / period % plan.voices[v].tiers[k].ratio;
}

// Unit i of what tier k hands down to voice v at sample s: its own vector, or a blend.
DEVICE float handed_down(const Plan &plan, int v, int k, int s, int period, int i) {
    const Voice &own = plan.voices[v];
    if (!plan.shares)
        return fresh(own.tiers[k].vectors + vector_at(plan, v, k, s, period) * own.vector_stride + i);
    float share = float(s + 1) / BLOCK, total = 0, sum = 0;
    for (int j = 0; j < plan.count; ++j) {
        int at = (k * plan.count + v) * plan.count + j;
        float weight = ramped(plan.inputs.start_conditioning, plan.inputs.end_conditioning, at, share);
        total += weight;
        if (weight != 0 && plan.voices[j].dim) {
            const Voice &other = plan.voices[j];
            int vector = vector_at(plan, j, k, s, period);
            sum += weight * fresh(other.tiers[k].vectors + vector * other.vector_stride + i);
        }
    }
    return sum / total;
}
