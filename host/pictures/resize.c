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
#include "passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void axis_free(struct nc_axis *axis)
{
    free(axis->start);
    free(axis->used);
    free(axis->weights);
    *axis = (struct nc_axis){0}; /* where making it failed it is freed once more */
}

/* Weights that take `from` pixels to `to`, of the output pixels [first, first + count). */
static bool axis_create(struct nc_axis *axis, enum nc_resample resample, size_t from, size_t to,
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

    *axis = (struct nc_axis){.count = count, .taps = (size_t)ceil(support) * 2 + 1};
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
            weight *= 1 << NC_WEIGHT_BITS;
            weights[j] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        axis->start[i] = start;
        axis->used[i] = end - start;
    }
    free(exact);
    return true;
}

/* ---- both ---- */

/* Leaves away what no wanted output touches: `axis` then counts from *first, and
 * *count input pixels from there are enough. */
static void narrow(struct nc_axis *axis, size_t *first, size_t *count)
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
    struct nc_axis across = {0}, down = {0};
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
        nc_mix_rows(&down, &in, out);
    } else if (!down_needed) {
        good = nc_mix_columns(&across, &in, out);
    } else if (rows_first) {
        nc_mix_rows(&down, &in, between);
        struct nc_image_view mixed = {between, columns, window->height, columns * 3};
        good = nc_mix_columns(&across, &mixed, out);
    } else {
        good = nc_mix_columns(&across, &in, between);
        struct nc_image_view mixed = {between, window->width, rows, window->width * 3};
        if (good)
            nc_mix_rows(&down, &mixed, out);
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
