// The persistent kernel as host C++: each warp is a coroutine that does its lanes' work one after the other, and hands
// over where it has to wait for another one; who comes next is left to chance. So the kernel's arithmetic and its order
// of events can be tested. With THREADS, each warp is a thread instead: slower, but then the thread sanitizer finds
// what a missing barrier would let go wrong.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

using std::max;
using std::min;

#define DEVICE inline

struct Half {
    unsigned short bits;
};
inline float widened(Half value) {
    _Float16 half;
    std::memcpy(&half, &value, 2);
    return float(half);
}
inline float widened(float value) { return value; }

struct Place {
    int block, warp, warps;
};

#if THREADS
static thread_local Place *self;
inline void hand_over() { std::this_thread::yield(); }
inline void run_all(std::vector<std::function<void()>> jobs) {
    std::vector<std::thread> threads;
    for (auto &job : jobs) threads.emplace_back(job);
    for (auto &thread : threads) thread.join();
}
#else
static ucontext_t scheduler, *running;
static std::function<void()> *starting;
static Place *self;
inline void hand_over() {
    Place *mine = self;
    swapcontext(running, &scheduler);
    self = mine;
}
inline void start() { (*starting)(); }
inline void run_all(std::vector<std::function<void()>> jobs) {
    constexpr int STACK = 1 << 18;
    std::vector<std::unique_ptr<char[]>> stacks;
    std::vector<ucontext_t> contexts(jobs.size());
    std::vector<char> over(jobs.size(), 0);
    for (size_t n = 0; n < jobs.size(); ++n) {
        stacks.push_back(std::make_unique<char[]>(STACK));
        getcontext(&contexts[n]);
        contexts[n].uc_stack.ss_sp = stacks[n].get();
        contexts[n].uc_stack.ss_size = STACK;
        contexts[n].uc_link = &scheduler;
        makecontext(&contexts[n], start, 0);
        jobs[n] = [job = jobs[n], &over, n] {
            job();
            over[n] = 1;
        };
    }
    unsigned chance = 1;
    for (size_t left = jobs.size(); left;) {
        size_t n = (chance = chance * 1664525u + 1013904223u) / 65536 % jobs.size();
        if (over[n]) continue;
        running = &contexts[n];
        starting = &jobs[n];
        swapcontext(&scheduler, running);
        left -= over[n];
    }
}
#endif

class Barrier {
  public:
    explicit Barrier(int members) : members(members) {}
    void wait() {
        int before = __atomic_load_n(&round, __ATOMIC_ACQUIRE);
        if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == members) {
            arrived = 0;
            __atomic_store_n(&round, before + 1, __ATOMIC_RELEASE);
        } else {
            while (__atomic_load_n(&round, __ATOMIC_ACQUIRE) == before) hand_over();
        }
    }

  private:
    int members, arrived = 0, round = 0;
};

struct Grid {
    std::vector<std::vector<double>> shared;
    std::vector<Barrier> blocks;
    std::vector<Barrier> team;
};

static Grid *grid;
inline Place place() { return *self; }
inline char *shared() { return reinterpret_cast<char *>(grid->shared[self->block].data()); }

inline int next_thread(int i) { return (i + 1) % 32 ? i + 1 : i + 1 + (self->warps - 1) * 32; }
#define EACH_LANE(i, n) for (int i = 0; i < (n); ++i)
#define EACH_THREAD(i, n) for (int i = self->warp * 32; i < (n); i = next_thread(i))
#define ONCE

template <class Part>
float warp_sum(Part part) {
    float lanes[32];
    for (int lane = 0; lane < 32; ++lane) lanes[lane] = part(lane);
    for (int step = 16; step; step >>= 1)
        for (int lane = 0; lane < step; ++lane) lanes[lane] += lanes[lane + step];
    return lanes[0];
}
template <class Part>
int warp_count(Part part) {
    int sum = 0;
    for (int lane = 0; lane < 32; ++lane) sum += part(lane);
    return sum;
}
template <class Part>
float warp_max(Part part) {
    float most = part(0);
    for (int lane = 1; lane < 32; ++lane) most = std::fmax(most, part(lane));
    return most;
}
template <class Part>
int warp_min(Part part) {
    int least = part(0);
    for (int lane = 1; lane < 32; ++lane) least = min(least, part(lane));
    return least;
}
template <class Part, class Use>
double warp_scan(Part part, Use use) {
    double sum = 0;
    for (int lane = 0; lane < 32; ++lane) {
        double own = part(lane);
        use(lane, sum);
        sum += own;
    }
    return sum;
}

inline void sync_warp() {}
inline void sync_block() { grid->blocks[self->block].wait(); }

inline float fresh(const float *value) { return *value; }
inline unsigned char fresh(const unsigned char *value) { return *value; }
inline void publish(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }
inline int observed(const int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
inline int counted(int *flag) { return __atomic_fetch_add(flag, 1, __ATOMIC_ACQ_REL); }
inline void rest() { hand_over(); }

#if CLUSTER
inline void sync_team(int *, int) { grid->team[0].wait(); }
inline float *area_of(float *own, int block) {
    char *there = reinterpret_cast<char *>(grid->shared[block].data());
    return reinterpret_cast<float *>(there + (reinterpret_cast<char *>(own) - shared()));
}
inline float exchanged(const float *value) { return *value; }
#endif

inline int bits_of(float value) {
    int bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float multiply_add(float a, float b, float c) { return std::fmaf(a, b, c); }

inline int dot_of_bytes(int a, int b, int sum) {
    signed char x[4], y[4];
    std::memcpy(x, &a, 4);
    std::memcpy(y, &b, 4);
    for (int n = 0; n < 4; ++n) sum += x[n] * y[n];
    return sum;
}

#include "voices.h"

#include "teams.h"

#include "frames.h"

#include "samples.h"

// The launch: as many blocks as the plan has, of so many warps.
extern "C" void make_block(const Plan *plan, int warps, int shared_bytes) {
    Grid whole;
    int blocks = plan->sample_blocks + plan->frame_blocks;
    std::vector<Place> places;
    for (int block = 0; block < blocks; ++block) {
        whole.shared.emplace_back(shared_bytes / 8 + 1, std::nan(""));
        whole.blocks.emplace_back(warps);
        for (int warp = 0; warp < warps; ++warp) places.push_back({block, warp, warps});
    }
    whole.team.emplace_back(warps * plan->sample_blocks);
    grid = &whole;
    std::vector<std::function<void()>> jobs;
    for (Place &place : places)
        jobs.push_back([plan, &place] {
            self = &place;
            if (place.block < plan->sample_blocks)
                SampleTeam(*plan).run();
            else
                FrameTeam(*plan).run();
        });
    run_all(jobs);
}
extern "C" int plan_bytes() { return sizeof(Plan); }
extern "C" int notes_bytes(const Plan *plan) { return notes_floats(*plan) * 4; }
