/* Token and position embedding, and their gradients.
 *
 *   x[row] = token_table[token[row]] + position_table[position[row]]
 *   dtoken_table[token[row]] += dx[row], dposition_table[position[row]] += dx[row]
 *
 * Bytes: 12 rows width forward; backward 12 for each table (dx read, a table's row read and
 * written, mostly in cache: few tokens make up most of a batch). At 6,800 rows of 768
 * (ViT-L/14's text tower): 63 MB each, implied 19 us at 3.35 TB/s (NVIDIA H100 SXM datasheet),
 * a third of it where the tables stay in L2. One flop a number.
 *
 * The gradient of an entry adds up its rows in their order, to the bit, whoever comes first:
 * the rows are sorted by entry (a stable radix sort by 9 bits, two passes for a vocabulary and
 * one for positions), and a warp walks along the rows of one entry for 128 columns at a time.
 * Sorting moves 16 bytes a row and pass. */
#include "cuda.h"

enum {
    WARPS = 8,
    THREADS = WARPS * NC_WARP,
    COLUMNS = NC_WARP * 4, /* that a warp adds up at a time */
    DIGIT_BITS = 9,
    DIGITS = 1 << DIGIT_BITS,
    TILE = THREADS, /* rows that a block sorts */
    SCAN_THREADS = 1024,
};

/* ---- Forward -------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS)
    embedding_kernel(struct nc_embedding e, struct nc_cuda_fault *fault)
{
    size_t row = nc_warp_of_grid<WARPS>();
    if (row >= e.rows || !nc_cuda_valid(fault, NC_CUDA_WRONG_TOKEN, e.token[row], e.vocabulary) ||
        !nc_cuda_valid(fault, NC_CUDA_WRONG_POSITION, e.position[row], e.context))
        return;
    const float *token = e.token_table + (size_t)e.token[row] * e.width;
    const float *position = e.position_table + (size_t)e.position[row] * e.width;
    float *x = e.x + row * e.width;
    size_t lane = (size_t)nc_lane();
    if (e.width % 4 == 0) {
#pragma unroll 4
        for (size_t k = lane * 4; k < e.width; k += COLUMNS) {
            float a[4], b[4];
            nc_unpack(a, nc_load16_constant(token + k));
            nc_unpack(b, nc_load16_constant(position + k));
            for (int i = 0; i < 4; i++)
                a[i] += b[i];
            nc_store4(x + k, a);
        }
    } else {
        for (size_t k = lane; k < e.width; k += NC_WARP)
            x[k] = token[k] + position[k];
    }
}

/* ---- Sorting rows by entry ------------------------------------------------------------------- */

static __device__ __forceinline__ int digit_of(uint32_t key, int shift)
{
    return (int)(key >> shift & (DIGITS - 1));
}

/* Writes the first pass's keys; indices outside the table are sorted behind all others. */
static __global__ void __launch_bounds__(THREADS)
    keys_kernel(const int32_t *__restrict__ index, size_t rows, size_t entries,
                enum nc_cuda_wrong wrong, struct nc_cuda_fault *fault, uint32_t *__restrict__ key,
                uint32_t *__restrict__ order)
{
    size_t row = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows)
        return;
    key[row] =
        nc_cuda_valid(fault, wrong, index[row], entries) ? (uint32_t)index[row] : (uint32_t)entries;
    order[row] = (uint32_t)row;
}

/* count[digit][tile] */
static __global__ void __launch_bounds__(THREADS)
    count_kernel(const uint32_t *__restrict__ key, size_t rows, int shift,
                 uint32_t *__restrict__ count)
{
    NC_SHARED(uint32_t, digits);
    for (int i = (int)threadIdx.x; i < DIGITS; i += THREADS)
        digits[i] = 0;
    nc_barrier();
    size_t row = (size_t)blockIdx.x * TILE + threadIdx.x;
    if (row < rows)
        nc_atomic_add(&digits[digit_of(key[row], shift)], 1u);
    nc_barrier();
    for (int i = (int)threadIdx.x; i < DIGITS; i += THREADS)
        count[(size_t)i * gridDim.x + blockIdx.x] = digits[i];
}

/* Each count becomes the sum of those before it. One block: a thread sums its stretch, the
 * block scans the sums, and the thread walks its stretch once more. */
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_kernel(uint32_t *__restrict__ count, size_t length)
{
    NC_SHARED(uint32_t, sums); /* of warps */
    size_t first = length * threadIdx.x / SCAN_THREADS;
    size_t last = length * (threadIdx.x + 1) / SCAN_THREADS;
    uint32_t mine = 0;
    for (size_t i = first; i < last; i++)
        mine += count[i];
    uint32_t before = mine; /* becomes the sum up to and with this lane */
    for (int step = 1; step < NC_WARP; step *= 2) {
        uint32_t other = nc_shuffle(before, nc_lane() >= step ? nc_lane() - step : nc_lane());
        before += nc_lane() >= step ? other : 0;
    }
    if (nc_lane() == NC_WARP - 1)
        sums[threadIdx.x / NC_WARP] = before;
    nc_barrier();
    before -= mine;
    for (unsigned warp = 0; warp < threadIdx.x / NC_WARP; warp++)
        before += sums[warp];
    for (size_t i = first; i < last; i++) {
        uint32_t here = count[i];
        count[i] = before;
        before += here;
    }
}

/* A row goes behind those of smaller digits, of earlier tiles, and of earlier threads. */
static __global__ void __launch_bounds__(THREADS)
    move_kernel(const uint32_t *__restrict__ key, const uint32_t *__restrict__ order, size_t rows,
                int shift, const uint32_t *__restrict__ start, uint32_t *__restrict__ to_key,
                uint32_t *__restrict__ to_order)
{
    NC_SHARED(int, digits); /* [TILE] */
    size_t row = (size_t)blockIdx.x * TILE + threadIdx.x;
    int mine = row < rows ? digit_of(key[row], shift) : -1;
    digits[threadIdx.x] = mine;
    nc_barrier();
    if (row >= rows)
        return;
    uint32_t rank = 0;
    for (unsigned i = 0; i < threadIdx.x; i++)
        rank += digits[i] == mine;
    size_t to = start[(size_t)mine * gridDim.x + blockIdx.x] + rank;
    to_key[to] = key[row];
    to_order[to] = order[row];
}

/* ---- Adding up --------------------------------------------------------------------------------
 */

/* The warp of a sorted place where an entry's rows begin adds them all up. lanes: 4 where rows
 * are aligned to 16 bytes, else 1. */
template <int lanes>
static __global__ void __launch_bounds__(THREADS)
    add_kernel(const uint32_t *__restrict__ key, const uint32_t *__restrict__ order, size_t rows,
               size_t entries, const float *__restrict__ dx, size_t width,
               float *__restrict__ table)
{
    constexpr int AHEAD = 8; /* rows whose loads are under way at a time */
    size_t place = nc_warp_of_grid<WARPS>();
    if (place >= rows)
        return;
    uint32_t entry = key[place];
    if (entry >= entries || (place && key[place - 1] == entry))
        return;
    size_t column = ((size_t)blockIdx.y * NC_WARP + (size_t)nc_lane()) * lanes;
    bool active = column < width; /* lanes beyond the width still take part in the votes */
    float *to = table + (size_t)entry * width + column;
    float sum[lanes] = {};
    if (active)
        nc_load<lanes>(sum, to);
    for (;;) {
        size_t mine = place + (size_t)nc_lane();
        bool same = mine < rows && key[mine] == entry;
        uint32_t row = same ? order[mine] : 0;
        uint32_t others = ~nc_ballot(same);
        int count = others ? __ffs((int)others) - 1 : NC_WARP;
        for (int first = 0; first < count; first += AHEAD) {
            float v[AHEAD][lanes];
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                int from = first + j < count ? first + j : count - 1;
                const float *d = dx + (size_t)nc_shuffle(row, from) * width + column;
                if (!active || first + j >= count)
                    continue;
                nc_load<lanes>(v[j], d);
            }
#pragma unroll
            for (int j = 0; j < AHEAD; j++)
                if (active && first + j < count)
                    for (int i = 0; i < lanes; i++)
                        sum[i] += v[j][i];
        }
        if (count < NC_WARP)
            break;
        place += NC_WARP;
    }
    if (active)
        nc_store<lanes>(to, sum);
}

/* ---- Launchers --------------------------------------------------------------------------------
 */

static int check(const char *operation, size_t rows, size_t width, size_t entries)
{
    if (rows > (size_t)INT32_MAX - THREADS || entries >= (size_t)INT32_MAX ||
        width > (size_t)65535 * NC_WARP)
        return nc_error(NC_FAILED,
                        "%s: %zu rows of %zu columns, tables of %zu entries: too large "
                        "for cuda",
                        operation, rows, width, entries);
    return NC_OK;
}

int nc_cuda_embedding_forward(struct nc_backend *backend, const struct nc_embedding *e)
{
    size_t entries = e->vocabulary > e->context ? e->vocabulary : e->context;
    int status = check("embedding", e->rows, e->width, entries);
    if (status != NC_OK || !e->rows)
        return status;
    return NC_LAUNCH(embedding_kernel, (unsigned)((e->rows + WARPS - 1) / WARPS), THREADS, 0,
                     backend->compute, *e, backend->fault);
}

static size_t tiles_of(size_t rows)
{
    return (rows + TILE - 1) / TILE;
}

/* Keys and rows, twice, and the counts of a pass. */
size_t nc_cuda_embedding_scratch(struct nc_backend *backend, size_t rows)
{
    (void)backend;
    return (4 * rows + tiles_of(rows) * DIGITS) * sizeof(uint32_t);
}

struct sorted {
    uint32_t *key, *order, *spare_key, *spare_order, *count;
};

/* One pass over the digit at `shift`; the result is in key and order again. */
static int sort_by_digit(struct nc_backend *backend, struct sorted *s, size_t rows, int shift)
{
    unsigned tiles = (unsigned)tiles_of(rows);
    cudaStream_t stream = backend->compute;
    int status = NC_LAUNCH(count_kernel, tiles, THREADS, DIGITS * sizeof(uint32_t), stream, s->key,
                           rows, shift, s->count);
    if (status == NC_OK)
        status = NC_LAUNCH(scan_kernel, 1, SCAN_THREADS, SCAN_THREADS / NC_WARP * sizeof(uint32_t),
                           stream, s->count, (size_t)tiles * DIGITS);
    if (status == NC_OK)
        status = NC_LAUNCH(move_kernel, tiles, THREADS, TILE * sizeof(int), stream, s->key,
                           s->order, rows, shift, s->count, s->spare_key, s->spare_order);
    struct sorted swapped = {s->spare_key, s->spare_order, s->key, s->order, s->count};
    *s = swapped;
    return status;
}

static int add_to_table(struct nc_backend *backend, const struct nc_embedding_backward *e,
                        const int32_t *index, size_t entries, enum nc_cuda_wrong wrong,
                        float *table)
{
    size_t rows = e->rows;
    uint32_t *scratch = (uint32_t *)e->scratch;
    struct sorted s = {scratch, scratch + rows, scratch + 2 * rows, scratch + 3 * rows,
                       scratch + 4 * rows};
    int status = NC_LAUNCH(keys_kernel, (unsigned)tiles_of(rows), THREADS, 0, backend->compute,
                           index, rows, entries, wrong, backend->fault, s.key, s.order);
    for (int shift = 0; status == NC_OK && entries >> shift; shift += DIGIT_BITS)
        status = sort_by_digit(backend, &s, rows, shift);
    if (status != NC_OK)
        return status;
    bool wide = e->width % 4 == 0 && ((uintptr_t)table | (uintptr_t)e->dx) % 16 == 0;
    size_t strip = (size_t)NC_WARP * (wide ? 4 : 1);
    dim3 grid((unsigned)((rows + WARPS - 1) / WARPS), (unsigned)((e->width + strip - 1) / strip));
    if (wide)
        return NC_LAUNCH(add_kernel<4>, grid, THREADS, 0, backend->compute, s.key, s.order, rows,
                         entries, e->dx, e->width, table);
    return NC_LAUNCH(add_kernel<1>, grid, THREADS, 0, backend->compute, s.key, s.order, rows,
                     entries, e->dx, e->width, table);
}

int nc_cuda_embedding_backward(struct nc_backend *backend, const struct nc_embedding_backward *e)
{
    size_t entries = e->vocabulary > e->context ? e->vocabulary : e->context;
    int status = check("embedding_backward", e->rows, e->width, entries);
    if (status != NC_OK || !e->rows)
        return status;
    if (e->dtoken_table)
        status =
            add_to_table(backend, e, e->token, e->vocabulary, NC_CUDA_WRONG_TOKEN, e->dtoken_table);
    if (status == NC_OK && e->dposition_table)
        status = add_to_table(backend, e, e->position, e->context, NC_CUDA_WRONG_POSITION,
                              e->dposition_table);
    return status;
}
