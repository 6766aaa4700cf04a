/* Both passes for three levels of processor (SSE2, AVX2, AVX-512), chosen when they run; NCLIP_CPU
 * (v2, v3, v4) chooses a lower one.
 *
 * A processor multiplies 16-bit integers and adds neighbours in one instruction, so a weight w is
 * taken apart: w = high * 2^11 + low, and sum(w * x) = sum(high * x) * 2^11 + sum(low * x). All of
 * it is modulo 2^32, and the sum itself fits, so that nothing is lost.
 */
#include "passes.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define ON_X86 1
#else
#define ON_X86 0
#endif

enum { LOW_BITS = 11 };

static inline uint8_t round_and_clip(uint32_t sum)
{
    int32_t level = (int32_t)sum >> NC_WEIGHT_BITS;
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* Two weights of neighbours as a pair of 16-bit numbers: their high parts, and their low ones. */
struct weight_pair {
    int16_t high[2], low[2];
};

static void split(int32_t first, int32_t second, struct weight_pair *pair)
{
    pair->high[0] = (int16_t)(first >> LOW_BITS);
    pair->high[1] = (int16_t)(second >> LOW_BITS);
    pair->low[0] = (int16_t)(first & ((1 << LOW_BITS) - 1));
    pair->low[1] = (int16_t)(second & ((1 << LOW_BITS) - 1));
}

/* Columns are mixed sixteen rows at a time: these lie side by side, so that a weight meets a
 * vector. Of two neighbouring pixels, each channel's levels lie side by side in each row's place.
 */
enum { LANES = 16, PAIR = 3 * LANES * 2 /* 16-bit numbers of a pair of pixels */ };

struct pairs { /* of output pixel i: pairs of input pixels from start[i] on, used[i] of them */
    size_t *start, *used, room;
    struct weight_pair *weights; /* [count, room] */
};

/* Compiled anew for each kind of processor. */
#define INLINE static inline __attribute__((always_inline))

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint8_t bytes16_anywhere __attribute__((vector_size(16), aligned(1), may_alias));

#define LOW_HALVES(a, b)                                                                           \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_HALVES(a, b)                                                                          \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

/* 16 rows of 16 bytes become 16 columns: four times, row i and row i + 8 are interleaved. */
INLINE void transpose16(bytes16 rows[16])
{
    bytes16 other[16];
    for (int round = 0; round < 4; round += 2) {
        for (int i = 0; i < 8; i++) {
            other[2 * i] = LOW_HALVES(rows[i], rows[i + 8]);
            other[2 * i + 1] = HIGH_HALVES(rows[i], rows[i + 8]);
        }
        for (int i = 0; i < 8; i++) {
            rows[2 * i] = LOW_HALVES(other[i], other[i + 8]);
            rows[2 * i + 1] = HIGH_HALVES(other[i], other[i + 8]);
        }
    }
}

/* columns[bytes, LANES] from LANES rows. */
INLINE void rows_to_columns(const uint8_t *const rows[LANES], size_t bytes, uint8_t *columns)
{
    size_t x = 0;
    for (; x + 16 <= bytes; x += 16) {
        bytes16 block[16];
        for (size_t r = 0; r < LANES; r++)
            block[r] = *(const bytes16_anywhere *)(rows[r] + x);
        transpose16(block);
        for (size_t b = 0; b < 16; b++)
            *(bytes16_anywhere *)(columns + (x + b) * LANES) = block[b];
    }
    for (; x < bytes; x++)
        for (size_t r = 0; r < LANES; r++)
            columns[x * LANES + r] = rows[r][x];
}

/* lanes[pairs of pixels, 3, LANES, 2] from columns[width, 3, LANES]; an odd width ends with zeros.
 */
INLINE void pair_columns(const uint8_t *columns, size_t width, int16_t *lanes)
{
    const bytes16 zero = {0};
    for (size_t x = 0; x < width; x += 2)
        for (size_t channel = 0; channel < 3; channel++) {
            const uint8_t *at = columns + (3 * x + channel) * LANES;
            bytes16_anywhere *out =
                (bytes16_anywhere *)(lanes + x / 2 * PAIR + channel * 2 * LANES);
            bytes16 first = *(const bytes16_anywhere *)at, second = zero;
            if (x + 1 < width)
                second = *(const bytes16_anywhere *)(at + 3 * LANES);
            bytes16 low = LOW_HALVES(first, second), high = HIGH_HALVES(first, second);
            out[0] = LOW_HALVES(low, zero); /* little-endian words */
            out[1] = HIGH_HALVES(low, zero);
            out[2] = LOW_HALVES(high, zero);
            out[3] = HIGH_HALVES(high, zero);
        }
}

/* The first `count` of LANES rows, `stride` apart, from columns[bytes, LANES]. */
INLINE void columns_to_rows(const uint8_t *columns, size_t bytes, size_t count, size_t stride,
                            uint8_t *rows)
{
    size_t x = 0;
    for (; x + 16 <= bytes; x += 16) {
        bytes16 block[16];
        for (size_t b = 0; b < 16; b++)
            block[b] = *(const bytes16_anywhere *)(columns + (x + b) * LANES);
        transpose16(block);
        for (size_t r = 0; r < count; r++)
            *(bytes16_anywhere *)(rows + r * stride + x) = block[r];
    }
    for (; x < bytes; x++)
        for (size_t r = 0; r < count; r++)
            rows[r * stride + x] = columns[x * LANES + r];
}

/* What mixing sixteen rows needs, and room for what comes between. */
struct columns {
    struct pairs pairs;
    size_t in_bytes, out_bytes; /* of a row */
    uint8_t *bytes;             /* [the larger of both, LANES] */
    int16_t *lanes;
};

/* The first `count` of the sixteen rows that are mixed, out_bytes apart. */
typedef void mix_columns(const struct columns *columns, const uint8_t *const rows[LANES],
                         size_t count, uint8_t *out);

/* out[bytes] from `used` rows. */
typedef void mix_row(const int32_t *weights, size_t used, const uint8_t *rows, size_t stride,
                     size_t bytes, uint8_t *out);

/* AT_ONCE: channels whose sums fit into the registers. */
#define DEFINE_PASSES(LEVEL, TARGET, BYTES, AT_ONCE, MULTIPLY)                                     \
    /* mixed[count, 3, LANES] from lanes[pairs of pixels, 3, LANES, 2] */                          \
    TARGET static void mix_##LEVEL(const struct pairs *pairs, size_t count, const int16_t *lanes,  \
                                   uint8_t *mixed)                                                 \
    {                                                                                              \
        typedef int16_t words __attribute__((vector_size(BYTES)));                                 \
        typedef uint32_t sums __attribute__((vector_size(BYTES)));                                 \
        typedef int32_t levels __attribute__((vector_size(BYTES)));                                \
        enum { PARTS = 4 * LANES / (BYTES), SUMS = (AT_ONCE)*PARTS };                              \
        for (size_t i = 0; i < count; i++)                                                         \
            for (size_t channel = 0; channel < 3; channel += (AT_ONCE)) {                          \
                const struct weight_pair *pair = pairs->weights + i * pairs->room;                 \
                const words *in =                                                                  \
                    (const words *)(lanes + pairs->start[i] * PAIR + channel * 2 * LANES);         \
                sums high[SUMS] = {0}, low[SUMS] = {0};                                            \
                for (size_t t = 0; t < pairs->used[i]; t++, in += 3 * PARTS) {                     \
                    int32_t two[2];                                                                \
                    memcpy(two, &pair[t], sizeof two);                                             \
                    sums times_high = (sums){0} + (uint32_t)two[0];                                \
                    sums times_low = (sums){0} + (uint32_t)two[1];                                 \
                    for (size_t v = 0; v < SUMS; v++) {                                            \
                        high[v] += (sums)MULTIPLY(in[v], (words)times_high);                       \
                        low[v] += (sums)MULTIPLY(in[v], (words)times_low);                         \
                    }                                                                              \
                }                                                                                  \
                int32_t flat[(AT_ONCE)*LANES];                                                     \
                for (size_t v = 0; v < SUMS; v++) {                                                \
                    sums sum = (high[v] << LOW_BITS) + low[v] + (1u << (NC_WEIGHT_BITS - 1));      \
                    levels level = (levels)sum >> NC_WEIGHT_BITS;                                  \
                    level &= ~(level >> 31);                                                       \
                    levels above = level > 255;                                                    \
                    level = (level & ~above) | (above & 255);                                      \
                    memcpy((char *)flat + v * (BYTES), &level, BYTES);                             \
                }                                                                                  \
                uint8_t *out = mixed + (i * 3 + channel) * LANES;                                  \
                for (size_t j = 0; j < (AT_ONCE)*LANES; j++)                                       \
                    out[j] = (uint8_t)flat[j];                                                     \
            }                                                                                      \
    }                                                                                              \
    TARGET static void columns_##LEVEL(const struct columns *c, const uint8_t *const rows[LANES],  \
                                       size_t count, uint8_t *out)                                 \
    {                                                                                              \
        rows_to_columns(rows, c->in_bytes, c->bytes);                                              \
        pair_columns(c->bytes, c->in_bytes / 3, c->lanes);                                         \
        mix_##LEVEL(&c->pairs, c->out_bytes / 3, c->lanes, c->bytes);                              \
        columns_to_rows(c->bytes, c->out_bytes, count, c->out_bytes, out);                         \
    }                                                                                              \
    TARGET static void row_##LEVEL(const int32_t *weights, size_t used, const uint8_t *rows,       \
                                   size_t stride, size_t bytes, uint8_t *out)                      \
    {                                                                                              \
        enum { SUMS = 128 };                                                                       \
        for (size_t x = 0; x < bytes; x += SUMS) {                                                 \
            size_t part = bytes - x < SUMS ? bytes - x : SUMS;                                     \
            const uint8_t *row = rows + x;                                                         \
            uint32_t sum[SUMS];                                                                    \
            for (size_t b = 0; b < SUMS; b++)                                                      \
                sum[b] = 1u << (NC_WEIGHT_BITS - 1);                                               \
            if (part == SUMS)                                                                      \
                for (size_t t = 0; t < used; t++, row += stride)                                   \
                    for (size_t b = 0; b < SUMS; b++)                                              \
                        sum[b] += (uint32_t)(weights[t] * row[b]);                                 \
            else                                                                                   \
                for (size_t t = 0; t < used; t++, row += stride)                                   \
                    for (size_t b = 0; b < part; b++)                                              \
                        sum[b] += (uint32_t)(weights[t] * row[b]);                                 \
            for (size_t b = 0; b < part; b++)                                                      \
                out[x + b] = round_and_clip(sum[b]);                                               \
        }                                                                                          \
    }

#if ON_X86
#define MULTIPLY_128(a, b) _mm_madd_epi16((__m128i)(a), (__m128i)(b))
#define MULTIPLY_256(a, b) _mm256_madd_epi16((__m256i)(a), (__m256i)(b))
#define MULTIPLY_512(a, b) _mm512_madd_epi16((__m512i)(a), (__m512i)(b))
DEFINE_PASSES(v2, , 16, 1, MULTIPLY_128)
DEFINE_PASSES(v3, __attribute__((target("avx2"))), 32, 3, MULTIPLY_256)
DEFINE_PASSES(v4, __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), 64, 3,
              MULTIPLY_512)
#else
typedef int16_t plain_words __attribute__((vector_size(16)));
typedef int32_t plain_sums __attribute__((vector_size(16)));
static inline plain_sums multiply_plain(plain_words a, plain_words b)
{
    plain_sums sum;
    for (int i = 0; i < 4; i++)
        sum[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    return sum;
}
DEFINE_PASSES(v2, , 16, 1, multiply_plain)
#endif

#if ON_X86
/* 2, 3 or 4: what the processor has, or less where the environment asks for it. */
static int level_here(void)
{
    const char *wanted = getenv("NCLIP_CPU");
    int most = wanted && wanted[0] == 'v' ? wanted[1] - '0' : 4;
    if (most >= 4 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return 4;
    return most >= 3 && __builtin_cpu_supports("avx2") ? 3 : 2;
}
#define HERE(NAME) (level_here() == 4 ? NAME##_v4 : level_here() == 3 ? NAME##_v3 : NAME##_v2)
#else
#define HERE(NAME) NAME##_v2
#endif

void nc_mix_rows(const struct nc_axis *axis, const struct nc_image_view *in, uint8_t *out)
{
    mix_row *mix = HERE(row);
    size_t bytes = in->width * 3;
    for (size_t i = 0; i < axis->count; i++)
        mix(axis->weights + i * axis->taps, axis->used[i], in->pixels + axis->start[i] * in->stride,
            in->stride, bytes, out + i * bytes);
}

/* ---- columns ---- */

static void pairs_free(struct pairs *pairs)
{
    free(pairs->start);
    free(pairs->used);
    free(pairs->weights);
}

/* A pair starts at an even pixel; a weight of 0 fills it up on either side. */
static bool pairs_create(struct pairs *pairs, const struct nc_axis *axis)
{
    size_t count = axis->count;
    *pairs = (struct pairs){.room = axis->taps / 2 + 2};
    pairs->start = malloc(count * sizeof *pairs->start);
    pairs->used = malloc(count * sizeof *pairs->used);
    pairs->weights = malloc(count * pairs->room * sizeof *pairs->weights);
    if (!pairs->start || !pairs->used || !pairs->weights) {
        pairs_free(pairs);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const int32_t *weights = axis->weights + i * axis->taps;
        size_t odd = axis->start[i] % 2, used = axis->used[i];
        pairs->start[i] = axis->start[i] / 2;
        pairs->used[i] = (used + odd + 1) / 2;
        for (size_t t = 0; t < pairs->used[i]; t++) {
            size_t first = 2 * t - odd, second = first + 1; /* first wraps below 0 */
            split(first < used ? weights[first] : 0, second < used ? weights[second] : 0,
                  &pairs->weights[i * pairs->room + t]);
        }
    }
    return true;
}

bool nc_mix_columns(const struct nc_axis *axis, const struct nc_image_view *in, uint8_t *out)
{
    mix_columns *mix = HERE(columns);
    struct columns c = {.in_bytes = in->width * 3, .out_bytes = axis->count * 3};
    size_t lane_bytes = (in->width + 1) / 2 * PAIR * sizeof(int16_t);
    if (!pairs_create(&c.pairs, axis))
        return false;
    c.lanes = aligned_alloc(64, (lane_bytes + 63) / 64 * 64);
    c.bytes = malloc((c.in_bytes > c.out_bytes ? c.in_bytes : c.out_bytes) * LANES);
    bool good = c.lanes && c.bytes;
    for (size_t y = 0; good && y < in->height; y += LANES) {
        size_t count = in->height - y < LANES ? in->height - y : LANES;
        const uint8_t *rows[LANES];
        for (size_t r = 0; r < LANES; r++)
            rows[r] = in->pixels + (y + (r < count ? r : 0)) * in->stride;
        mix(&c, rows, count, out + y * c.out_bytes);
    }
    free(c.lanes);
    free(c.bytes);
    pairs_free(&c.pairs);
    return good;
}
