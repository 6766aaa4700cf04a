/* Terms over a picture's own texts (nclip/ops.h: formulas, gradient, sources): the choice between a
 * caption and its contradictions, margins between their similarities, and the distance of a caption
 * to what another model made of it.
 *
 * A picture with m contradictions reads (3 + 2 m) rows twice, with gradients, and writes (1 + m):
 * 4 width (8 + 6 m) bytes, about 14 m width flops. Memory decides; at a batch's size it is a
 * thousandth of the tower's.
 *
 * Pictures are independent, and their shares are added up in order: the bits do not depend on the
 * threads. */
#include "cpu.h"

#include "nclip/support/error.h"
#include "vector.h"

#include <math.h>

enum { SMALL = 1 << 14 }; /* elements below which more threads cost more than they bring */

static float dot(const float *a, const float *b, size_t width)
{
    nc_floats sum = {0};
    for (size_t k = 0; k < width; k += NC_LANES)
        sum += nc_load_of(a, k, NC_FLOAT32, width - k) * nc_load_of(b, k, NC_FLOAT32, width - k);
    return nc_sum(sum);
}

/* to += factor * from */
static void add(float *to, float factor, const float *from, size_t width)
{
    if (factor == 0)
        return;
    for (size_t k = 0; k < width; k++)
        to[k] += factor * from[k];
}

/* The first contradiction of picture i or of a later one. */
static size_t first_extra(const struct nc_own_terms *n, size_t i)
{
    size_t low = 0, high = n->extras;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((size_t)n->extra_image[middle] < i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* log sum of exponentials over 0 and the z of the contradictions: max + log1p(rest), so that what
 * the gradient is made of is not rounded away where the choice is sure. */
static float log_choices(const struct nc_own_terms *n, size_t first, size_t end, const float *image,
                         float own, float scale)
{
    float max = 0, rest = 0;
    for (size_t e = first; e < end; e++) {
        float z = scale * (dot(n->extra + e * n->width, image, n->width) - own);
        rest = z > max ? (rest + 1) * expf(max - z) : rest + expf(z - max);
        max = z > max ? z : max;
    }
    return max + log1pf(rest);
}

/* Of a difference of similarities: what is outside [low, high], and its derivative. */
static float outside(float difference, float low, float high, float *slope)
{
    float below = low - difference, above = difference - high;
    *slope = (above > 0 ? 1.0f : 0.0f) - (below > 0 ? 1.0f : 0.0f);
    return (below > 0 ? below : 0) + (above > 0 ? above : 0);
}

/* Two numbers of a text, normalised, and the norm that they were divided by. */
struct projection {
    float x, y, norm;
};

static struct projection project(const struct nc_own_terms *n, const float *text)
{
    float x = dot(text, n->basis, n->width), y = dot(text, n->basis + n->width, n->width);
    float norm = sqrtf(x * x + y * y);
    norm = norm > 1e-6f ? norm : 1e-6f;
    return (struct projection){x / norm, y / norm, norm};
}

/* to += factor d cos / d (the text of `own`) */
static void add_projection(const struct nc_own_terms *n, float *to, float factor,
                           struct projection own, struct projection other)
{
    float cosine = own.x * other.x + own.y * other.y;
    add(to, factor * (other.x - cosine * own.x) / own.norm, n->basis, n->width);
    add(to, factor * (other.y - cosine * own.y) / own.norm, n->basis + n->width, n->width);
}

/* Of one contradiction, or paraphrase; returns what it costs. */
static float projected(const struct nc_own_terms *n, size_t i, size_t e, float part)
{
    const struct nc_own_weights *w = &n->weights;
    struct projection text = project(n, n->text + i * n->width);
    struct projection extra = project(n, n->extra + e * n->width);
    float cosine = text.x * extra.x + text.y * extra.y;
    float slope = part * ((cosine > 0 ? w->unlike : 0) - w->alike);
    if (n->dtext) {
        add_projection(n, n->dtext + i * n->width, slope, text, extra);
        add_projection(n, n->dextra + e * n->width, slope, extra, text);
    }
    return part * (w->alike * (1 - cosine) + (cosine > 0 ? w->unlike * cosine : 0));
}

static void picture(const struct nc_own_terms *n, size_t i, double *loss, double *dscale)
{
    const struct nc_own_weights *w = &n->weights;
    size_t width = n->width, first = first_extra(n, i), end = first_extra(n, i + 1);
    const float *text = n->text + i * width, *image = n->image + i * width;
    float own = dot(text, image, width), scale = expf(*n->logit_scale), down = 0, slope;
    float part = 1.0f / (first < end ? *n->count : 1), log = 0;
    *loss = *dscale = 0;
    if (w->choice != 0 && first < end) {
        log = log_choices(n, first, end, image, own, scale);
        *loss += (double)(w->choice * part) * log;
    }
    for (size_t e = first; e < end; e++) {
        const float *extra = n->extra + e * width;
        float at_image = dot(extra, image, width), at_text = dot(extra, text, width);
        float dimage = 0, dtext = 0;
        if (w->choice != 0) {
            float z = scale * (at_image - own), share = w->choice * part * expf(z - log);
            dimage += share * scale;
            down -= share * scale;
            *dscale += (double)share * z;
        }
        if (w->picture != 0) {
            *loss += (double)(w->picture * part) *
                     outside(own - at_image, w->picture_low, w->picture_high, &slope);
            dimage -= w->picture * part * slope;
            down += w->picture * part * slope;
        }
        if (w->text != 0) {
            *loss += (double)(w->text * part) *
                     outside(own - at_text, w->text_low, w->text_high, &slope);
            dtext -= w->text * part * slope;
            down += w->text * part * slope;
        }
        if (w->apart != 0 && at_text + w->apart_margin > 0) {
            *loss += (double)(w->apart * part) * (at_text + w->apart_margin);
            dtext += w->apart * part;
        }
        if (w->alike != 0 || w->unlike != 0)
            *loss += (double)projected(n, i, e, part);
        if (n->dtext) {
            add(n->dextra + e * width, dimage, image, width);
            add(n->dextra + e * width, dtext, text, width);
            add(n->dtext + i * width, dtext, extra, width);
        }
    }
    if (n->dtext)
        add(n->dtext + i * width, down, image, width);
    if (w->keep != 0) {
        const float *base = n->base + i * width;
        float keep = w->keep / (float)n->total;
        *loss += (double)keep * (1 - dot(text, base, width));
        if (n->dtext)
            add(n->dtext + i * width, -keep, base, width);
    }
}

size_t nc_cpu_own_terms_scratch(struct nc_backend *backend, size_t pairs)
{
    (void)backend;
    return 2 * pairs * sizeof(double);
}

int nc_cpu_own_terms(struct nc_backend *backend, const struct nc_own_terms *n)
{
    double *loss = n->scratch, *dscale = loss + n->pairs, losses = 0, dscales = 0;
    for (size_t e = 0; e < n->extras; e++)
        if (n->extra_image[e] < 0 || (size_t)n->extra_image[e] >= n->pairs ||
            (e && n->extra_image[e] < n->extra_image[e - 1]))
            return nc_error(NC_FAILED,
                            "own_terms: contradiction %zu is of picture %d: of %zu, in order, it "
                            "must be one", e, n->extra_image[e], n->pairs);
#pragma omp parallel for num_threads(backend->threads) schedule(static) \
    if (n->pairs * n->width > SMALL)
    for (size_t i = 0; i < n->pairs; i++)
        picture(n, i, loss + i, dscale + i);
    for (size_t i = 0; i < n->pairs; i++) {
        losses += loss[i];
        dscales += dscale[i];
    }
    if (n->loss)
        *n->loss += (float)losses;
    if (n->dtext)
        *n->dlogit_scale += (float)dscales;
    return NC_OK;
}
