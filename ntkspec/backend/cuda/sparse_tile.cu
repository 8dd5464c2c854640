// tile += (left_i left_j^T) * (right_i right_j^T), elementwise, where the rows of two sparse factors overlap.
//
// Compiled with -DREAL=float or -DREAL=double. One block a row i on the left and blockDim.x rows j: the block
// keeps row i in shared memory, every thread merges it with its own row j. On fine grids few pairs of samples
// share a node, so most inner products on the right are never needed. Every entry of the tile belongs to one
// thread and is added up in one order: results are reproducible.
//
// The merge sees the columns of a row in ascending order, each once. Rows of a sample on the right are
// `repeat` in number: sample i has the rows i * repeat up to (i + 1) * repeat of right_i and of the tile.
//
//   grid    (ti, ceil(tj / blockDim.x))
//   tile    (ti * repeat, tj * repeat), entries of a row side by side, rows `stride` entries apart
//   left    CSR, ti and tj rows: starts (rows + 1), columns and values (entries)
//   right   (ti * repeat, width) and (tj * repeat, width), row by row

#ifndef HELD
#define HELD 512  // entries of row i in shared memory at a time: 6 KiB of doubles and columns
#endif

extern "C" __global__ void sparse_tile(
    REAL* tile, long long stride, int tj, int repeat, int width,
    const int* starts_i, const int* columns_i, const REAL* values_i,
    const int* starts_j, const int* columns_j, const REAL* values_j,
    const REAL* right_i, const REAL* right_j)
{
    __shared__ int columns[HELD];
    __shared__ REAL values[HELD];
    const int i = blockIdx.x;
    const long long j = (long long)blockIdx.y * blockDim.x + threadIdx.x;
    const bool mine = j < tj;  // threads without a row still help to load row i
    int at = mine ? starts_j[j] : 0;
    const int end = mine ? starts_j[j + 1] : 0;
    const int stop = starts_i[i + 1];

    REAL left = 0;
    for (long long first = starts_i[i]; first < stop; first += HELD) {  // 64 bits: no overflow near 2^31
        const int held = stop - first < HELD ? stop - first : HELD;
        __syncthreads();  // the piece before may still be read
        for (int k = threadIdx.x; k < held; k += blockDim.x) {
            columns[k] = columns_i[first + k];
            values[k] = values_i[first + k];
        }
        __syncthreads();
        for (int k = 0; k < held && at < end;) {
            const int a = columns[k], b = columns_j[at];
            if (a == b) left += values[k] * values_j[at];
            k += a <= b;
            at += b <= a;
        }
    }
    if (left == 0) return;  // no row, no overlap, or one that adds nothing

    for (int o = 0; o < repeat; ++o) {
        for (int q = 0; q < repeat; ++q) {
            const long long row = (long long)i * repeat + o, column = j * repeat + q;
            const REAL *x = right_i + row * width, *y = right_j + column * width;
            REAL inner = 0;
            for (int w = 0; w < width; ++w) inner += x[w] * y[w];
            tile[row * stride + column] += left * inner;
        }
    }
}
