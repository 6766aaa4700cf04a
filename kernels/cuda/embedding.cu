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
 * The gradient of an entry adds up its rows in an order that is theirs alone: the rows are sorted
 * by entry (a stable radix sort by 9 bits, two passes, both tables side by side), and a warp walks
 * along the rows of one entry for 128 columns at a time. Sorting moves 16 bytes a row and pass. A
 * walk has 4 KB under way, so that 512 rows of "<start>" would take one warp 64 trips to memory, 50
 * us: a block's eight warps share entries of more than FEW rows, 8 trips. */
#include "cuda.h"

enum {
    WARPS = 8,
    THREADS = WARPS * NC_WARP,
    COLUMNS = NC_WARP * 4, /* that a warp adds up at a time */
    AHEAD = 8,             /* rows whose loads are under way at a time */
    FEW = 4 * AHEAD,       /* rows of an entry that one warp adds up */
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

/* A table whose gradient is added to: its rows by entry. */
struct job {
    const int32_t *index; /* [rows] */
    uint32_t entries;
    enum nc_cuda_wrong wrong;
    uint32_t *key, *order, *spare_key, *spare_order, *count;
    float *table;
};

/* Both tables' work goes side by side, in another dimension of the grid. */
struct jobs {
    struct job first, second;
};

static __device__ __forceinline__ struct job job_of(const struct jobs &jobs, unsigned which)
{
    return which ? jobs.second : jobs.first;
}

/* Writes the first pass's keys; indices outside the table are sorted behind all others. */
static __global__ void __launch_bounds__(THREADS)
    keys_kernel(struct jobs jobs, size_t rows, struct nc_cuda_fault *fault)
{
    const struct job job = job_of(jobs, blockIdx.y);
    size_t row = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (row >= rows)
        return;
    int32_t index = job.index[row];
    job.key[row] =
        nc_cuda_valid(fault, job.wrong, index, job.entries) ? (uint32_t)index : job.entries;
    job.order[row] = (uint32_t)row;
}

/* count[digit][tile] */
static __global__ void __launch_bounds__(THREADS)
    count_kernel(struct jobs jobs, size_t rows, int shift)
{
    NC_SHARED(uint32_t, digits);
    const struct job job = job_of(jobs, blockIdx.y);
    for (int i = (int)threadIdx.x; i < DIGITS; i += THREADS)
        digits[i] = 0;
    nc_barrier();
    size_t row = (size_t)blockIdx.x * TILE + threadIdx.x;
    if (row < rows)
        nc_atomic_add(&digits[digit_of(job.key[row], shift)], 1u);
    nc_barrier();
    for (int i = (int)threadIdx.x; i < DIGITS; i += THREADS)
        job.count[(size_t)i * gridDim.x + blockIdx.x] = digits[i];
}

/* Each count becomes the sum of those before it. One block: a thread sums its stretch, the
 * block scans the sums, and the thread walks its stretch once more. */
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_kernel(struct jobs jobs, size_t length)
{
    NC_SHARED(uint32_t, sums); /* of warps */
    uint32_t *count = job_of(jobs, blockIdx.y).count;
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
    move_kernel(struct jobs jobs, size_t rows, int shift)
{
    NC_SHARED(int, digits); /* [TILE] */
    const struct job job = job_of(jobs, blockIdx.y);
    size_t row = (size_t)blockIdx.x * TILE + threadIdx.x;
    int mine = row < rows ? digit_of(job.key[row], shift) : -1;
    digits[threadIdx.x] = mine;
    nc_barrier();
    if (row >= rows)
        return;
    uint32_t rank = 0;
    for (unsigned i = 0; i < threadIdx.x; i++)
        rank += digits[i] == mine;
    size_t to = job.count[(size_t)mine * gridDim.x + blockIdx.x] + rank;
    job.spare_key[to] = job.key[row];
    job.spare_order[to] = job.order[row];
}

/* ---- Adding up ------------------------------------------------------------------------------ */

/* sum += rows place .. place + count - 1 of dx, as they are sorted, in order; count at most
 * AHEAD, whose loads are under way together. */
template <int lanes>
static __device__ __forceinline__ void add_rows(float (&sum)[lanes], const uint32_t *order,
                                                size_t place, int count, const float *dx,
                                                size_t width, size_t column)
{
    float v[AHEAD][lanes];
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
        if (j < count && column < width)
            nc_load<lanes>(v[j], dx + (size_t)order[place + j] * width + column);
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
        if (j < count && column < width)
            for (int i = 0; i < lanes; i++)
                sum[i] += v[j][i];
}

/* How many of the AHEAD places from `place` on have the entry; 0 beyond the rows. */
static __device__ __forceinline__ int count_same(const uint32_t *key, size_t rows, size_t place,
                                                 uint32_t entry)
{
    size_t mine = place + (size_t)nc_lane();
    uint32_t others = ~nc_ballot(nc_lane() < AHEAD && mine < rows && key[mine] == entry);
    return __ffs((int)others) - 1;
}

/* A block has WARPS sorted places. The warp of a place where an entry's rows begin adds them up, if
 * they are few; else all of the block's warps do, AHEAD rows each in turn, and their sums are added
 * in the order of the warps: "<start>" and the first positions have a row from each caption. lanes:
 * 4 where rows are aligned to 16 bytes, else 1. */
template <int lanes>
static __global__ void __launch_bounds__(THREADS, 3)
    add_kernel(struct jobs jobs, size_t rows, const float *__restrict__ dx, size_t width)
{
    NC_SHARED(float, sums); /* [WARPS][NC_WARP * lanes], then [WARPS] places */
    const struct job job = job_of(jobs, blockIdx.z);
    uint32_t *longs = reinterpret_cast<uint32_t *>(sums + WARPS * NC_WARP * lanes);
    size_t first = (size_t)blockIdx.x * WARPS, warp = threadIdx.x / NC_WARP, place = first + warp;
    size_t column = ((size_t)blockIdx.y * NC_WARP + (size_t)nc_lane()) * lanes;
    bool active = column < width; /* lanes beyond the width still take part in the votes */
    uint32_t entry = place < rows ? job.key[place] : job.entries;
    bool begins = entry < job.entries && (!place || job.key[place - 1] != entry);
    bool is_long = begins && place + FEW < rows && job.key[place + FEW] == entry;
    if (nc_lane() == 0)
        longs[warp] = is_long;
    if (begins && !is_long) {
        float sum[lanes] = {};
        float *to = job.table + (size_t)entry * width + column;
        if (active)
            nc_load<lanes>(sum, to);
        for (int count = AHEAD; count == AHEAD; place += AHEAD) {
            count = count_same(job.key, rows, place, entry);
            add_rows<lanes>(sum, job.order, place, count, dx, width, column);
        }
        if (active)
            nc_store<lanes>(to, sum);
    }
    nc_barrier();
    for (size_t w = 0; w < WARPS; w++) {
        if (!longs[w])
            continue;
        entry = job.key[first + w];
        float sum[lanes] = {};
        float *mine = sums + (warp * NC_WARP + (size_t)nc_lane()) * lanes;
        float *to = job.table + (size_t)entry * width + column;
        place = first + w + warp * AHEAD;
        for (int count = AHEAD; count == AHEAD; place += WARPS * AHEAD) {
            count = count_same(job.key, rows, place, entry);
            add_rows<lanes>(sum, job.order, place, count, dx, width, column);
        }
        for (int i = 0; i < lanes; i++)
            mine[i] = sum[i];
        nc_barrier();
        if (warp == 0 && active) {
            float total[lanes];
            nc_load<lanes>(total, to);
            for (size_t other = 0; other < WARPS; other++)
                for (int i = 0; i < lanes; i++)
                    total[i] += mine[other * NC_WARP * lanes + i];
            nc_store<lanes>(to, total);
        }
        nc_barrier(); /* the sums are free again */
    }
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

/* Of each table: keys and rows, twice, and the counts of a pass. */
static size_t job_words(size_t rows)
{
    return 4 * rows + tiles_of(rows) * DIGITS;
}

size_t nc_cuda_embedding_scratch(struct nc_backend *backend, size_t rows)
{
    (void)backend;
    return 2 * job_words(rows) * sizeof(uint32_t);
}

static struct job job_in(uint32_t *scratch, size_t rows, const int32_t *index, size_t entries,
                         enum nc_cuda_wrong wrong, float *table)
{
    struct job job = {index,          (uint32_t)entries,  wrong,
                      scratch,        scratch + rows,     scratch + 2 * rows,
                      scratch + 3 * rows, scratch + 4 * rows, table};
    return job;
}

static void swap_spare(struct job *job)
{
    uint32_t *key = job->key, *order = job->order;
    job->key = job->spare_key;
    job->order = job->spare_order;
    job->spare_key = key;
    job->spare_order = order;
}

/* One pass over the digit at `shift`; the result is in key and order again. */
static int sort_by_digit(struct nc_backend *backend, struct jobs *jobs, unsigned tables,
                         size_t rows, int shift)
{
    unsigned tiles = (unsigned)tiles_of(rows);
    cudaStream_t stream = backend->compute;
    int status = NC_LAUNCH(count_kernel, dim3(tiles, tables), THREADS, DIGITS * sizeof(uint32_t),
                           stream, *jobs, rows, shift);
    if (status == NC_OK)
        status = NC_LAUNCH(scan_kernel, dim3(1, tables), SCAN_THREADS,
                           SCAN_THREADS / NC_WARP * sizeof(uint32_t), stream, *jobs,
                           (size_t)tiles * DIGITS);
    if (status == NC_OK)
        status = NC_LAUNCH(move_kernel, dim3(tiles, tables), THREADS, TILE * sizeof(int), stream,
                           *jobs, rows, shift);
    swap_spare(&jobs->first);
    swap_spare(&jobs->second);
    return status;
}

template <int lanes>
static int add_up(struct nc_backend *backend, const struct jobs *jobs, unsigned tables,
                  const struct nc_embedding_backward *e)
{
    constexpr size_t strip = NC_WARP * lanes;
    dim3 grid((unsigned)((e->rows + WARPS - 1) / WARPS),
              (unsigned)((e->width + strip - 1) / strip), tables);
    return NC_LAUNCH(add_kernel<lanes>, grid, THREADS,
                     WARPS * strip * sizeof(float) + WARPS * sizeof(uint32_t), backend->compute,
                     *jobs, e->rows, e->dx, e->width);
}

int nc_cuda_embedding_backward(struct nc_backend *backend, const struct nc_embedding_backward *e)
{
    size_t entries = e->vocabulary > e->context ? e->vocabulary : e->context;
    int status = check("embedding_backward", e->rows, e->width, entries);
    if (status != NC_OK || !e->rows)
        return status;
    struct jobs jobs;
    uint32_t *scratch = (uint32_t *)e->scratch;
    struct job *next = &jobs.first;
    if (e->dtoken_table) {
        *next = job_in(scratch, e->rows, e->token, e->vocabulary, NC_CUDA_WRONG_TOKEN,
                       e->dtoken_table);
        next = &jobs.second;
    }
    if (e->dposition_table)
        *next = job_in(scratch + (e->dtoken_table ? job_words(e->rows) : 0), e->rows, e->position,
                       e->context, NC_CUDA_WRONG_POSITION, e->dposition_table);
    unsigned tables = (e->dtoken_table ? 1u : 0u) + (e->dposition_table ? 1u : 0u);
    if (!tables)
        return NC_OK;
    if (tables == 1)
        jobs.second = jobs.first;
    entries = jobs.first.entries > jobs.second.entries ? jobs.first.entries : jobs.second.entries;
    status = NC_LAUNCH(keys_kernel, dim3((unsigned)tiles_of(e->rows), tables), THREADS, 0,
                       backend->compute, jobs, e->rows, backend->fault);
    for (int shift = 0; status == NC_OK && entries >> shift; shift += DIGIT_BITS)
        status = sort_by_digit(backend, &jobs, tables, e->rows, shift);
    if (status != NC_OK)
        return status;
    uintptr_t all = (uintptr_t)e->dtoken_table | (uintptr_t)e->dposition_table | (uintptr_t)e->dx;
    return e->width % 4 == 0 && all % 16 == 0 ? add_up<4>(backend, &jobs, tables, e)
                                              : add_up<1>(backend, &jobs, tables, e);
}
