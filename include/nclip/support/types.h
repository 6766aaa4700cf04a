/* Element types and their conversions. */
#ifndef NCLIP_SUPPORT_TYPES_H
#define NCLIP_SUPPORT_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum nc_type {
    NC_FLOAT32,
    NC_BFLOAT16,
    NC_FLOAT16, /* in files only: no operation computes in it */
};

static inline size_t nc_type_size(enum nc_type type) { return type == NC_FLOAT32 ? 4 : 2; }
const char *nc_type_name(enum nc_type type); /* "fp32", "bf16", "fp16" */
enum nc_type nc_type_named(const char *name); /* the other way; NC_FLOAT32 for other names */

typedef uint16_t nc_bfloat16; /* the upper half of a float's bits */

static inline float nc_bfloat16_to_float(nc_bfloat16 value)
{
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* Round to nearest even; NaN stays NaN. */
static inline nc_bfloat16 nc_bfloat16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (nc_bfloat16)((bits >> 16) | 0x0040u);
    return (nc_bfloat16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float nc_float16_to_float(uint16_t value);
uint16_t nc_float16_from_float(float value); /* round to nearest even, overflow to infinity */

/* `count` elements, any type to any type; no overlap. */
void nc_convert(void *destination, enum nc_type destination_type, const void *source,
                enum nc_type source_type, size_t count);

#ifdef __cplusplus
}
#endif
#endif
