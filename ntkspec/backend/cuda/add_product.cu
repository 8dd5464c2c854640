// tile += (left o right), elementwise, in one pass over the tile: left has an entry for every `repeat` rows and
// columns of right.
//
// Compiled with -DREAL=float or -DREAL=double. blockDim.x columns of a row a block.
//
//   grid    (ceil(columns / blockDim.x), at most rows): blocks take every gridDim.y-th row
//   tile    (rows, columns), rows `stride` entries apart
//   left    (rows / repeat, columns / repeat), row by row
//   right   (rows, columns), row by row

extern "C" __global__ void add_product(
    REAL* tile, long long stride, const REAL* left, const REAL* right, int rows, int columns, int repeat)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    for (int row = blockIdx.y; row < rows; row += gridDim.y) {
        const REAL factor = left[(long long)(row / repeat) * (columns / repeat) + column / repeat];
        tile[row * stride + column] += factor * right[(long long)row * columns + column];
    }
}
