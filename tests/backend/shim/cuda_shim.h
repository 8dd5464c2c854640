// As much of CUDA C as the project's kernels use, for a C++ compiler: a launch runs block after block, the
// threads of a block as fibers that take turns at __syncthreads. What it cannot show: the device's own
// rounding (fused multiply-add), its memory model, and its speed.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // one block at a time; as on the device, what the last one left is still in there

struct Index3 {
    unsigned x = 0, y = 0, z = 0;
};
static Index3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

constexpr std::size_t STACK = 64 * 1024;  // bytes a fiber

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    bool done = false;
};

static ucontext_t scheduler;
static Fiber* running = nullptr;
static const std::function<void()>* body = nullptr;

static void wait() { swapcontext(&running->context, &scheduler); }

static void enter()
{
    (*body)();
    running->done = true;
}

// False if a thread ended while another of its block waited at a barrier.
static bool run_block(std::vector<Fiber>& fibers, bool backwards)
{
    const std::size_t count = fibers.size();
    for (Fiber& fiber : fibers) {
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, enter, 0);
    }
    for (std::size_t ended = 0; ended == 0;) {
        for (std::size_t turn = 0; turn < count; ++turn) {
            const std::size_t thread = backwards ? count - 1 - turn : turn;
            running = &fibers[thread];
            threadIdx.x = static_cast<unsigned>(thread);
            swapcontext(&scheduler, &running->context);
            ended += running->done;
        }
        if (ended != 0 && ended != count) return false;
    }
    return true;
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
bool launch(void (*kernel)(A...), unsigned gx, unsigned gy, unsigned threads, bool backwards, void** args)
{
    const std::function<void()> thread = [&] { call(kernel, args, std::index_sequence_for<A...>{}); };
    std::vector<Fiber> fibers(threads);
    body = &thread;
    gridDim = {gx, gy, 1};
    blockDim = {threads, 1, 1};
    for (blockIdx.y = 0; blockIdx.y < gy; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < gx; ++blockIdx.x)
            if (!run_block(fibers, backwards)) return false;
    return true;
}

}  // namespace shim

inline void __syncthreads() { shim::wait(); }
