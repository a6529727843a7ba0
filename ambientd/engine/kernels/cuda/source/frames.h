// The frame team: blocks that make the frame tiers' vectors, while the sample team draws the samples that came before.
// A unit of a layer is always the same warp's, so what only it needs waits for nobody.
#pragma once

// A vector in shared memory as the matrices want it: padded with zeros, and for int8 rounded to that.
struct Staged {
    const float *values;
    const signed char *bytes;
    float scale;
};

DEVICE int padded(int n) { return (n + 15) / 16 * 16; }
DEVICE int staged_bytes(int dim) { return padded(dim) * 5 + 16; }

// value(i) for all i < dim, by the whole block.
template <class Value>
DEVICE Staged stage(char *memory, int dim, Value value) {
    float *values = reinterpret_cast<float *>(memory);
    sync_block();  // nobody reads what was here
    EACH_THREAD(i, padded(dim)) values[i] = i < dim ? value(i) : 0.0f;
    sync_block();
    Staged staged = {values, nullptr, 1.0f};
#if FRAME_BITS == 8
    signed char *bytes = reinterpret_cast<signed char *>(values + padded(dim));
    float peak = warp_max([&](int lane) {
        float most = 1e-20f;
        for (int i = lane; i < dim; i += 32) most = fmaxf(most, fabsf(values[i]));
        return most;
    });
    EACH_THREAD(i, padded(dim)) bytes[i] = static_cast<signed char>(rintf(values[i] * (127 / peak)));
    sync_block();
    staged.bytes = bytes;
    staged.scale = peak / 127;
#endif
    return staged;
}

DEVICE float dot(const Matrix &matrix, int row, const Staged &x) {
    const FrameWeight *weight = matrix.weight + (long long)row * matrix.stride;
#if FRAME_BITS == 8
    float sum = float(warp_count([&](int lane) {
        int part = 0;
        for (int i = 16 * lane; i < matrix.stride; i += 512) {
            Sixteen<int> w = sixteen_bytes(reinterpret_cast<const int *>(weight + i));
            Sixteen<int> b = sixteen_bytes(reinterpret_cast<const int *>(x.bytes + i));
            for (int n = 0; n < 4; ++n) part = dot_of_bytes(w.value[n], b.value[n], part);
        }
        return part;
    }));
    return sum * matrix.scale[row] * x.scale + matrix.bias[row];
#else
    constexpr int STEP = 16 / sizeof(FrameWeight);
    float sum = warp_sum([&](int lane) {
        float part = 0;
        for (int i = STEP * lane; i < matrix.stride; i += 32 * STEP) {
            Sixteen<FrameWeight> w = sixteen_bytes(weight + i);
            for (int n = 0; n < STEP; ++n) part = multiply_add(widened(w.value[n]), x.values[i + n], part);
        }
        return part;
    });
    return sum + matrix.bias[row];
#endif
}

DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

struct FrameTeam {
    const Plan &plan;
    int first, step;  // of the units that are this warp's

    DEVICE explicit FrameTeam(const Plan &plan) : plan(plan) {
        Place here = place();
        first = (here.block - plan.sample_blocks) * here.warps + here.warp;
        step = plan.frame_blocks * here.warps;
    }

    DEVICE void sync() const { sync_by_counter(plan.flags + FRAME_BARRIER, plan.frame_blocks); }

    // All that is needed for the samples before `sample` is there.
    DEVICE void ready_until(int sample) const {
        sync_block();
        if (place().warp == 0) ONCE publish(plan.flags + PROGRESS + place().block - plan.sample_blocks, sample);
    }

    DEVICE void wait_for_samples(int count) const {
        if (place().warp == 0) ONCE while (observed(plan.flags + SAMPLED) < count) rest();
        sync_block();
    }

    // A frame's samples and what is handed down from above -> x.
    DEVICE void hear(int v, int k, int s) const {
        const Voice &voice = plan.voices[v];
        const Tier &tier = voice.tiers[k];
        const unsigned char *heard = plan.voices[plan.inputs.history[v]].tokens + WINDOW + s - tier.frame_size;
        for (int unit = first; unit < voice.dim; unit += step) {
            const float *weight = tier.input_weight + unit * tier.frame_size;
            float x = warp_sum([&](int lane) {
                float part = 0;
                for (int i = lane; i < tier.frame_size; i += 32)
                    part = multiply_add(weight[i], (float(fresh(heard + i)) - voice.offset) * voice.factor, part);
                return part;
            });
            x += tier.input_bias[unit];
            if (k + 1 < voice.tier_count) x += handed_down(plan, v, k + 1, s, tier.frame_size, unit);
            ONCE voice.x[unit] = x;
        }
    }

    // Layer n: its input is x, or the state of the layer below.
    DEVICE void recur(int v, int k, int n, int s) const {
        const Voice &voice = plan.voices[v];
        const Layer &layer = voice.tiers[k].layers[n];
        const float *input = n ? voice.tiers[k].layers[n - 1].state : voice.x, share = float(s + 1) / BLOCK;
        Staged x = stage(shared(), voice.dim, [&](int i) { return fresh(input + i); });
        int dim = voice.dim;
        const Inputs &inputs = plan.inputs;
        bool slow = k > 0 || voice.tier_count == 1;
        float rate = slow ? 1 / ramped(inputs.start_stretch, inputs.end_stretch, v, share) : 1;
        float chaos = ramped(inputs.start_chaos, inputs.end_chaos, v, share);
        for (int unit = first; unit < dim; unit += step) {
            float r = sigmoid(dot(layer.ih, unit, x) + fresh(layer.ahead + unit));
            float z = sigmoid(dot(layer.ih, dim + unit, x) + fresh(layer.ahead + dim + unit));
            float n_ = tanhf(dot(layer.ih, 2 * dim + unit, x) + r * fresh(layer.ahead + 2 * dim + unit));
            float h = fresh(layer.state + unit);
            h = rate == 1 ? n_ + z * (h - n_) : h + rate * (1 - z) * (n_ - h);
            if (chaos != 0) {
                long long frame = (inputs.counters[v] + s) << NOISE_FRAME;
                long long draw = frame + (k << NOISE_TIER) + (n << NOISE_LAYER) + unit;
                h = fminf(fmaxf(h + chaos * (2 * uniform(inputs.noise_keys[v], draw) - 1), -1.0f), 1.0f);
            }
            sync_warp();  // every lane has read the state
            ONCE layer.state[unit] = h;
        }
    }

    // hh times the states, for the next frame: the states stay what they are until then.
    DEVICE void look_ahead(int v, int k) const {
        const Voice &voice = plan.voices[v];
        for (int n = 0; n < voice.layer_count; ++n) {
            const Layer &layer = voice.tiers[k].layers[n];
            Staged h = stage(shared(), voice.dim, [&](int i) { return fresh(layer.state + i); });
            for (int unit = first; unit < voice.dim; unit += step)
                for (int gate = 0; gate < 3; ++gate) {
                    float sum = dot(layer.hh, gate * voice.dim + unit, h);
                    ONCE layer.ahead[gate * voice.dim + unit] = sum;
                }
            sync_warp();
        }
    }

    // What the tier below hears of the highest layer's state: that, or a blend with the held one.
    DEVICE Staged heard_below(int v, int k, int s) const {
        const Voice &voice = plan.voices[v];
        const Tier &tier = voice.tiers[k];
        const float *state = tier.layers[voice.layer_count - 1].state;
        const Inputs &inputs = plan.inputs;
        bool frozen = (k > 0 || voice.tier_count == 1) && inputs.start_freeze[v] != 0;
        float freeze = ramped(inputs.start_freeze, inputs.end_freeze, v, float(s + 1) / BLOCK);
        return stage(shared(), voice.dim, [&](int i) {
            float h = fresh(state + i);
            if (!frozen) return h;
            float held = fresh(tier.held + i);
            return held + (1 - freeze) * (h - held);
        });
    }

    // From now on the present state is the one to hold, unless one is held already.
    DEVICE void hold(int v, int k) const {
        const Voice &voice = plan.voices[v];
        const Tier &tier = voice.tiers[k];
        if ((k > 0 || voice.tier_count == 1) && plan.inputs.start_freeze[v] != 0) return;
        const float *state = tier.layers[voice.layer_count - 1].state;
        for (int unit = first; unit < voice.dim; unit += step) ONCE tier.held[unit] = fresh(state + unit);
    }

    // Of tier k, vectors from..to - 1.
    DEVICE void make_vectors(int v, int k, const Staged &heard, int from, int to) const {
        const Voice &voice = plan.voices[v];
        const Tier &tier = voice.tiers[k];
        for (int row = from * voice.dim + first; row < to * voice.dim; row += step) {
            float sum = dot(tier.upsample, row, heard);
            ONCE tier.vectors[row / voice.dim * voice.vector_stride + row % voice.dim] = sum;
        }
    }

    // What is needed at once: each due tier's states and its first vector, the highest tier first.
    DEVICE void make_first_vectors(int s) const {
        for (int k = MOST_TIERS - 1; k >= 0; --k) {
            int due = 0, layers = 0;
            for (int v = 0; v < plan.count; ++v)
                if (begins(plan, v, k, s)) {
                    hear(v, k, s);
                    ++due;
                    layers = max(layers, plan.voices[v].layer_count);
                }
            if (!due) continue;
            sync();
            for (int n = 0; n < layers; ++n) {
                for (int v = 0; v < plan.count; ++v)
                    if (begins(plan, v, k, s) && n < plan.voices[v].layer_count) recur(v, k, n, s);
                sync();
            }
            for (int v = 0; v < plan.count; ++v)
                if (begins(plan, v, k, s)) {
                    Staged heard = heard_below(v, k, s);
                    make_vectors(v, k, heard, 0, 1);
                    hold(v, k);
                }
            sync();
        }
    }

    // The others, those of the lowest tiers first, because a sample each waits for them.
    DEVICE void make_other_vectors(int s) const {
        int most = 0, widest = 1;
        for (int v = 0; v < plan.count; ++v)
            if (begins(plan, v, 0, s)) {
                most = max(most, plan.voices[v].tiers[0].ratio);
                widest = max(widest, plan.voices[v].dim);
            }
        int together = max(1, step / widest);
        for (int from = 1; from < most; from += together) {
            for (int v = 0; v < plan.count; ++v)
                if (begins(plan, v, 0, s) && from < plan.voices[v].tiers[0].ratio) {
                    Staged heard = heard_below(v, 0, s);
                    make_vectors(v, 0, heard, from, min(from + together, plan.voices[v].tiers[0].ratio));
                }
            ready_until(s + min(from + together, next(s) - s));
        }
        for (int k = 0; k < MOST_TIERS; ++k)
            for (int v = 0; v < plan.count; ++v)
                if (begins(plan, v, k, s)) {
                    if (k) {
                        Staged heard = heard_below(v, k, s);
                        make_vectors(v, k, heard, 1, plan.voices[v].tiers[k].ratio);
                    }
                    look_ahead(v, k);
                }
    }

    // The next sample with which a frame begins, or the end of the block.
    DEVICE int next(int s) const {
        for (++s; s < BLOCK; ++s)
            for (int v = 0; v < plan.count; ++v)
                if (begins(plan, v, 0, s)) return s;
        return BLOCK;
    }

    DEVICE void run() const {
        for (int v = 0; v < plan.count; ++v)
            for (int k = 0; k < plan.voices[v].tier_count && plan.voices[v].dim; ++k) look_ahead(v, k);
        sync();  // nobody changes a state that another one still looks ahead from
        for (int s = next(-1); s < BLOCK; s = next(s)) {
            ready_until(s);
            wait_for_samples(s);
            make_first_vectors(s);
            ready_until(s + 1);
            make_other_vectors(s);
        }
        ready_until(BLOCK);
    }
};
