// As much of CUDA C as the project's kernels use, for a C++ compiler: threads are fibers that take turns where
// they wait, at a barrier of their block, at one of their warp, or in a loop that pauses until another block has
// got somewhere. Blocks run one after the other, or all at once where they wait for each other. What it cannot
// show: the device's own rounding (fused multiply-add), its memory model, and its speed.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)
// What a block shares lies in one section, which is put aside while another block has its turn. As on the device,
// a block finds there what some other has left.
#define __shared__ static __attribute__((section("block_shared")))

extern "C" char __start_block_shared[] __attribute__((weak));
extern "C" char __stop_block_shared[] __attribute__((weak));

struct Index3 {
    unsigned x = 0, y = 0, z = 0;
};
static Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

constexpr std::size_t STACK = 64 * 1024;  // bytes a fiber
constexpr unsigned WARP = 32;
constexpr unsigned long PATIENCE = 100'000;  // rounds in which threads did nothing but pause

struct Barrier {
    unsigned expected = 0, arrived = 0;
    unsigned long passed = 0;  // how many times all have been here
};

struct Warp {
    Barrier barrier;
    std::uint64_t values[WARP] = {};  // what its lanes show each other
};

struct Block {
    Index3 index;
    Barrier barrier;
    std::vector<Warp> warps;
    std::vector<char> shared;
};

struct Fiber {
    ucontext_t context;
    jmp_buf at;
    std::unique_ptr<char[]> stack{new char[STACK]};  // not filled: most of it is never touched
    Block* block = nullptr;
    unsigned thread = 0;
    bool started = false, done = false;
    Barrier* waiting = nullptr;  // at which barrier, and how often it had been passed then
    unsigned long seen = 0;
};

static jmp_buf scheduler;
static Fiber* running = nullptr;
static std::function<void()> body;
static bool something_done = false;  // in this round

// Fibers change places by longjmp: unlike swapcontext it makes no system call.
static void give_way()
{
    if (_setjmp(running->at) == 0) _longjmp(scheduler, 1);
}

static void enter()
{
    body();
    running->done = something_done = true;
    _longjmp(scheduler, 1);
}

static void wait(Barrier& barrier)
{
    something_done = true;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        ++barrier.passed;
        return;
    }
    running->waiting = &barrier;
    running->seen = barrier.passed;
    give_way();
}

static Warp& warp() { return running->block->warps[running->thread / WARP]; }

// Shows a value to the lanes of the warp, and returns what `look` makes of what they show.
template <class T, class Look>
auto shown(T value, Look look)
{
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    Warp& mine = warp();
    std::memcpy(&mine.values[running->thread % WARP], &value, sizeof(T));
    wait(mine.barrier);
    const auto found = look(mine.values);
    wait(mine.barrier);  // nobody shows something else before all have looked
    return found;
}

template <class T>
T of_lane(T value, unsigned lane)
{
    return shown(value, [=](const std::uint64_t* values) {
        T found;
        std::memcpy(&found, &values[lane], sizeof(T));
        return found;
    });
}

static void turn(Fiber& fiber, Block*& inside)
{
    const std::size_t size = static_cast<std::size_t>(__stop_block_shared - __start_block_shared);
    if (size != 0 && inside != fiber.block) {
        if (inside != nullptr) inside->shared.assign(__start_block_shared, __stop_block_shared);
        if (!fiber.block->shared.empty()) std::memcpy(__start_block_shared, fiber.block->shared.data(), size);
    }
    inside = fiber.block;
    running = &fiber;
    fiber.waiting = nullptr;
    blockIdx = fiber.block->index;
    threadIdx.x = fiber.thread;
    if (_setjmp(scheduler) == 0) {
        if (fiber.started) _longjmp(fiber.at, 1);
        fiber.started = true;
        setcontext(&fiber.context);
    }
}

// False if a thread ended while another of its block waits at a barrier, or all wait for what never comes.
static bool run(std::vector<Fiber>& fibers, std::size_t count, bool backwards)
{
    Block* inside = nullptr;
    unsigned long idle = 0;
    for (std::size_t ended = 0; ended < count;) {
        bool any = false;
        something_done = false;
        for (std::size_t number = 0; number < count; ++number) {
            Fiber& fiber = fibers[backwards ? count - 1 - number : number];
            const bool held = fiber.waiting != nullptr && fiber.waiting->passed == fiber.seen;
            if (fiber.done || held) continue;
            any = true;
            turn(fiber, inside);
            ended += fiber.done;
        }
        idle = something_done ? 0 : idle + 1;
        if (!any || idle > PATIENCE) return false;
    }
    return true;
}

static void prepare(Fiber& fiber, Block& block, unsigned thread)
{
    fiber.block = &block;
    fiber.thread = thread;
    fiber.started = fiber.done = false;
    fiber.waiting = nullptr;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
}

// Blocks `first` up to `first + count` of the grid, all at once.
static bool run_blocks(std::vector<Fiber>& fibers, unsigned first, unsigned count, bool backwards)
{
    std::vector<Block> blocks(count);
    for (unsigned number = 0; number < count; ++number) {
        Block& block = blocks[number];
        block.index = {(first + number) % gridDim.x, (first + number) / gridDim.x, 0};
        block.barrier.expected = blockDim.x;
        block.warps.resize((blockDim.x + WARP - 1) / WARP);
        for (unsigned thread = 0; thread < blockDim.x; ++thread) {
            ++block.warps[thread / WARP].barrier.expected;
            prepare(fibers[number * blockDim.x + thread], block, thread);
        }
    }
    return run(fibers, std::size_t{count} * blockDim.x, backwards);
}

// A kernel's argument as NumPy writes its type: i4, f8, and *f8 for an array of them.
template <class T>
std::string code()
{
    if constexpr (std::is_pointer_v<T>) {
        return "*" + code<std::remove_cv_t<std::remove_pointer_t<T>>>();
    } else {
        static_assert(std::is_arithmetic_v<T>);
        const char* kind = std::is_floating_point_v<T> ? "f" : std::is_signed_v<T> ? "i" : "u";
        return kind + std::to_string(sizeof(T));
    }
}

template <class... A>
std::string codes(void (*)(A...))
{
    std::string all;
    ((all += all.empty() ? code<A>() : " " + code<A>()), ...);
    return all;
}

template <class... A, std::size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>)
{
    kernel(*static_cast<A*>(args[I])...);
}

// `args` holds the address of every argument, as for cudaLaunchKernel.
template <class... A>
bool launch(
    void (*kernel)(A...), unsigned gx, unsigned gy, unsigned threads, bool together, bool backwards, void** args)
{
    body = [=] { call(kernel, args, std::index_sequence_for<A...>{}); };
    gridDim = {gx, gy, 1};
    blockDim = {threads, 1, 1};
    const unsigned blocks = gx * gy, at_once = together ? blocks : 1;
    static std::vector<Fiber> fibers;  // kept for the next launch
    if (fibers.size() < static_cast<std::size_t>(at_once) * threads) fibers.resize(at_once * threads);
    for (unsigned first = 0; first < blocks; first += at_once)
        if (!run_blocks(fibers, first, at_once, backwards)) return false;
    return true;
}

}  // namespace shim

inline void __syncthreads() { shim::wait(shim::running->block->barrier); }
inline void __threadfence() {}
inline void __nanosleep(unsigned) { shim::give_way(); }

template <class T>
T __shfl_sync(unsigned, T value, int lane)
{
    return shim::of_lane(value, static_cast<unsigned>(lane));
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask)
{
    return shim::of_lane(value, (threadIdx.x % shim::WARP) ^ static_cast<unsigned>(mask));
}

inline unsigned __ballot_sync(unsigned, int mine)
{
    return shim::shown(static_cast<std::uint64_t>(mine != 0), [](const std::uint64_t* values) {
        unsigned all = 0;
        for (unsigned lane = 0; lane < shim::WARP; ++lane) all |= static_cast<unsigned>(values[lane]) << lane;
        return all;
    });
}

template <class T>
T __ldcg(const T* from)
{
    return *from;
}

template <class T>
void __stcg(T* to, T value)
{
    *to = value;
}

inline unsigned atomicAdd(unsigned* at, unsigned more)
{
    const unsigned before = *at;
    *at += more;
    shim::something_done = true;
    return before;
}

inline int __double2hiint(double x)
{
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return static_cast<int>(bits >> 32);
}

inline double __hiloint2double(int high, int low)
{
    const std::uint64_t bits = static_cast<std::uint64_t>(static_cast<std::uint32_t>(high)) << 32 |
                               static_cast<std::uint32_t>(low);
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
