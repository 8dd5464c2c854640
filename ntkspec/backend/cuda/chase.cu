// From a band to tridiagonal form by chasing bulges (Bischof, Lang and Sun 2000; Haidar, Ltaief and Dongarra 2011).
//
// Compiled with -DB=32 or 64, the width of the band, and -DCOLUMNS, those of a warp: B 32 / COLUMNS threads. A block of threads takes a sweep: it annihilates a column
// below its first subdiagonal entry and chases the bulge that this makes down the band, B rows a step. A step does
// the reflection found before from both sides of a diagonal block, from the right of the block below it, and
// annihilates that one's first column by a new reflection from the left.
//
// Step k of a sweep may start when the sweep before has done k + 2 of its own: blocks wait for each other, and
// must all be resident (a cooperative launch). The order of operations on each number is fixed.
//
//   band   (n, 2 B) row i - j of column j at band[j * 2 B + i - j]; becomes diagonal and subdiagonal
//   done   (n) zeros: how many steps each sweep has done

#define WARPS (B / COLUMNS)
#define ROWS (B / 32)  // of a column that a lane holds: lane, lane + 32
#define THREADS (32 * WARPS)
#define ALL 0xffffffffu
#define OVER 0x7fffffff
#define TINY 1e-280  // a square below it is no more known to its last bits; the band's norm is about 1

__device__ double sum_of_lanes(double x)
{
    for (int other = 16; other > 0; other /= 2) x += __shfl_xor_sync(ALL, x, other);
    return x;
}

// The reflection I - tau v v^T that takes x to beta e_1; v takes the place of x. By one warp.
__device__ void reflection(double (&x)[ROWS], int lane, double* tau, double* beta)
{
    double square = 0;
    for (int r = 0; r < ROWS; ++r) square += lane + 32 * r > 0 ? x[r] * x[r] : 0;
    square = sum_of_lanes(square);
    const double top = __shfl_sync(ALL, x[0], 0);
    double scale = 0;
    *tau = 0;
    *beta = top;
    if (square > TINY) {
        const double length = sqrt(top * top + square);
        *beta = top > 0 ? -length : length;
        *tau = (*beta - top) / *beta;
        scale = 1 / (top - *beta);
    }
    for (int r = 0; r < ROWS; ++r) x[r] = lane + 32 * r > 0 ? x[r] * scale : 1;
}

__device__ void wait_for(volatile int* done, int sweep, int steps)
{
    if (sweep < 0) return;
    while (done[sweep] < steps) __nanosleep(20);
    __threadfence();
}

extern "C" __global__ void __launch_bounds__(THREADS) chase(double* band, int n, int* done)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const bool first_thread = threadIdx.x == 0;
    // Sums over the columns, by warp and then in all; the odd length keeps a row's in banks of their own.
    __shared__ double v[2][B], tau[2], parts[2][WARPS][B + 1], sums[2][B];

    for (int sweep = blockIdx.x; sweep < n - 2; sweep += gridDim.x) {
        int low = sweep + 1, high = min(low + B, n), step = 0;
        if (first_thread) wait_for(done, sweep - 1, 2);
        __syncthreads();
        if (warp == 0) {
            double* column = band + (long long)sweep * 2 * B + 1;
            double x[ROWS], beta, factor;
            for (int r = 0; r < ROWS; ++r) x[r] = low + lane + 32 * r < high ? __ldcg(&column[lane + 32 * r]) : 0;
            reflection(x, lane, &factor, &beta);
            for (int r = 0; r < ROWS; ++r) {
                const int row = lane + 32 * r;
                v[0][row] = x[r];
                if (low + row < high) __stcg(&column[row], row == 0 ? beta : 0.0);
            }
            if (lane == 0) tau[0] = factor;
        }
        __syncthreads();

        for (int now = 0;; now ^= 1) {
            const int end = min(high + B, n);
            double mine[ROWS], both[ROWS][COLUMNS], below[ROWS][COLUMNS], square[ROWS], product[ROWS];
            #pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int row = lane + 32 * r;
                mine[r] = v[now][row];
                square[r] = product[r] = 0;
                #pragma unroll
                for (int c = 0; c < COLUMNS; ++c) {  // both blocks at once: the second hides behind the first
                    const int column = warp * COLUMNS + c, larger = max(row, column), smaller = min(row, column);
                    const double* diagonal = &band[(long long)(low + smaller) * 2 * B + larger - smaller];
                    const double* lower = &band[(long long)(low + column) * 2 * B + B + row - column];
                    both[r][c] = low + larger < high ? __ldcg(diagonal) : 0;
                    below[r][c] = high + row < end ? __ldcg(lower) : 0;
                }
                #pragma unroll
                for (int c = 0; c < COLUMNS; ++c) {
                    square[r] += both[r][c] * v[now][warp * COLUMNS + c];
                    product[r] += below[r][c] * v[now][warp * COLUMNS + c];
                }
                parts[0][warp][row] = square[r];
                parts[1][warp][row] = product[r];
            }
            __syncthreads();

            // A thread a row of either block and a quarter of the warps; neighbours hold the other quarters.
            const int which = threadIdx.x / (4 * B), row_of_sum = threadIdx.x / 4 % B;
            double sum = 0;
            for (int w = threadIdx.x % 4; w < WARPS; w += 4) sum += parts[which][w][row_of_sum];
            sum += __shfl_xor_sync(ALL, sum, 1);
            sum += __shfl_xor_sync(ALL, sum, 2);
            if (threadIdx.x % 4 == 0) sums[which][row_of_sum] = sum;
            __syncthreads();

            // The block below times H; the next reflection is made while other warps are at the diagonal block.
            const double factor = tau[now];
            double inner = 0, beta = 0;
            #pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                square[r] = factor * sums[0][lane + 32 * r];
                product[r] = factor * sums[1][lane + 32 * r];
                inner += mine[r] * square[r];
                #pragma unroll
                for (int c = 0; c < COLUMNS; ++c) below[r][c] -= product[r] * v[now][warp * COLUMNS + c];
            }
            if (warp == 0 && high < n) {
                double x[ROWS], next;
                for (int r = 0; r < ROWS; ++r) x[r] = below[r][0];
                reflection(x, lane, &next, &beta);
                for (int r = 0; r < ROWS; ++r) v[now ^ 1][lane + 32 * r] = x[r];
                if (lane == 0) tau[now ^ 1] = next;
            }

            // D - v w^T - w v^T with w = tau (D v - v (tau v^T D v) / 2)
            inner = sum_of_lanes(inner);
            #pragma unroll
            for (int r = 0; r < ROWS; ++r) square[r] -= 0.5 * factor * inner * mine[r];
            #pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const int column = warp * COLUMNS + c;
                const double half = ROWS == 1 || column < 32 ? square[0] : square[ROWS - 1];
                const double there = __shfl_sync(ALL, half, column & 31);
                #pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    const int row = lane + 32 * r;
                    const double own = both[r][c] - mine[r] * there - square[r] * v[now][column];
                    if (row >= column && low + row < high)
                        __stcg(&band[(long long)(low + column) * 2 * B + row - column], own);
                }
            }
            if (high >= n) break;
            __syncthreads();
            const double next = tau[now ^ 1];
            #pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                const int column = warp * COLUMNS + c;
                double along = 0;
                #pragma unroll
                for (int r = 0; r < ROWS; ++r) along += v[now ^ 1][lane + 32 * r] * below[r][c];
                along = sum_of_lanes(along) * next;
                #pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    const int row = lane + 32 * r;
                    double own = below[r][c] - along * v[now ^ 1][row];
                    if (column == 0) own = row == 0 ? beta : 0;  // what the reflection is for
                    if (high + row < end) __stcg(&band[(long long)(low + column) * 2 * B + B + row - column], own);
                }
            }
            __threadfence();
            __syncthreads();
            low = high;
            high = end;
            ++step;
            if (first_thread) {
                *(volatile int*)&done[sweep] = step;
                wait_for(done, sweep - 1, step + 2);
            }
            __syncthreads();
        }
        __threadfence();
        __syncthreads();
        if (first_thread) *(volatile int*)&done[sweep] = OVER;
    }
}
