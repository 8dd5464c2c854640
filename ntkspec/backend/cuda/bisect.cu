// Eigenvalues of a symmetric tridiagonal matrix by bisection, LANES threads each (Demmel, Dhillon and Ren 1995).
//
// Compiled with -DLANES, a power of two up to 32. As many eigenvalues are below x as the leading principal minors
// p_1, p_2, ... of T - x I change their sign, with p_0 = 1. The lanes of an eigenvalue count at points that cut its
// interval into LANES + 1 equal parts, and go on with the part in which it lies.
//
//   p_i = (d_i - x) p_{i-1} - e_{i-1}^2 p_{i-2}
//
// has each number's own rounding alone (Wilkinson 1965, The Algebraic Eigenvalue Problem, chapter 5, section 38):
// counts are exact for a matrix that is off by 2 eps in each entry. Entries are at most 1 in size, and no e_i is
// below 2^-60: so one step makes the larger of two minors at most 4 times as large and, its determinant being
// e^2, no smaller than 2^-123 of it; eight leave double precision's range untouched, after which both are scaled.
//
//   d        (n) the diagonal
//   squares  (n) e_{i-1}^2 beside d_i; the first is never used
//   low      all eigenvalues lie in [low, high]
//   rounds   of which each makes the interval LANES + 1 times smaller
//   found    (n) ascending

#define ALL 0xffffffffu
#define STEPS 8  // between two scalings

__device__ int below(const double* d, const double* squares, int n, double x)
{
    double minor = 1, before = 0;
    int count = 0;
    for (int first = 0; first < n; first += STEPS) {
        #pragma unroll
        for (int k = 0; k < STEPS; ++k) {
            if (first + k < n) {
                const double next = (d[first + k] - x) * minor - squares[first + k] * before;
                count += (__double2hiint(next) ^ __double2hiint(minor)) < 0;
                before = minor;
                minor = next;
            }
        }
        const double larger = fabs(minor) > fabs(before) ? minor : before;
        const int exponent = (__double2hiint(larger) >> 20) & 0x7ff;
        const double scale = __hiloint2double((2046 - exponent) << 20, 0);  // a power of two
        minor *= scale;
        before *= scale;
    }
    return count;
}

extern "C" __global__ void bisect(
    const double* d, const double* squares, int n, double low, double high, int rounds, double* found)
{
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long number = thread / LANES;
    const int lane = (int)(thread % LANES), first_lane = (threadIdx.x & 31) / LANES * LANES;
    const unsigned all_lanes = LANES == 32 ? ALL : (1u << (LANES & 31)) - 1;
    double from = low, to = high;
    for (int round = 0; round < rounds; ++round) {
        const double part = (to - from) / (LANES + 1);
        const int count = below(d, squares, n, from + part * (lane + 1));
        const unsigned above = (__ballot_sync(ALL, count > number) >> first_lane) & all_lanes;
        const int at = above ? __ffs(above) - 1 : LANES;  // the first of the points above the eigenvalue
        const double start = from;
        if (at > 0) from = start + part * at;
        if (at < LANES) to = start + part * (at + 1);
    }
    if (number < n && lane == 0) found[number] = 0.5 * (from + to);
}
