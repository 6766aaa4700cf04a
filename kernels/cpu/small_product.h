/* Products of matrices that fit the first caches: what attention is made of.
 *
 *     c[m, n] = a b   or   c += a b      a[m, k] with any strides, b[k, n] and c[m, n] by rows
 *
 * n is a multiple of NC_LANES and rows of b and c are padded to that. Four rows of c by up
 * to four vectors stay in registers while k runs. */
#ifndef NCLIP_KERNELS_SMALL_PRODUCT_H
#define NCLIP_KERNELS_SMALL_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

enum { NC_LANES = 16 };
/* A vector of the compiler's: one AVX-512 register, two of AVX2, four of NEON. */
typedef float nc_lanes __attribute__((vector_size(64), aligned(4), may_alias));

static inline size_t nc_round_lanes(size_t n)
{
    return (n + NC_LANES - 1) / NC_LANES * NC_LANES;
}

/* ROWS x VECTORS of c; both are constants once inlined. */
static inline __attribute__((always_inline)) void
nc_product_tile(int rows, int vectors, size_t k, const float *a, size_t a_row, size_t a_column,
                const float *b, size_t b_row, float *c, size_t c_row, bool add)
{
    nc_lanes sum[4][4];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add ? *(const nc_lanes *)(c + (size_t)i * c_row + (size_t)j * NC_LANES)
                            : (nc_lanes){0};
    for (size_t p = 0; p < k; p++) {
        nc_lanes right[4];
        for (int j = 0; j < vectors; j++)
            right[j] = *(const nc_lanes *)(b + p * b_row + (size_t)j * NC_LANES);
        for (int i = 0; i < rows; i++) {
            float left = a[(size_t)i * a_row + p * a_column];
            for (int j = 0; j < vectors; j++)
                sum[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++)
            *(nc_lanes *)(c + (size_t)i * c_row + (size_t)j * NC_LANES) = sum[i][j];
}

static inline __attribute__((always_inline)) void
nc_product_rows(int rows, size_t n, size_t k, const float *a, size_t a_row, size_t a_column,
                const float *b, size_t b_row, float *c, size_t c_row, bool add)
{
    size_t j = 0;
    for (; j + 4 * NC_LANES <= n; j += 4 * NC_LANES)
        nc_product_tile(rows, 4, k, a, a_row, a_column, b + j, b_row, c + j, c_row, add);
    for (; j + 2 * NC_LANES <= n; j += 2 * NC_LANES)
        nc_product_tile(rows, 2, k, a, a_row, a_column, b + j, b_row, c + j, c_row, add);
    for (; j < n; j += NC_LANES)
        nc_product_tile(rows, 1, k, a, a_row, a_column, b + j, b_row, c + j, c_row, add);
}

static inline void nc_small_product(size_t m, size_t n, size_t k, const float *a, size_t a_row,
                                    size_t a_column, const float *b, size_t b_row, float *c,
                                    size_t c_row, bool add)
{
    size_t i = 0;
    for (; i + 4 <= m; i += 4)
        nc_product_rows(4, n, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, add);
    for (; i < m; i++)
        nc_product_rows(1, n, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, add);
}

#endif
