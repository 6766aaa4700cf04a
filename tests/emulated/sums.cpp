/* Sums as the GPU makes them (sums.h). */
#include "emulated/sums.h"

#include <cmath>
#include <cstdint>
#include <cstring>

enum { TOGETHER = 16, PLACES = 25, LANES = 8 };

/* These loops are most of what the emulation computes: their callers have checked the bounds. */
#define UNCHECKED __attribute__((no_sanitize("address")))

UNCHECKED void nc_emulated_add_in_order(float *sum, size_t width, const float *a, size_t stride,
                                        const float *b, size_t count)
{
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < width; i++)
            sum[i] += a[k * stride + i] * b[k]; /* fused where this machine can */
}

UNCHECKED static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

UNCHECKED static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Up to TOGETHER products into LANES sums. */
UNCHECKED static void add_together(float sum[LANES], const float *a, size_t stride, const float *b,
                                   size_t count)
{
    double term[TOGETHER + 1][LANES], largest[LANES], scale[LANES];
    int32_t total[LANES] = {};
    for (int i = 0; i < LANES; i++) {
        term[TOGETHER][i] = sum[i];
        largest[i] = fabs(static_cast<double>(sum[i]));
    }
    for (size_t k = 0; k < TOGETHER; k++)
        for (int i = 0; i < LANES; i++) {
            double from = k < count ? a[k * stride + i] : 0.0, by = k < count ? b[k] : 0.0;
            term[k][i] = from * by;
            largest[i] = fabs(term[k][i]) > largest[i] ? fabs(term[k][i]) : largest[i];
        }
    bool finite = true;
    for (int i = 0; i < LANES; i++) {
        double plain = 0; /* the largest alone does not show a NaN */
        for (size_t k = 0; k <= TOGETHER; k++)
            plain += term[k][i];
        finite = finite && std::isfinite(plain);
    }
    if (!finite) {
        for (int i = 0; i < LANES; i++) {
            double plain = 0;
            for (size_t k = 0; k <= TOGETHER; k++)
                plain += term[k][i];
            sum[i] = static_cast<float>(plain);
        }
        return;
    }
    for (int i = 0; i < LANES; i++) {
        uint64_t exponent = bits_of(largest[i]) >> 52;
        exponent = exponent ? exponent : 1023;
        scale[i] = double_of((2046 + PLACES - exponent) << 52);
    }
    for (size_t k = 0; k <= TOGETHER; k++)
        for (int i = 0; i < LANES; i++)
            total[i] += static_cast<int32_t>(term[k][i] * scale[i]); /* below 2^26: towards 0 */
    for (int i = 0; i < LANES; i++)
        sum[i] = static_cast<float>(
            double_of(bits_of(total[i] / scale[i]) & ~((uint64_t{1} << 29) - 1)));
}

UNCHECKED void nc_emulated_add_in_tensor_cores(float *sum, size_t width, const float *a,
                                               size_t stride, const float *b, size_t count)
{
    for (size_t k = 0; k < count; k += TOGETHER) {
        size_t now = count - k < TOGETHER ? count - k : size_t{TOGETHER};
        size_t i = 0;
        for (; i + LANES <= width; i += LANES)
            add_together(sum + i, a + k * stride + i, stride, b + k, now);
        float last[LANES] = {}, columns[TOGETHER][LANES] = {};
        if (i == width)
            continue;
        memcpy(last, sum + i, (width - i) * sizeof *sum);
        for (size_t j = 0; j < now; j++)
            memcpy(columns[j], a + (k + j) * stride + i, (width - i) * sizeof *a);
        add_together(last, columns[0], LANES, b + k, now);
        memcpy(sum + i, last, (width - i) * sizeof *sum);
    }
}
