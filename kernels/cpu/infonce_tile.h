/* A tile of scores, text times image^T, as InfoNCE and the sigmoid loss compute it; and the scores
 * of contradictions. Both walk tiles of 256 captions x 1024 pictures, and both describe their
 * inputs by a struct nc_infonce. */
#ifndef NCLIP_KERNELS_CPU_INFONCE_TILE_H
#define NCLIP_KERNELS_CPU_INFONCE_TILE_H

#include "cpu.h"
#include "vector.h"

enum {
    NC_TILE_ROWS = 256,
    NC_TILE_COLUMNS = 1024,
    NC_TILE_STEP = NC_TILE_COLUMNS + 16, /* between rows of a tile: 4 KiB apart they would share
                                            cache sets */
    NC_TILE_SPAN = 4 * NC_LANES, /* columns behind the last that hold -infinity, if there is room */
};

/* Its place in the matrix, its scaled scores (masked pairs at -infinity), its inputs in fp32. */
struct nc_tile {
    size_t row, rows, column, columns;
    float *score; /* [rows, NC_TILE_STEP] */
    const float *text, *image;
};

/* The scratch: a tile, the inputs where they must be converted, and what lies behind. */
struct nc_tile_scratch {
    float *score, *text, *image, *rest;
};

size_t nc_cpu_tile_floats(const struct nc_infonce *n); /* of the scratch, the rest aside */
struct nc_tile_scratch nc_cpu_tile_lay_out(const struct nc_infonce *n, float *scratch);

/* The tile that starts there; scores are scaled by `scale`. `operation` is for messages. */
int nc_cpu_tile_make(struct nc_backend *backend, const char *operation, const struct nc_infonce *n,
                     const struct nc_tile_scratch *scratch, float scale, size_t row, size_t column,
                     struct nc_tile *tile);

/* dtext += scale * coefficients image, of the tile whose scores have become coefficients. */
int nc_cpu_tile_backward(const char *operation, const struct nc_infonce *n,
                         const struct nc_tile *tile, float scale);

/* Where the positive of the tile's row i stands, or a number of at least `columns`. */
static inline size_t nc_tile_positive(const struct nc_infonce *n, const struct nc_tile *t, size_t i)
{
    size_t number = n->first_caption + t->row + i, first = n->first_image + t->column;
    return number < first ? SIZE_MAX : number - first;
}

/* Of a caption or a picture; weights may be NULL. */
static inline float nc_weight_of(const float *weights, size_t i)
{
    return weights ? weights[i] : 1;
}

/* score[e] = scale * extra[e] . its image, for all contradictions. */
void nc_cpu_extra_scores(struct nc_backend *backend, const struct nc_infonce *n, float scale,
                         float *score);

/* dextra[e] += by * its image, for one of them. */
void nc_cpu_extra_add(const struct nc_infonce *n, size_t e, float by);

/* Refuses a contradiction whose picture is not of the call. */
int nc_cpu_extras_check(const char *operation, const struct nc_infonce *n);

#endif
