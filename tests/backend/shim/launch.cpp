// One kernel as a shared library: compiled with -DSOURCE='"file.cu"' -DKERNEL=name and the kernel's own macros.
#include "cuda_shim.h"

#include SOURCE

extern "C" const char* signature()
{
    static const std::string text = shim::codes(KERNEL);
    return text.c_str();
}

extern "C" int launch(unsigned gx, unsigned gy, unsigned threads, int together, int backwards, void** args)
{
    return shim::launch(KERNEL, gx, gy, threads, together != 0, backwards != 0, args) ? 0 : 1;
}
