/* Pillow's resampling (src/libImaging/Resample.c, 8 bits a channel), the same to the bit.
 *
 * Along one axis, output pixel i is the weighted mean of the input pixels around its
 * centre; the filter is as wide as the reduction, so that nothing aliases. Weights are
 * computed in double, then rounded to 22 fractional bits; sums are 32-bit integers,
 * rounded and clipped to 8 bits between the two passes.
 *
 * Compile with -ffp-contract=off: a fused multiply-add rounds a weight differently.
 */
#include "resize.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 32 - 8 - 2 }; /* 2 bits: weights may be negative, sums exceed 1 */

/* ---- filters ---- */

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

/* ---- weights of one axis ---- */

struct axis {
    size_t count;     /* output pixels that are wanted */
    size_t taps;      /* room for the weights of one */
    size_t *start;    /* [count] first input pixel */
    size_t *used;     /* [count] how many */
    int32_t *weights; /* [count, taps] */
};

static void axis_free(struct axis *axis)
{
    free(axis->start);
    free(axis->used);
    free(axis->weights);
}

/* Weights that take `from` pixels to `to`, of the output pixels [first, first + count). */
static bool axis_create(struct axis *axis, enum nc_resample resample, size_t from, size_t to,
                        size_t first, size_t count)
{
    double (*filter)(double) = resample == NC_RESAMPLE_LANCZOS    ? lanczos
                               : resample == NC_RESAMPLE_BILINEAR ? bilinear
                                                                  : bicubic;
    double reach = resample == NC_RESAMPLE_LANCZOS    ? 3.0
                   : resample == NC_RESAMPLE_BILINEAR ? 1.0
                                                      : 2.0;
    double scale = (double)from / (double)to;
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double inverse = 1.0 / filter_scale;
    double support = reach * filter_scale;

    *axis = (struct axis){.count = count, .taps = (size_t)ceil(support) * 2 + 1};
    axis->start = malloc(count * sizeof *axis->start);
    axis->used = malloc(count * sizeof *axis->used);
    axis->weights = malloc(count * axis->taps * sizeof *axis->weights);
    double *exact = malloc(axis->taps * sizeof *exact);
    if (!axis->start || !axis->used || !axis->weights || !exact) {
        free(exact);
        axis_free(axis);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        double center = ((double)(first + i) + 0.5) * scale;
        double low = center - support + 0.5, high = center + support + 0.5;
        size_t start = low < 0 ? 0 : (size_t)low;
        size_t end = (size_t)high > from ? from : (size_t)high;
        double sum = 0;
        for (size_t j = start; j < end; j++) {
            exact[j - start] = filter(((double)j - center + 0.5) * inverse);
            sum += exact[j - start];
        }
        int32_t *weights = axis->weights + i * axis->taps;
        for (size_t j = 0; j < end - start; j++) {
            double weight = sum != 0 ? exact[j] / sum : exact[j];
            weight *= 1 << WEIGHT_BITS;
            weights[j] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        axis->start[i] = start;
        axis->used[i] = end - start;
    }
    free(exact);
    return true;
}

/* ---- the two passes ---- */

static inline uint8_t round_and_clip(int32_t sum)
{
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* out[axis->count, in->width, 3]: each row a mix of rows of `in`. */
static void mix_rows(const struct axis *axis, const struct nc_image_view *in, uint8_t *out)
{
    enum { BLOCK = 256 };
    int32_t sums[BLOCK];
    size_t bytes = in->width * 3;
    for (size_t i = 0; i < axis->count; i++) {
        const int32_t *weights = axis->weights + i * axis->taps;
        for (size_t x = 0; x < bytes; x += BLOCK) {
            size_t block = bytes - x < BLOCK ? bytes - x : BLOCK;
            for (size_t b = 0; b < block; b++)
                sums[b] = 1 << (WEIGHT_BITS - 1);
            const uint8_t *row = in->pixels + axis->start[i] * in->stride + x;
            for (size_t t = 0; t < axis->used[i]; t++, row += in->stride)
                for (size_t b = 0; b < block; b++)
                    sums[b] += weights[t] * row[b];
            for (size_t b = 0; b < block; b++)
                out[i * bytes + x + b] = round_and_clip(sums[b]);
        }
    }
}

/* Columns are mixed sixteen rows at a time: these lie side by side, so that a weight
 * meets a vector. */
enum { LANES = 16, VECTOR = 8, VECTORS = 3 * LANES / VECTOR /* of a pixel column */ };
typedef int32_t lane_vector __attribute__((vector_size(VECTOR * sizeof(int32_t))));

/* 8 rows of 8 bytes become 8 columns: word j holds byte j of every row (which of its
 * ends comes first does not matter, as the way back is the same). Swaps blocks of
 * 4 x 4, 2 x 2, then 1 byte across the diagonal. */
static inline void transpose8(uint64_t w[8])
{
#define SWAP(i, j, shift, mask)                                                                    \
    do {                                                                                           \
        uint64_t t = ((w[i] >> (shift)) ^ w[j]) & (mask);                                          \
        w[j] ^= t;                                                                                 \
        w[i] ^= t << (shift);                                                                      \
    } while (0)
    for (int i = 0; i < 4; i++)
        SWAP(i, i + 4, 32, 0x00000000ffffffffu);
    for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1)
        SWAP(i, i + 2, 16, 0x0000ffff0000ffffu);
    for (int i = 0; i < 8; i += 2)
        SWAP(i, i + 1, 8, 0x00ff00ff00ff00ffu);
#undef SWAP
}

/* lanes[bytes, LANES] from LANES rows. */
static void rows_to_lanes(const uint8_t *const rows[LANES], size_t bytes, int32_t *lanes)
{
    size_t x = 0;
    for (; x + 8 <= bytes; x += 8) {
        for (size_t half = 0; half < LANES; half += 8) {
            uint64_t words[8];
            for (size_t r = 0; r < 8; r++)
                memcpy(&words[r], rows[half + r] + x, 8);
            transpose8(words);
            for (size_t b = 0; b < 8; b++) {
                uint8_t column[8];
                memcpy(column, &words[b], 8);
                for (size_t r = 0; r < 8; r++)
                    lanes[(x + b) * LANES + half + r] = column[r];
            }
        }
    }
    for (; x < bytes; x++)
        for (size_t r = 0; r < LANES; r++)
            lanes[x * LANES + r] = rows[r][x];
}

/* The first `count` of LANES rows, `stride` apart, from lanes[bytes, LANES]. */
static void lanes_to_rows(const uint8_t *lanes, size_t bytes, size_t count, size_t stride,
                          uint8_t *rows)
{
    size_t x = 0;
    for (; x + 8 <= bytes; x += 8) {
        for (size_t half = 0; half < count; half += 8) {
            uint64_t words[8];
            for (size_t b = 0; b < 8; b++)
                memcpy(&words[b], lanes + (x + b) * LANES + half, 8);
            transpose8(words);
            for (size_t r = 0; r < 8 && half + r < count; r++)
                memcpy(rows + (half + r) * stride + x, &words[r], 8);
        }
    }
    for (; x < bytes; x++)
        for (size_t r = 0; r < count; r++)
            rows[r * stride + x] = lanes[x * LANES + r];
}

/* out[in->height, axis->count, 3]: each pixel a mix of pixels of its row. */
static bool mix_columns(const struct axis *axis, const struct nc_image_view *in, uint8_t *out)
{
    size_t in_bytes = in->width * 3, out_bytes = axis->count * 3;
    int32_t *lanes = aligned_alloc(64, in_bytes * LANES * sizeof *lanes);
    uint8_t *mixed = malloc(out_bytes * LANES);
    bool good = lanes && mixed;
    for (size_t y = 0; good && y < in->height; y += LANES) {
        size_t count = in->height - y < LANES ? in->height - y : LANES;
        const uint8_t *rows[LANES];
        for (size_t r = 0; r < LANES; r++)
            rows[r] = in->pixels + (y + (r < count ? r : 0)) * in->stride;
        rows_to_lanes(rows, in_bytes, lanes);
        for (size_t i = 0; i < axis->count; i++) {
            const int32_t *weights = axis->weights + i * axis->taps;
            const lane_vector *lane = (const lane_vector *)lanes + axis->start[i] * VECTORS;
            lane_vector sums[VECTORS];
            for (size_t v = 0; v < VECTORS; v++)
                sums[v] = (lane_vector){0} + (1 << (WEIGHT_BITS - 1));
            for (size_t t = 0; t < axis->used[i]; t++, lane += VECTORS)
                for (size_t v = 0; v < VECTORS; v++)
                    sums[v] += weights[t] * lane[v];
            int32_t flat[3 * LANES];
            memcpy(flat, sums, sizeof flat);
            for (size_t j = 0; j < 3 * LANES; j++)
                mixed[i * 3 * LANES + j] = round_and_clip(flat[j]);
        }
        lanes_to_rows(mixed, out_bytes, count, out_bytes, out + y * out_bytes);
    }
    free(lanes);
    free(mixed);
    return good;
}

/* ---- both ---- */

/* Leaves away what no wanted output touches: `axis` then counts from *first, and
 * *count input pixels from there are enough. */
static void narrow(struct axis *axis, size_t *first, size_t *count)
{
    size_t end = 0;
    *first = SIZE_MAX;
    for (size_t i = 0; i < axis->count; i++) {
        if (axis->start[i] < *first)
            *first = axis->start[i];
        if (axis->start[i] + axis->used[i] > end)
            end = axis->start[i] + axis->used[i];
    }
    for (size_t i = 0; i < axis->count; i++)
        axis->start[i] -= *first;
    *count = end - *first;
}

int nc_resize_window(const struct nc_image_view *view, size_t width, size_t height,
                     enum nc_resample resample, const struct nc_window *window, uint8_t *out)
{
    bool across_needed = width != view->width, down_needed = height != view->height;
    /* Like Pillow: rows first when that leaves much less for the columns to do. */
    bool rows_first =
        down_needed && view->height > height &&
        (ptrdiff_t)(view->height - height) > 2 * ((ptrdiff_t)view->width - (ptrdiff_t)width);
    struct axis across = {0}, down = {0};
    uint8_t *between = NULL;
    bool good = true;

    /* The part of the picture that matters. */
    size_t left = window->left, columns = window->width, top = window->top, rows = window->height;
    if (across_needed) {
        good = axis_create(&across, resample, view->width, width, window->left, window->width);
        if (good)
            narrow(&across, &left, &columns);
    }
    if (down_needed && good) {
        good = axis_create(&down, resample, view->height, height, window->top, window->height);
        if (good)
            narrow(&down, &top, &rows);
    }
    struct nc_image_view in = {view->pixels + top * view->stride + left * 3, columns, rows,
                               view->stride};
    if (good && across_needed && down_needed) {
        between = malloc(rows_first ? window->height * columns * 3 : rows * window->width * 3);
        good = between != NULL;
    }
    if (!good) {
        /* reported below */
    } else if (!across_needed && !down_needed) {
        for (size_t y = 0; y < rows; y++)
            memcpy(out + y * columns * 3, in.pixels + y * in.stride, columns * 3);
    } else if (!across_needed) {
        mix_rows(&down, &in, out);
    } else if (!down_needed) {
        good = mix_columns(&across, &in, out);
    } else if (rows_first) {
        mix_rows(&down, &in, between);
        struct nc_image_view mixed = {between, columns, window->height, columns * 3};
        good = mix_columns(&across, &mixed, out);
    } else {
        good = mix_columns(&across, &in, between);
        struct nc_image_view mixed = {between, window->width, rows, window->width * 3};
        if (good)
            mix_rows(&down, &mixed, out);
    }
    free(between);
    axis_free(&across);
    axis_free(&down);
    if (!good)
        return nc_error(NC_FAILED, "no memory to resize a picture of %zu x %zu pixels", view->width,
                        view->height);
    return NC_OK;
}

int nc_image_resize(const struct nc_image *image, size_t width, size_t height,
                    enum nc_resample resample, struct nc_image *resized)
{
    *resized = (struct nc_image){0};
    if (!width || !height || width > NC_IMAGE_MAX_EDGE || height > NC_IMAGE_MAX_EDGE ||
        width * height > NC_IMAGE_MAX_PIXELS)
        return nc_error(NC_BAD_INPUT,
                        "a picture of %zu x %zu pixels cannot be resized to %zu x %zu",
                        image->width, image->height, width, height);
    struct nc_image_view view = {image->pixels, image->width, image->height, image->width * 3};
    struct nc_window all = {0, 0, width, height};
    uint8_t *pixels = malloc(width * height * 3);
    int status = pixels ? nc_resize_window(&view, width, height, resample, &all, pixels)
                        : nc_error(NC_FAILED, "no memory for %zu x %zu pixels", width, height);
    if (status == NC_OK)
        *resized = (struct nc_image){width, height, pixels};
    else
        free(pixels);
    return status;
}
