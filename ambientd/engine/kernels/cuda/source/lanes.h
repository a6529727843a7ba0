// How the kernel's warps run on a GPU. The kernel is written for whole warps: what differs from lane to lane stands in
// EACH loops and in what `warp_sum` and its like are given. Tests have another version of this file, in which a warp is
// a thread of the host that does its lanes' work one after the other.
#pragma once

#define DEVICE __device__ __forceinline__

struct Half {
    unsigned short bits;
};

DEVICE float widened(Half value) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
}
DEVICE float widened(float value) { return value; }

// Where a warp runs.
struct Place {
    int block, warp, warps;
};
DEVICE Place place() { return {int(blockIdx.x), int(threadIdx.x >> 5), int(blockDim.x >> 5)}; }

// The lanes of a warp, or all threads of a block, share the numbers below n.
#define EACH_LANE(i, n) for (int i = threadIdx.x & 31; i < (n); i += 32)
#define EACH_THREAD(i, n) for (int i = threadIdx.x; i < (n); i += blockDim.x)
// By one lane of the warp.
#define ONCE if ((threadIdx.x & 31) == 0)

extern __shared__ __align__(16) char shared_memory[];
DEVICE char *shared() { return shared_memory; }

template <class Part>
DEVICE float warp_sum(Part part) {
    float sum = part(int(threadIdx.x & 31));
    for (int step = 16; step; step >>= 1) sum += __shfl_xor_sync(~0u, sum, step);
    return sum;
}

template <class Part>
DEVICE int warp_count(Part part) {
    return __reduce_add_sync(~0u, part(int(threadIdx.x & 31)));
}

template <class Part>
DEVICE float warp_max(Part part) {
    float most = part(int(threadIdx.x & 31));
    for (int step = 16; step; step >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
    return most;
}

template <class Part>
DEVICE int warp_min(Part part) {
    return __reduce_min_sync(~0u, part(int(threadIdx.x & 31)));
}

// use(lane, the sum of part(l) of all lanes l before it); returns that of all.
template <class Part, class Use>
DEVICE double warp_scan(Part part, Use use) {
    int lane = threadIdx.x & 31;
    double own = part(lane), sum = own;
    for (int step = 1; step < 32; step <<= 1) {
        double before = __shfl_up_sync(~0u, sum, step);
        if (lane >= step) sum += before;
    }
    use(lane, sum - own);
    return __shfl_sync(~0u, sum, 31);
}

DEVICE void sync_warp() { __syncwarp(); }
DEVICE void sync_block() { __syncthreads(); }

// Memory that another block has written: not from this one's cache.
DEVICE float fresh(const float *value) { return __ldcg(value); }
DEVICE unsigned char fresh(const unsigned char *value) { return __ldcg(value); }

// What this block has done is done for whoever sees the flag; after sync_block, by one lane.
DEVICE void publish(int *flag, int value) {
    __threadfence();
    asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
DEVICE int observed(const int *flag) {
    int value;
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}
DEVICE int counted(int *flag) {
    __threadfence();
    return atomicAdd(flag, 1);
}
DEVICE void rest() { __nanosleep(20); }

#if CLUSTER
DEVICE void sync_team(int *, int) {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// The same place in the shared memory of another block of the cluster.
DEVICE float *area_of(float *own, int block) {
    float *there;
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(own), "r"(block));
    return there;
}
DEVICE float exchanged(const float *value) { return *value; }
#endif

DEVICE int bits_of(float value) { return __float_as_int(value); }
DEVICE float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }

DEVICE int dot_of_bytes(int a, int b, int sum) { return __dp4a(a, b, sum); }
