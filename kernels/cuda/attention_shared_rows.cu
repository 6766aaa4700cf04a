/* Gradients of rows that several captions share: finds which captions add to which row, and sums
 * their parts.
 *
 * Bytes: for each token on a shared row, 8 width written by its caption and read here (dk and
 * dv in fp32); for each shared row, 2 or 3 width T written. 512 captions of COCO have 1,400
 * tokens on shared rows or so, 17 MB at width 768 beside the 73 MB of the rest: 5 us.
 *
 * The index is built without sorting and without atomics, from what a forest of prefixes has
 * by nature: a row stands at one depth, at the same place of every caption it lies on. One
 * block per depth sees all parts of its rows, walks through the captions in order, 256 at a
 * time, and ranks the equal rows of the 256 by comparing all with all, in four instructions a
 * pair. */
#include "attention_backward.h"

enum {
    CAPTIONS = 256, /* that a block looks at together */
    ROWS = 16,      /* that a block sums, one after the other: few are shared at all */
    COLUMNS = 4 * NC_WARP,
    TOGETHER = 4,  /* parts of a row that are under way at a time */
    SUM_WARPS = 8, /* that share the parts of a row: "<start>" has one from each caption */
    NO_SLOT = -1,
};

static size_t take(size_t *at, size_t bytes)
{
    size_t start = *at;
    *at += (bytes + 63) / 64 * 64;
    return start;
}

/* How many parts there are is known on the device only: a row that k captions share has k of
 * them, and came again k - 1 times, so two for each time at most. */
nc_shared_rows nc_cuda_shared_rows(const nc_attention *a, size_t *bytes)
{
    size_t tokens = a->rows + a->repeated, width = a->heads * a->head_size, at = 0;
    size_t parts = tokens < 2 * a->repeated ? tokens : 2 * a->repeated;
    char *scratch = static_cast<char *>(a->scratch);
    size_t count = take(&at, a->rows * sizeof(int32_t));
    size_t first = take(&at, a->rows * sizeof(int32_t));
    size_t slot = take(&at, tokens * sizeof(int32_t));
    size_t ends = take(&at, parts * sizeof(int32_t));
    size_t dquery = take(&at, a->captions * width * sizeof(float));
    size_t part = take(&at, parts * 2 * width * sizeof(float));
    *bytes = a->repeated ? at : 0;
    if (!a->repeated || !scratch)
        return {};
    return {
        reinterpret_cast<int32_t *>(scratch + count), reinterpret_cast<int32_t *>(scratch + first),
        reinterpret_cast<int32_t *>(scratch + slot),  reinterpret_cast<int32_t *>(scratch + ends),
        reinterpret_cast<float *>(scratch + dquery),  reinterpret_cast<float *>(scratch + part)};
}

size_t nc_cuda_attention_scratch(struct nc_backend *backend, const struct nc_attention *a)
{
    (void)backend;
    size_t bytes;
    nc_cuda_shared_rows(a, &bytes);
    return bytes;
}

/* ---- Index --------------------------------------------------------------------------------- */

/* The caption's token at `depth`: its place in path and its row. False where it has none, or
 * where no query of its own adds to the row. */
static __device__ __forceinline__ bool token_at(const nc_attention &a, size_t caption, int depth,
                                                int *place, int *row, bool *owns)
{
    *place = *row = -1;
    *owns = false;
    if (caption >= a.captions)
        return false;
    int start = a.path_start[caption], tokens = a.path_start[caption + 1] - start;
    int own = a.row_start[caption + 1] - a.row_start[caption];
    if (depth >= tokens || (!own && !a.last_only))
        return false;
    *place = start + depth;
    *row = a.path[*place];
    *owns = depth >= tokens - own;
    return true;
}

/* Sum of the values of the threads before this one, and of all; `sums`: shared memory for two
 * numbers a thread. */
static __device__ __forceinline__ int sum_before(int value, int *all, int *sums)
{
    int thread = static_cast<int>(threadIdx.x);
    int *now = sums, *next = sums + CAPTIONS;
    now[thread] = value;
    nc_barrier();
    for (int step = 1; step < CAPTIONS; step *= 2) {
        next[thread] = now[thread] + (thread >= step ? now[thread - step] : 0);
        int *swap = now;
        now = next;
        next = swap;
        nc_barrier();
    }
    *all = now[CAPTIONS - 1];
    int sum = now[thread] - value;
    nc_barrier();
    return sum;
}

/* How many of rows[from .. to), multiples of four, are `row`. */
static __device__ __forceinline__ int count_equal(const int *rows, int from, int to, int row)
{
    int count = 0;
    for (int i = from; i < to; i += 4) {
        nc_bytes16 four = nc_load16(rows + i);
#pragma unroll
        for (int k = 0; k < 4; k++)
            count += static_cast<int>(four.word[k]) == row;
    }
    return count;
}

static __global__ void __launch_bounds__(CAPTIONS) index_rows(nc_attention a, nc_shared_rows shared)
{
    NC_SHARED(int, memory); /* [CAPTIONS] rows, then 2 [CAPTIONS] for sums */
    int *rows = memory, *sums = memory + CAPTIONS;
    int depth = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
    int place, row, total;
    bool owns;

    /* Count the parts of each row; of each part, how many come before. Slots of smaller depths
     * lie before this block's: for each depth as many as nc_cuda_shared_rows has room for, no more
     * than it has tokens, and two for each token that comes again there. */
    int smaller = 0, again = 0; /* tokens there; of them, on rows that an earlier caption brought */
    for (size_t caption = 0; caption < a.captions; caption += CAPTIONS) {
        bool there = token_at(a, caption + threadIdx.x, depth, &place, &row, &owns);
        rows[thread] = there ? row : INT32_MAX;
        nc_barrier();
        int rank = 0, later = 0, before = 0;
        if (there) {
            int own = thread / NC_WARP * NC_WARP; /* rows of this warp */
            rank = count_equal(rows, 0, own, row);
            later = count_equal(rows, own + NC_WARP, CAPTIONS, row);
            for (int i = own; i < own + NC_WARP; i++) {
                rank += i < thread && rows[i] == row;
                later += i > thread && rows[i] == row;
            }
            /* Its owner is the first caption on whose path it lies, and rows are numbered by
             * their owners: was it counted before these captions? */
            if (row < a.row_start[caption])
                before = shared.count[row];
        }
        nc_barrier();
        if (there)
            shared.slot[place] = before + rank;
        if (there && !later)
            shared.count[row] = before + rank + 1;
        if (caption + threadIdx.x < a.captions) {
            int tokens =
                a.path_start[caption + threadIdx.x + 1] - a.path_start[caption + threadIdx.x];
            int own = a.row_start[caption + threadIdx.x + 1] - a.row_start[caption + threadIdx.x];
            smaller += tokens < depth ? tokens : depth;
            again += tokens - own < depth ? tokens - own : depth;
        }
    }
    sum_before(smaller, &smaller, sums);
    sum_before(again, &again, sums);

    /* Owners, in caption order, reserve slots for shared rows; then all know theirs. */
    int next = again < smaller - again ? 2 * again : smaller;
    for (size_t caption = 0; caption < a.captions; caption += CAPTIONS) {
        bool there = token_at(a, caption + threadIdx.x, depth, &place, &row, &owns);
        int parts = there ? shared.count[row] : 0;
        int slot = next + sum_before(owns && parts > 1 ? parts : 0, &total, sums);
        if (owns)
            shared.first[row] = slot;
        next += total;
        nc_barrier();
        if (!there)
            continue;
        if (parts < 2) {
            shared.slot[place] = NO_SLOT;
            continue;
        }
        slot = shared.first[row] + shared.slot[place];
        shared.slot[place] = slot;
        bool last = place + 1 == a.path_start[caption + threadIdx.x + 1];
        shared.ends[slot] = last ? static_cast<int>(caption + threadIdx.x) : -1;
    }
}

int nc_cuda_index_shared_rows(struct nc_backend *backend, const nc_attention *a,
                              const nc_shared_rows *shared)
{
    return NC_LAUNCH(index_rows, static_cast<unsigned>(a->longest), CAPTIONS,
                     3 * CAPTIONS * sizeof(int), backend->compute, *a, *shared);
}

/* ---- Sums ---------------------------------------------------------------------------------- */

/* The parts in slots slot, slot + SUM_WARPS, ... before `end`, then zeros; QUERY: of dq. */
template <bool QUERY>
static __device__ __forceinline__ void load_parts(float part[TOGETHER][4],
                                                  const nc_shared_rows &shared, int slot, int end,
                                                  size_t width, size_t column)
{
#pragma unroll
    for (int k = 0; k < TOGETHER; k++) {
        int from = slot + k * SUM_WARPS < end ? slot + k * SUM_WARPS : -1;
        if (QUERY && from >= 0)
            from = shared.ends[from];
        part[k][0] = part[k][1] = part[k][2] = part[k][3] = 0;
        if (from >= 0)
            nc_load4(part[k], (QUERY ? shared.dquery : shared.part) + column +
                                  static_cast<size_t>(from) * (QUERY ? width : 2 * width));
    }
}

/* This warp's share of a row's parts, which begin at slot `first`, in order. The next ones are
 * under way while some are added: "<start>" has a part from each caption. */
template <bool QUERY>
static __device__ __forceinline__ void sum_parts(float sum[4], const nc_shared_rows &shared,
                                                 int first, int count, size_t width, size_t column)
{
    float next[TOGETHER][4];
    int i = static_cast<int>(threadIdx.x) / NC_WARP;
    load_parts<QUERY>(next, shared, first + i, first + count, width, column);
#pragma unroll 1
    for (; i < count; i += TOGETHER * SUM_WARPS) {
        float part[TOGETHER][4];
        memcpy(part, next, sizeof part);
        load_parts<QUERY>(next, shared, first + i + TOGETHER * SUM_WARPS, first + count, width,
                          column);
#pragma unroll
        for (int k = 0; k < 4 * TOGETHER; k++)
            sum[k % 4] += part[k / 4][k % 4];
    }
}

/* Columns [0, 2 width) are dk and dv, and what follows is dq. Four blocks a multiprocessor: for
 * more, the compiler would ask for parts one by one, to spare registers. */
template <typename T>
static __global__ void __launch_bounds__(SUM_WARPS *NC_WARP, 4)
    sum_rows(nc_attention a, nc_shared_rows shared)
{
    NC_SHARED(float, sums); /* [SUM_WARPS][COLUMNS] */
    size_t width = a.heads * a.head_size;
    size_t blocks = (2 * width + COLUMNS - 1) / COLUMNS; /* of dk and dv */
    bool query = blockIdx.y >= blocks;
    size_t column =
        (blockIdx.y - (query ? blocks : 0)) * COLUMNS + 4 * static_cast<size_t>(nc_lane());
    bool inside = column < (query ? width : 2 * width);
    int warp = static_cast<int>(threadIdx.x) / NC_WARP;
    size_t end = static_cast<size_t>(a.row_start[a.captions]);
    size_t first_row = static_cast<size_t>(blockIdx.x) * ROWS;
    size_t mine = first_row + static_cast<size_t>(nc_lane());
    int its_count = nc_lane() < ROWS && mine < end ? shared.count[mine] : 0;
    int its_first = its_count > 1 ? shared.first[mine] : 0;
    uint32_t are_shared = nc_ballot(its_count > 1); /* the same in the whole block */
    for (int r = 0; r < ROWS; r++) {
        if (!(are_shared >> r & 1))
            continue;
        size_t row = first_row + static_cast<size_t>(r);
        int count = nc_shuffle(its_count, r), first = nc_shuffle(its_first, r);
        float sum[4] = {0, 0, 0, 0};
        if (query)
            sum_parts<true>(sum, shared, first, count, width, inside ? column : 0);
        else
            sum_parts<false>(sum, shared, first, count, width, inside ? column : 0);
        nc_store4(sums + warp * COLUMNS + 4 * nc_lane(), sum);
        nc_barrier();
        if (warp == 0 && inside) {
            for (int w = 1; w < SUM_WARPS; w++)
                for (int k = 0; k < 4; k++)
                    sum[k] += sums[w * COLUMNS + 4 * nc_lane() + k];
            nc_store4(static_cast<T *>(a.dqkv) + (row * 3 + !query) * width + column, sum);
        }
        nc_barrier();
    }
}

int nc_cuda_sum_shared_rows(struct nc_backend *backend, const nc_attention *a,
                            const nc_shared_rows *shared)
{
    size_t width = a->heads * a->head_size;
    size_t blocks = (2 * width + COLUMNS - 1) / COLUMNS;
    if (a->last_only)
        blocks += (width + COLUMNS - 1) / COLUMNS;
    dim3 grid(static_cast<unsigned>((a->rows + ROWS - 1) / ROWS), static_cast<unsigned>(blocks));
    size_t bytes = SUM_WARPS * COLUMNS * sizeof(float);
    if (a->type == NC_FLOAT32)
        return NC_LAUNCH(sum_rows<float>, grid, SUM_WARPS * NC_WARP, bytes, backend->compute, *a,
                         *shared);
    return NC_LAUNCH(sum_rows<nc_bfloat16>, grid, SUM_WARPS * NC_WARP, bytes, backend->compute, *a,
                     *shared);
}
