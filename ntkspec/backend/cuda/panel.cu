// Householder QR of a panel of B columns, as LAPACK's geqrf keeps it, by all blocks of the device at once.
//
// Compiled with -DREAL=float or -DREAL=double, -DB=32 or 64 and -DTHREADS, those of a block. The reflectors are H_j = I - tau_j v_j v_j^T with
// v_j[j] = 1 and zeros above. One pass over the rows does H_j and adds up, for the next column x, the products of
// x below its head with every column: the square of its length among them. So the blocks meet once a column.
// They must all be resident (a cooperative launch). Every sum is added up in one order: results are reproducible.
//
//   a         (rows, B), rows `stride` numbers apart; becomes R on and above the diagonal, v below
//   v, again  (rows, B), rows `v_stride` apart, two places for the v_j as columns, ones and zeros written out
//   tau       (B)
//   products  (2, gridDim.x, B) and head (2, B): what the blocks tell each other, in turns
//   arrived   one number, 0 at the start

#define WARPS (THREADS / 32)
#define EACH (B / 32)  // columns of a lane: lane, lane + 32
#define AT_ONCE 4      // rows of a warp
#define ALL 0xffffffffu
#define TINY ((REAL)(sizeof(REAL) == 8 ? 1e-280 : 1e-30))  // of a square; the matrix' largest entry is about 1

__device__ void meet(unsigned* arrived, unsigned expected)
{
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned*)arrived < expected) __nanosleep(20);
        __threadfence();
    }
    __syncthreads();
}

// The column's number `column` of a row whose lanes hold `row`.
__device__ REAL entry(const REAL (&row)[EACH], int column)
{
    const REAL mine = EACH == 1 || column < 32 ? row[0] : row[EACH - 1];
    return __shfl_sync(ALL, mine, column & 31);
}

extern "C" __global__ void __launch_bounds__(THREADS) panel(
    REAL* a, long long stride, int rows, REAL* v, REAL* again, long long v_stride,
    REAL* tau, REAL* products, REAL* head, unsigned* arrived)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int share = (rows + gridDim.x - 1) / gridDim.x;
    const int begin = min((int)blockIdx.x * share, rows), end = min(begin + share, rows);
    const int reflectors = min(rows, B);
    __shared__ REAL sums[WARPS][B];
    REAL scale = 0, beta = 0, weights[EACH];  // of H_j: v = x scale below its head; weights tau_j v_j^T A
    for (int q = 0; q < EACH; ++q) weights[q] = 0;

    for (int j = -1; j < reflectors; ++j) {
        REAL added[EACH];
        for (int q = 0; q < EACH; ++q) added[q] = 0;
        for (int first = max(begin, max(j, 0)) + warp * AT_ONCE; first < end; first += WARPS * AT_ONCE) {
            REAL x[AT_ONCE][EACH];
            #pragma unroll
            for (int r = 0; r < AT_ONCE; ++r)
                #pragma unroll
                for (int q = 0; q < EACH; ++q)
                    x[r][q] = first + r < end ? a[(first + r) * stride + lane + 32 * q] : 0;
            #pragma unroll
            for (int r = 0; r < AT_ONCE; ++r) {
                const int row = first + r;
                const REAL own = row == j ? 1 : j < 0 ? 0 : entry(x[r], j) * scale;
                #pragma unroll
                for (int q = 0; q < EACH; ++q) {
                    const int column = lane + 32 * q;
                    if (column > j) x[r][q] -= own * weights[q];
                    if (column == j) x[r][q] = row == j ? beta : own;
                }
                if (j + 1 < reflectors) {
                    const REAL next = entry(x[r], j + 1);
                    #pragma unroll
                    for (int q = 0; q < EACH; ++q) {
                        if (row > j + 1) added[q] += next * x[r][q];
                        if (row == j + 1 && row < end) __stcg(&head[((j + 1) & 1) * B + lane + 32 * q], x[r][q]);
                    }
                }
                #pragma unroll
                for (int q = 0; q < EACH; ++q)
                    if (row < end && lane + 32 * q >= j) a[row * stride + lane + 32 * q] = x[r][q];
            }
        }
        if (j + 1 == reflectors) break;

        const int turn = (j + 1) & 1;
        __syncthreads();  // the sums of the column before may still be read
        for (int q = 0; q < EACH; ++q) sums[warp][lane + 32 * q] = added[q];
        __syncthreads();
        if (threadIdx.x < B) {
            REAL sum = 0;
            for (int w = 0; w < WARPS; ++w) sum += sums[w][threadIdx.x];
            __stcg(&products[(turn * (long long)gridDim.x + blockIdx.x) * B + threadIdx.x], sum);
        }
        meet(arrived, (j + 2) * gridDim.x);
        const int column = threadIdx.x % B, part = threadIdx.x / B;
        REAL sum = 0;
        for (int block = part; block < (int)gridDim.x; block += THREADS / B)
            sum += __ldcg(&products[(turn * (long long)gridDim.x + block) * B + column]);
        sums[part][column] = sum;
        __syncthreads();

        REAL square = 0;
        for (int k = 0; k < THREADS / B; ++k) square += sums[k][j + 1];
        const REAL top = __ldcg(&head[turn * B + j + 1]);
        REAL factor = 0;
        scale = 0;
        beta = top;
        if (square > TINY) {  // below, its own rounding could make H_j no reflection; what it leaves is nothing
            const REAL length = sqrt(top * top + square);
            beta = top > 0 ? -length : length;
            factor = (beta - top) / beta;
            scale = 1 / (top - beta);
        }
        for (int q = 0; q < EACH; ++q) {
            REAL inner = 0;
            for (int k = 0; k < THREADS / B; ++k) inner += sums[k][lane + 32 * q];
            weights[q] = factor * (__ldcg(&head[turn * B + lane + 32 * q]) + scale * inner);
        }
        if (blockIdx.x == 0 && threadIdx.x == 0) tau[j + 1] = factor;
    }
    if (blockIdx.x == 0 && threadIdx.x < B && (int)threadIdx.x >= reflectors) tau[threadIdx.x] = 0;

    __syncthreads();
    for (int row = begin + warp; row < end; row += WARPS) {
        for (int q = 0; q < EACH; ++q) {
            const int column = lane + 32 * q;
            const REAL x = row > column ? a[row * stride + column] : row == column ? 1 : 0;
            v[row * v_stride + column] = x;
            again[row * v_stride + column] = x;
        }
    }
}
