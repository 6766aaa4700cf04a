/* Names of element types, and conversions between them. */
#include "nclip/support/types.h"

const char *nc_type_name(enum nc_type type)
{
    switch (type) {
    case NC_FLOAT32:
        return "fp32";
    case NC_BFLOAT16:
        return "bf16";
    case NC_FLOAT16:
        return "fp16";
    }
    return "?";
}

enum nc_type nc_type_named(const char *name)
{
    for (enum nc_type type = NC_FLOAT32; type <= NC_FLOAT16; type++)
        if (strcmp(name, nc_type_name(type)) == 0)
            return type;
    return NC_FLOAT32;
}

float nc_float16_to_float(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16;
    uint32_t exponent = (value >> 10) & 0x1fu;
    uint32_t mantissa = value & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | mantissa << 13;
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else { /* zero or subnormal: mantissa * 2^-24 */
        float magnitude = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof bits);
        bits |= sign;
    }
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

uint16_t nc_float16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
        return sign | 0x7c00u;
    if (magnitude < 0x38800000u) { /* below 2^-14: the sum lands on multiples of 2^-24 */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f; /* 0.5's last bit weighs 2^-24 */
        uint32_t sum;
        memcpy(&sum, &shifted, sizeof sum);
        return sign | (uint16_t)(sum - 0x3f000000u);
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return sign | (uint16_t)((rounded - 0x38000000u) >> 13);
}

void nc_convert(void *destination, enum nc_type destination_type, const void *source,
                enum nc_type source_type, size_t count)
{
    if (destination_type == source_type) {
        memcpy(destination, source, count * nc_type_size(source_type));
        return;
    }
    /* Bytes in and out: a tensor in a file has no alignment. */
    const uint8_t *in = source;
    uint8_t *out = destination;
    for (size_t i = 0; i < count; i++) {
        float value;
        uint16_t half;
        if (source_type == NC_FLOAT32) {
            memcpy(&value, in + 4 * i, 4);
        } else {
            memcpy(&half, in + 2 * i, 2);
            value = source_type == NC_BFLOAT16 ? nc_bfloat16_to_float(half)
                                               : nc_float16_to_float(half);
        }
        if (destination_type == NC_FLOAT32) {
            memcpy(out + 4 * i, &value, 4);
        } else {
            half = destination_type == NC_BFLOAT16 ? nc_bfloat16_from_float(value)
                                                   : nc_float16_from_float(value);
            memcpy(out + 2 * i, &half, 2);
        }
    }
}
