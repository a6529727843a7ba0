// The sample team: blocks that draw sample after sample, each with a slice of the columns of the sample tier's two
// matrices. A block multiplies its columns with its part of the activation, sends the sums to whom they belong, and
// after a barrier adds what it was sent: two barriers a sample. The last sums go to everybody, and everybody draws the
// same token, so nobody has to be told.
#pragma once

constexpr int PARTS = 4;  // of a logit's sum inside a block, so that more threads have something to do
constexpr int LANE_SUMS = 32;

struct Pair {
    float a, b;
};
DEVICE Pair pair_at(const Half *weights) {
    unsigned both = *reinterpret_cast<const unsigned *>(weights);
    return {widened(Half{(unsigned short)both}), widened(Half{(unsigned short)(both >> 16)})};
}
DEVICE Pair pair_at(const float *weights) { return {weights[0], weights[1]}; }

// A block's notes on a voice, in its shared memory.
struct Notes {
    float *x, *hidden;       // [slice]
    float *logits, *powers;  // [LEVELS]
    double *before;          // [LANE_SUMS]
    float *numbers;          // [NUMBERS]
    int *scales;             // [3], the forecast as its table knows it
    int *drawn;              // [1]
    float *taps, *inputs;    // [order], [order + BLOCK]
    unsigned char *tokens;   // [width + BLOCK]
};

DEVICE int notes_floats(const Plan &plan) {
    int floats = 2 * plan.slice + 2 * LEVELS + 2 * LANE_SUMS + 16 + 2 * plan.order + BLOCK + (plan.width + BLOCK + 3) / 4;
    return (floats + 3) / 4 * 4;
}
DEVICE int exchange_floats(const Plan &plan) { return plan.sample_blocks * (plan.slice + LEVELS); }

struct SampleTeam {
    const Plan &plan;
    int block;
    float *area;     // what others send to this block: of each voice, sums of hidden units and of logits
    float *scratch;  // [PARTS * LEVELS]
    int *shared_known;

    DEVICE explicit SampleTeam(const Plan &plan) : plan(plan), block(place().block) {
        float *memory = reinterpret_cast<float *>(shared() + plan.resident_bytes);
#if CLUSTER
        area = memory;
        memory += plan.count * exchange_floats(plan);
#else
        area = area_of(nullptr, block);
#endif
        memory += plan.count * notes_floats(plan);
        scratch = memory;
        shared_known = reinterpret_cast<int *>(memory + PARTS * LEVELS);
    }

#if !CLUSTER
    DEVICE float *area_of(float *, int owner) const { return plan.exchange + owner * plan.exchange_floats; }
#endif

    DEVICE Notes notes(int v) const {
        float *at = scratch - (plan.count - v) * notes_floats(plan);
        Notes notes;
        notes.before = reinterpret_cast<double *>(at);
        at += 2 * LANE_SUMS;
        notes.x = at;
        notes.hidden = at += plan.slice;
        notes.logits = at += plan.slice;
        notes.powers = at += LEVELS;
        notes.numbers = at += LEVELS;
        notes.scales = reinterpret_cast<int *>(at + 8);
        notes.drawn = notes.scales + 4;
        notes.taps = at += 16;
        notes.inputs = at += plan.order;
        notes.tokens = reinterpret_cast<unsigned char *>(at + plan.order + BLOCK);
        return notes;
    }

    DEVICE float *hidden_sums(float *owner, int v) const { return owner + v * exchange_floats(plan); }
    DEVICE float *logit_sums(float *owner, int v) const {
        return hidden_sums(owner, v) + plan.sample_blocks * plan.slice;
    }

    DEVICE const SampleWeight *slice_of(const SampleWeight *matrix, const Voice &voice, int rows) const {
        return matrix + (long long)block * voice.slice * rows;
    }
    // This block's slices, wherever they are.
    DEVICE const SampleWeight *hidden_slice(const Voice &voice) const {
        if (voice.resident < 0) return slice_of(voice.hidden, voice, voice.dim);
        return reinterpret_cast<const SampleWeight *>(shared() + voice.resident);
    }
    DEVICE const SampleWeight *output_slice(const Voice &voice) const {
        if (voice.resident < 0) return slice_of(voice.output, voice, voice.levels);
        return hidden_slice(voice) + voice.slice * voice.dim;
    }

    DEVICE void load() const {
        for (int v = 0; v < plan.count; ++v) {
            const Voice &voice = plan.voices[v];
            if (!voice.dim) continue;
            Notes mine = notes(v);
            EACH_THREAD(i, plan.width) mine.tokens[i] = voice.tokens[WINDOW - plan.width + i];
            if (voice.forecast.order) {
                EACH_THREAD(i, NUMBERS) mine.numbers[i] = voice.forecast.numbers[i];
                EACH_THREAD(i, plan.order) mine.taps[i] = voice.forecast.taps[i];
                EACH_THREAD(i, plan.order) mine.inputs[i] = voice.forecast.inputs[i];
            }
            if (voice.resident >= 0) {
                SampleWeight *kept = reinterpret_cast<SampleWeight *>(shared() + voice.resident);
                const SampleWeight *hidden = slice_of(voice.hidden, voice, voice.dim);
                const SampleWeight *output = slice_of(voice.output, voice, voice.levels);
                EACH_THREAD(i, voice.slice * voice.dim) kept[i] = hidden[i];
                EACH_THREAD(i, voice.slice * voice.levels) kept[voice.slice * voice.dim + i] = output[i];
            }
        }
        sync_block();
    }

    // What forecasts will begin the next block with; the streams and states are where they belong.
    DEVICE void save() const {
        if (block) return;
        for (int v = 0; v < plan.count; ++v) {
            const Forecast &forecast = plan.voices[v].forecast;
            if (!plan.voices[v].dim || !forecast.order) continue;
            Notes mine = notes(v);
            EACH_THREAD(i, NUMBERS) forecast.numbers[i] = mine.numbers[i];
            EACH_THREAD(i, plan.order) forecast.taps[i] = mine.taps[i];
            EACH_THREAD(i, plan.order + BLOCK) forecast.inputs[i] = mine.inputs[i];
        }
    }

    // How far that block of the frame team is that has come least far; by one warp.
    DEVICE int slowest() const {
        return warp_min([&](int lane) {
            int least = BLOCK;
            for (int i = lane; i < plan.frame_blocks; i += 32)
                least = min(least, observed(plan.flags + PROGRESS + i));
            return least;
        });
    }

    // Until the vectors for sample s are there; how far they are.
    DEVICE int wait_for_frames(int s) const {
        if (place().warp == 0) {
            int known = slowest();
            while (known <= s) {
                rest();
                known = slowest();
            }
            ONCE *shared_known = known;
        }
        sync_block();
        return *shared_known;
    }

    DEVICE const unsigned char *heard(int v, int s) const {  // one behind the newest token
        return notes(plan.inputs.history[v]).tokens + plan.width + s;
    }

    // The sample that was forecast has come; see forecasts.py. By one warp.
    DEVICE void forecast(int v, int s) const {
        const Forecast &forecast = plan.voices[v].forecast;
        Notes mine = notes(v);
        if (plan.inputs.phases[v] + s > 0) {
            float level = forecast.levels[heard(v, s)[-1]], error = fabsf(level - mine.numbers[PART]);
            float fast = mine.numbers[FAST];
            fast = fmaxf(fast + (error - fast) / 32, mine.numbers[LEAST]);
            sync_warp();
            ONCE mine.inputs[plan.order + s] = level;
            sync_warp();
            float part = warp_sum([&](int lane) {
                float sum = 0;
                for (int i = lane; i < plan.order; i += 32)
                    sum = multiply_add(mine.taps[i], mine.inputs[s + 1 + i], sum);
                return sum;
            });
            if (!(fabsf(part) <= 8.0f)) {  // WILD, or no number
                EACH_LANE(i, plan.order) mine.taps[i] = 0;
                EACH_LANE(i, plan.order + BLOCK) mine.inputs[i] = 0;
                part = 0;
            }
            sync_warp();
            ONCE {
                mine.numbers[PART] = part;
                mine.numbers[CENTRE] = fminf(fmaxf(part, -1.0f), 1.0f);
                mine.numbers[FAST] = fast;
            }
        } else {
            ONCE mine.inputs[plan.order + s] = 0;
        }
        sync_warp();
        float centre = mine.numbers[CENTRE];
        int below = warp_count([&](int lane) {
            int count = 0;
            for (int i = lane; i < plan.voices[v].levels - 1; i += 32) count += forecast.midpoints[i] < centre;
            return count;
        });
        ONCE {
            mine.scales[0] = below;
            mine.scales[1] = magnitude(mine.numbers[FAST]);
            mine.scales[2] = magnitude(mine.numbers[SLOW]);
        }
    }

    DEVICE static int magnitude(float error) {
        int token = (bits_of(error + 1e-4f) >> 19) - (127 - 16) * 16;
        return min(max(token, 0), SCALES - 1);
    }

    // The block's part of what the hidden layer hears.
    DEVICE void hear(int v, int s) const {
        const Voice &voice = plan.voices[v];
        Notes mine = notes(v);
        const unsigned char *newest = heard(v, s) - voice.width;
        EACH_THREAD(i, voice.slice) {
            int unit = block * voice.slice + i;
            float x = 0;
            if (unit < voice.dim) {
                for (int p = 0; p < voice.width; ++p)
                    x += widened(voice.table[(long long)(p * voice.levels + newest[p]) * voice.dim + unit]);
                if (voice.forecast.order)
                    for (int p = 0; p < 3; ++p)
                        x += widened(voice.forecast.table[(long long)(p * SCALES + mine.scales[p]) * voice.dim + unit]);
                x += handed_down(plan, v, 0, s, 1, unit);
            }
            mine.x[i] = fmaxf(x, 0.0f);
        }
    }

    DEVICE void send_hidden(int v) const {
        const Voice &voice = plan.voices[v];
        const float *x = notes(v).x;
        const SampleWeight *weights = hidden_slice(voice);
        EACH_THREAD(row, voice.dim) {
            float sum = 0;
            for (int i = 0; i < voice.slice; i += 2) {
                Pair w = pair_at(weights + i * voice.dim + 2 * row);
                sum = multiply_add(w.a, x[i], sum);
                sum = multiply_add(w.b, x[i + 1], sum);
            }
            int owner = row / voice.slice;
            hidden_sums(area_of(area, owner), v)[block * voice.slice + row - owner * voice.slice] = sum;
        }
    }

    DEVICE void add_hidden(int v) const {
        const Voice &voice = plan.voices[v];
        const float *sums = hidden_sums(area, v);
        float *hidden = notes(v).hidden;
        EACH_THREAD(i, voice.slice) {
            int unit = block * voice.slice + i;
            float sum = 0;
            if (unit < voice.dim) {
                sum = voice.hidden_bias[unit];
                for (int c = 0; c < plan.sample_blocks; ++c) sum += exchanged(sums + c * voice.slice + i);
            }
            hidden[i] = fmaxf(sum, 0.0f);
        }
    }

    DEVICE void send_logits(int v) const {
        const Voice &voice = plan.voices[v];
        const float *hidden = notes(v).hidden;
        const SampleWeight *weights = output_slice(voice);
        int pairs = voice.slice / 2, levels = voice.levels;
        EACH_THREAD(job, PARTS * levels) {
            int part = job / levels, row = job % levels;
            float sum = 0;
            for (int i = part * pairs / PARTS; i < (part + 1) * pairs / PARTS; ++i) {
                Pair w = pair_at(weights + 2 * (i * levels + row));
                sum = multiply_add(w.a, hidden[2 * i], sum);
                sum = multiply_add(w.b, hidden[2 * i + 1], sum);
            }
            scratch[job] = sum;
        }
        sync_block();
        EACH_THREAD(job, plan.sample_blocks * levels) {
            int owner = job / levels, row = job % levels;
            float sum = 0;
            for (int part = 0; part < PARTS; ++part) sum += scratch[part * levels + row];
            logit_sums(area_of(area, owner), v)[block * LEVELS + row] = sum;
        }
        sync_block();
    }

    DEVICE void add_logits(int v, int s) const {
        const Voice &voice = plan.voices[v];
        const Forecast &forecast = voice.forecast;
        Notes mine = notes(v);
        const float *sums = logit_sums(area, v);
        float inverse = 0, centre = 0;
        if (forecast.order) {
            float width = forecast.width[mine.scales[1]] + forecast.width[SCALES + mine.scales[2]];
            inverse = fminf(expf(-width), 1e18f), centre = mine.numbers[CENTRE];
        }
        EACH_THREAD(t, voice.levels) {
            float sum = voice.output_bias[t];
            for (int c = 0; c < plan.sample_blocks; ++c) sum += exchanged(sums + c * LEVELS + t);
            if (forecast.order) {
                float away = (forecast.levels[t] - centre) * inverse;
                sum -= forecast.slope * sqrtf(1 + away * away);
            }
            mine.logits[t] = sum;
            if (plan.logits && block == 0) plan.logits[(v * BLOCK + s) * LEVELS + t] = sum;
        }
    }

    // log sum_t exp(logits[t] / tau) of voice j; by one warp.
    DEVICE float log_sum(int j) const {
        const float *logits = notes(j).logits;
        float inverse = plan.voices[j].inverse_tau;
        int levels = plan.voices[j].levels;
        float peak = warp_max([&](int lane) {
            float most = -1e30f;
            for (int t = lane; t < levels; t += 32) most = fmaxf(most, logits[t] * inverse);
            return most;
        });
        return peak + logf(warp_sum([&](int lane) {
            float sum = 0;
            for (int t = lane; t < levels; t += 32) sum += expf(logits[t] * inverse - peak);
            return sum;
        }));
    }

    // What voice v draws from, up to a constant -> its powers; by one warp.
    DEVICE void mix(int v, float share) const {
        const Inputs &inputs = plan.inputs;
        int levels = plan.voices[v].levels, voters = 0;
        float *z = notes(v).powers, total = 0;
        for (int j = 0; j < plan.count; ++j) {
            float weight = ramped(inputs.start_logits, inputs.end_logits, v * plan.count + j, share);
            total += weight;
            voters += weight != 0 && plan.voices[j].dim;
        }
        float cold = 1 / ramped(inputs.start_temperature, inputs.end_temperature, v, share);
        float mixture = voters > 1 ? ramped(inputs.start_mixture, inputs.end_mixture, v, share) : 0;
        EACH_LANE(t, levels) z[t] = 0;
        sync_warp();
        for (int j = 0; j < plan.count; ++j) {
            float weight = ramped(inputs.start_logits, inputs.end_logits, v * plan.count + j, share);
            if (weight == 0 || !plan.voices[j].dim) continue;
            weight *= (1 - mixture) * plan.voices[j].inverse_tau * cold / total;
            const float *logits = notes(j).logits;
            EACH_LANE(t, levels) z[t] += weight * logits[t];
        }
        sync_warp();
        if (mixture != 0) average(v, share, total, mixture * cold);
    }

    // z += weight times log sum_j L_vj softmax(l_j / tau_j), in two passes over the voters.
    DEVICE void average(int v, float share, float total, float weight) const {
        const Inputs &inputs = plan.inputs;
        float shifts[MOST_VOICES];
        for (int j = 0; j < plan.count; ++j) {
            float part = ramped(inputs.start_logits, inputs.end_logits, v * plan.count + j, share) / total;
            shifts[j] = part > 0 && plan.voices[j].dim ? logf(fmaxf(part, 1e-30f)) - log_sum(j) : -1e30f;
        }
        float *z = notes(v).powers;
        EACH_LANE(t, plan.voices[v].levels) {
            float most = -1e30f, sum = 0;
            for (int j = 0; j < plan.count; ++j)
                if (shifts[j] > -1e30f)
                    most = fmaxf(most, notes(j).logits[t] * plan.voices[j].inverse_tau + shifts[j]);
            for (int j = 0; j < plan.count; ++j)
                if (shifts[j] > -1e30f)
                    sum += expf(notes(j).logits[t] * plan.voices[j].inverse_tau + shifts[j] - most);
            z[t] += weight * (most + logf(sum));
        }
        sync_warp();
    }

    // A token at the quantile of the voice's random stream; by one warp.
    DEVICE void draw(int v, int s) const {
        const Inputs &inputs = plan.inputs;
        int levels = plan.voices[v].levels, each = (levels + 31) / 32;
        Notes mine = notes(v);
        mix(v, float(s + 1) / BLOCK);
        float *z = mine.powers;
        float peak = warp_max([&](int lane) {
            float most = -1e30f;
            for (int t = lane; t < levels; t += 32) most = fmaxf(most, z[t]);
            return most;
        });
        sync_warp();
        double total = warp_scan(
            [&](int lane) {
                double sum = 0;
                for (int t = lane * each; t < min(levels, (lane + 1) * each); ++t) sum += z[t] = expf(z[t] - peak);
                return sum;
            },
            [&](int lane, double before) { mine.before[lane] = before; });
        sync_warp();
        double goal = uniform(inputs.keys[v], inputs.counters[v] + s) * total;
        int token = warp_count([&](int lane) {
            double sum = mine.before[lane];
            int below = 0;
            for (int t = lane * each; t < min(levels, (lane + 1) * each); ++t) below += (sum += z[t]) <= goal;
            return below;
        });
        ONCE *mine.drawn = min(token, levels - 1);
    }

    // Everybody's tokens into the streams: who does not draw repeats what is heard.
    DEVICE void take(int s) const {
        const Inputs &inputs = plan.inputs;
        EACH_THREAD(v, plan.count) if (plan.voices[v].dim) {
            int token = *notes(inputs.drawing[v] ? v : inputs.history[v]).drawn;
            int forced = inputs.forced[v * BLOCK + s];
            int taken = forced >= 0 ? forced : token;
            notes(v).tokens[plan.width + s] = (unsigned char)taken;
            if (block == 0) {
                plan.voices[v].tokens[WINDOW + s] = (unsigned char)taken;
                plan.tokens[v * BLOCK + s] = (unsigned char)token;
            }
        }
        sync_block();
    }

    template <class Action>
    DEVICE void each_voice(Action action) const {
        for (int v = 0; v < plan.count; ++v)
            if (plan.voices[v].dim) action(v);
        sync_block();
    }
    // One warp a voice.
    template <class Action>
    DEVICE void each_voices_warp(Action action) const {
        Place here = place();
        for (int v = here.warp; v < plan.count; v += here.warps)
            if (plan.voices[v].dim) action(v);
        sync_block();
    }

    DEVICE bool frame_begins(int s) const {
        for (int v = 0; v < plan.count; ++v)
            if (begins(plan, v, 0, s)) return true;
        return false;
    }

    DEVICE void run() const {
        load();
        int *barrier = plan.flags + SAMPLE_BARRIER, known = 0;
        for (int s = 0; s < BLOCK; ++s) {
            each_voices_warp([&](int v) {
                if (plan.voices[v].forecast.order) forecast(v, s);
            });
            if (known <= s) known = wait_for_frames(s);
            each_voice([&](int v) { hear(v, s); });
            each_voice([&](int v) { send_hidden(v); });
            sync_team(barrier, plan.sample_blocks);
            each_voice([&](int v) { add_hidden(v); });
            each_voice([&](int v) { send_logits(v); });
            sync_team(barrier, plan.sample_blocks);
            each_voice([&](int v) { add_logits(v, s); });
            each_voices_warp([&](int v) { draw(v, s); });
            take(s);
            if (block == 0 && s + 1 < BLOCK && frame_begins(s + 1) && place().warp == 0)
                ONCE publish(plan.flags + SAMPLED, s + 1);
        }
        save();
        sync_team(barrier, plan.sample_blocks);  // nobody leaves while others may still send to it
    }
};
