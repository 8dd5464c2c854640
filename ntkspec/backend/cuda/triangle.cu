// The triangle T of H_1 ... H_B = I - V T V^T (Schreiber and Van Loan 1989), from V^T V and the tau_j.
//
// Compiled with -DREAL=float or -DREAL=double and -DB. One block of B threads, a row of T each:
// T_jj = tau_j, T_ij = -tau_j sum_{i <= k < j} T_ik (V^T V)_kj.
//
//   squares  (B, B) V^T V, row by row
//   tau      (B)
//   t        (B, B), row by row, zeros below the diagonal

extern "C" __global__ void __launch_bounds__(B) triangle(const REAL* squares, const REAL* tau, REAL* t)
{
    __shared__ REAL own[B][B + 1];  // a column a thread; the odd length keeps threads in banks of their own
    const int i = threadIdx.x;
    for (int j = 0; j < B; ++j) {
        REAL sum = 0;
        for (int k = i; k < j; ++k) sum += own[k][i] * squares[k * B + j];
        const REAL found = j < i ? 0 : j == i ? tau[j] : -tau[j] * sum;
        own[j][i] = found;
        t[i * B + j] = found;
    }
}
