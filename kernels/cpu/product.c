/* Small products that are summed in registers.
 *
 * A tile of c, some rows by some vectors, stays in registers while p runs over k: each
 * step loads the vectors of b once and multiplies them with one number of each row of a.
 * 2 m n k flops; k (rows + vectors) loads for rows * vectors fused multiply-adds. */
#include "product.h"

#if defined(__AVX512F__)
enum { WIDE = 4, WIDE_ROWS = 6, NARROW_ROWS = 8 }; /* 24 sums and 5 operands of 32 registers */
#else
enum { WIDE = 2, WIDE_ROWS = 4, NARROW_ROWS = 8 }; /* of 16 registers */
#endif

NC_INLINE void tile(size_t rows, size_t vectors, bool across, size_t k, struct nc_left a,
                    const float *b, size_t b_step, float *c, size_t c_step, bool add)
{
    nc_floats sum[8][4];
    NC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        NC_UNROLL
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = (nc_floats){0};
    }
    size_t row_step = across ? 1 : a.row_step, column_step = across ? a.column_step : 1;
    for (size_t p = 0; p < k; p++) {
        nc_floats right[4];
        NC_UNROLL
        for (size_t v = 0; v < vectors; v++)
            right[v] = nc_load(b, p * b_step + v * NC_LANES, NC_FLOAT32);
        NC_UNROLL
        for (size_t i = 0; i < rows; i++) {
            float left = a.data[i * row_step + p * column_step];
            NC_UNROLL
            for (size_t v = 0; v < vectors; v++)
                sum[i][v] += right[v] * left;
        }
    }
    NC_UNROLL
    for (size_t i = 0; i < rows; i++) {
        NC_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            size_t at = i * c_step + v * NC_LANES;
            nc_store(c, at, NC_FLOAT32, add ? nc_load(c, at, NC_FLOAT32) + sum[i][v] : sum[i][v]);
        }
    }
}

/* All columns, `vectors` at a time, of up to `most` rows. */
#define TILE(r, vectors, across) \
    case r: \
        tile(r, vectors, across, k, a, b, b_step, c, c_step, add); \
        break;

#define TILES(name, vectors, across) \
    static void name(size_t rows, size_t k, struct nc_left a, const float *b, size_t b_step, \
                     float *c, size_t c_step, bool add) \
    { \
        switch (rows) { \
            TILE(1, vectors, across) \
            TILE(2, vectors, across) \
            TILE(3, vectors, across) \
            TILE(4, vectors, across) \
            TILE(5, vectors, across) \
            TILE(6, vectors, across) \
            TILE(7, vectors, across) \
            TILE(8, vectors, across) \
        } \
    }

TILES(narrow_along, 1, false)
TILES(narrow_across, 1, true)
TILES(wide_along, WIDE, false)
TILES(wide_across, WIDE, true)

/* Rows are shared out evenly: 13 rows are 7 and 6, because a tile of a single row waits for
 * each multiplication before it starts the next. */
static size_t tile_rows(size_t left, size_t most)
{
    size_t tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

void nc_cpu_product(size_t m, size_t n, size_t k, struct nc_left a, const float *b, size_t b_step,
                    float *c, size_t c_step, bool add)
{
    bool across = a.row_step == 1;
    for (size_t j = 0; j < n;) {
        bool wide = n - j >= WIDE * NC_LANES;
        for (size_t i = 0; i < m;) {
            size_t rows = tile_rows(m - i, wide ? WIDE_ROWS : NARROW_ROWS);
            struct nc_left left = {a.data + i * a.row_step, a.row_step, a.column_step};
            float *to = c + i * c_step + j;
            if (wide && across)
                wide_across(rows, k, left, b + j, b_step, to, c_step, add);
            else if (wide)
                wide_along(rows, k, left, b + j, b_step, to, c_step, add);
            else if (across)
                narrow_across(rows, k, left, b + j, b_step, to, c_step, add);
            else
                narrow_along(rows, k, left, b + j, b_step, to, c_step, add);
            i += rows;
        }
        j += wide ? WIDE * NC_LANES : NC_LANES;
    }
}

void nc_cpu_transpose(size_t rows, size_t columns, const float *from, size_t from_step, float *to,
                      size_t to_step)
{
    for (size_t r = 0; r < rows; r += 4)
        for (size_t c = 0; c < columns; c += 4) {
            const float *block = from + r * from_step + c;
            float *across = to + c * to_step + r;
#if defined(__SSE__)
            __m128 x0 = _mm_loadu_ps(block), x1 = _mm_loadu_ps(block + from_step);
            __m128 x2 = _mm_loadu_ps(block + 2 * from_step);
            __m128 x3 = _mm_loadu_ps(block + 3 * from_step);
            _MM_TRANSPOSE4_PS(x0, x1, x2, x3);
            _mm_storeu_ps(across, x0);
            _mm_storeu_ps(across + to_step, x1);
            _mm_storeu_ps(across + 2 * to_step, x2);
            _mm_storeu_ps(across + 3 * to_step, x3);
#else
            for (size_t i = 0; i < 4; i++)
                for (size_t k = 0; k < 4; k++)
                    across[k * to_step + i] = block[i * from_step + k];
#endif
        }
}
