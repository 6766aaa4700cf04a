/* Helpers of attention's forward and backward pass: which rows a head reads, and the tiles of
 * one thread.
 *
 * Each lane of a vector holds a query: scores are kept as s[key, query], so that a softmax is
 * element-wise over vectors, with no sums across lanes, and only queries are transposed. */
#ifndef NCLIP_KERNELS_CPU_ATTENTION_H
#define NCLIP_KERNELS_CPU_ATTENTION_H

#include "cpu.h"
#include "product.h"

enum {
    NC_MOST_HEAD_SIZE = 128,
    NC_QUERY_TILE = 128, /* queries, multiples of NC_LANES; all captions of CLIP are one tile */
    NC_KEY_TILE = 128,
    NC_ROWS_TOGETHER = 6, /* rows of a product that end, or begin, at the same token */
};

/* One head of one sequence. The queries are its last `queries` tokens. */
struct nc_span {
    enum nc_type type;
    const void *qkv;     /* [rows, 3, heads, head_size] */
    size_t width;        /* heads * head_size */
    size_t head_size;
    size_t column;       /* of the head: head * head_size */
    const int32_t *path; /* the tokens' rows, or NULL: first_row, first_row + 1, ... */
    size_t first_row;
    size_t tokens, queries;
};

static inline size_t nc_span_row(const struct nc_span *span, size_t token)
{
    return span->path ? (size_t)span->path[token] : span->first_row + token;
}

/* The caption's span for its first head; the others differ in `column` alone. Its queries
 * are its own rows, or its last token where only that is asked for. */
struct nc_span nc_cpu_caption_span(const struct nc_attention *attention, size_t caption);

/* Row of out, lse and dout for a token of the caption. */
static inline size_t nc_cpu_output_row(const struct nc_attention *attention,
                                       const struct nc_span *span, size_t caption, size_t token)
{
    return attention->last_only ? caption : nc_span_row(span, token);
}

/* Zeros in the rows that lie on no path, of `values` numbers each. */
int nc_cpu_zero_padding(struct nc_backend *backend, const struct nc_attention *attention, void *data,
                        size_t values);

/* The next `rows` * `columns` floats of it. Tiles lie as close as their sizes allow, so that
 * those of a short caption fit the first cache; a cache line between them keeps tiles of
 * 2^k bytes from falling into the same sets. */
static inline float *nc_take_tile(float **at, size_t rows, size_t columns)
{
    float *tile = *at;
    *at += (rows * columns + 15) / 16 * 16 + 16;
    return tile;
}

/* `count` tokens' queries (part 0), keys (1) or values (2) as fp32, times `factor`: to[i,
 * nc_round_up(head_size)], zeros behind head_size, and zero rows up to `padded` rows. */
void nc_cpu_load_heads(const struct nc_span *span, size_t part, size_t first, size_t count,
                       size_t padded, float factor, float *to);

/* `count` of head_size elements of a row of any matrix, times `factor`, and back. */
void nc_cpu_load_head(const void *from, size_t index, enum nc_type type, size_t count, float factor,
                      float *to);
void nc_cpu_store_head(void *to, size_t index, enum nc_type type, size_t count, float factor,
                       const float *from);

/* Rows that the next product takes of the `left` that there are, in even parts. */
static inline size_t nc_rows_together(size_t left)
{
    size_t parts = (left + NC_ROWS_TOGETHER - 1) / NC_ROWS_TOGETHER;
    return (left + parts - 1) / parts;
}

/* 0, 1, 2, ... */
NC_INLINE nc_ints nc_lane_numbers(void)
{
    nc_ints lanes;
    for (int lane = 0; lane < NC_LANES; lane++)
        lanes[lane] = lane;
    return lanes;
}

/* Queries stand in lanes, query i of a tile sees the sequence's first `seen` + i keys. Of
 * the keys first_key + 0 .. keys - 1, all lanes from i on see the first `all`, none sees
 * those from `any` on, and between them `nc_sees` tells. */
struct nc_view {
    size_t all, any;
    nc_ints limit;
};

NC_INLINE struct nc_view nc_view_of(size_t i, size_t first_key, size_t keys, size_t seen)
{
    size_t all = seen + i > first_key ? seen + i - first_key : 0;
    size_t any = seen + i + NC_LANES - 1 > first_key ? seen + i + NC_LANES - 1 - first_key : 0;
    int32_t offset = (int32_t)(seen + i) - (int32_t)first_key;
    return (struct nc_view){all < keys ? all : keys, any < keys ? any : keys,
                            nc_lane_numbers() + offset};
}

NC_INLINE nc_ints nc_sees(struct nc_view view, size_t key)
{
    return view.limit > (int32_t)key;
}

/* Asks for a share of the next caption's own rows: work on one head is too short, and its
 * pieces of rows are too far apart, for the processor to see what comes next. `part` of
 * `parts` rows are asked for, in `blocks` blocks of `width` elements, of each of which
 * columns first .. first + count. */
struct nc_ahead {
    const struct nc_attention *attention;
    size_t caption;      /* whose rows come next */
    size_t first, count; /* columns */
};
void nc_cpu_ask_ahead(const struct nc_ahead *ahead, size_t part, size_t parts, const void *data,
                      size_t blocks, bool write);

/* Refuses sizes that the tiles cannot hold. */
int nc_cpu_attention_check(const char *operation, size_t heads, size_t head_size);

#endif
