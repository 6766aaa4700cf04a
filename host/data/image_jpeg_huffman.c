#include "image_jpeg.h"

#include <string.h>

const uint8_t nc_jpeg_zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

enum { FAST_BITS = NC_JPEG_FAST_BITS };

/* A value of n bits stands for -(2^n - 1) .. -2^(n-1) and 2^(n-1) .. 2^n - 1
 * (T.81, F.2.2.1); n is 1 to 15. */
static int signed_value(uint32_t bits, int n)
{
    return (int)bits - (bits < 1u << (n - 1) ? (1 << n) - 1 : 0);
}

bool nc_jpeg_huffman_build(struct nc_jpeg_huffman *table, const uint8_t counts[16],
                           const uint8_t *symbols, size_t total)
{
    *table = (struct nc_jpeg_huffman){0};
    memcpy(table->symbols, symbols, total);

    uint32_t code = 0;
    size_t index = 0;
    for (int length = 1; length <= 16; length++) {
        table->offset[length] = (int32_t)index - (int32_t)code;
        if (code + counts[length - 1] > 1u << length)
            return false;
        for (size_t i = 0; i < counts[length - 1]; i++, code++, index++) {
            if (length > FAST_BITS)
                continue;
            int spare = FAST_BITS - length;
            for (uint32_t fill = 0; fill < 1u << spare; fill++)
                table->fast[(code << spare) + fill] = (uint16_t)(length << 8 | symbols[index]);
        }
        table->limit[length] = code << (16 - length);
        code <<= 1;
    }

    for (uint32_t look = 0; look < 1u << FAST_BITS; look++) {
        int length = table->fast[look] >> 8, symbol = table->fast[look] & 255;
        int run = symbol >> 4, size = symbol & 15;
        if (length == 0 || size == 0 || length + size > FAST_BITS)
            continue;
        uint32_t value = (look >> (FAST_BITS - length - size)) & ((1u << size) - 1);
        int number = signed_value(value, size);
        if (number >= -128 && number <= 127)
            table->fast_value[look] = (int16_t)(number * 256 + run * 16 + length + size);
    }
    table->defined = true;
    return true;
}

void nc_jpeg_bits_start(struct nc_jpeg_bits *bits, const uint8_t *next, const uint8_t *end)
{
    *bits = (struct nc_jpeg_bits){.next = next, .end = end};
}

/* Byte by byte: unstuffs FF 00 and stops before a marker. */
static void refill_carefully(struct nc_jpeg_bits *bits)
{
    while (bits->count <= 56) {
        uint64_t byte = 0;
        const uint8_t *next = bits->next;
        bool there = next < bits->end;
        if (there) {
            byte = *next++;
            if (byte == 0xff) {
                while (next < bits->end && *next == 0xff)
                    next++;
                there = next < bits->end && *next++ == 0;
            }
        }
        if (there) {
            bits->next = next;
            bits->buffer |= byte << (56 - bits->count);
        } else {
            bits->padded += 8;
        }
        bits->count += 8;
    }
}

/* Makes at least 57 bits valid. */
static inline void refill(struct nc_jpeg_bits *bits)
{
    if (bits->end - bits->next >= 8) {
        uint64_t word;
        memcpy(&word, bits->next, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        uint64_t inverted = ~word; /* a byte FF becomes 0 */
        if (!((inverted - 0x0101010101010101u) & word & 0x8080808080808080u)) {
            bits->buffer |= word >> bits->count;
            int taken = (64 - bits->count) >> 3;
            bits->next += taken;
            bits->count += taken * 8; /* bits further down are the true next ones: */
            return;                   /* the next refill ORs the same ones again */
        }
    }
    refill_carefully(bits);
}

static inline void need(struct nc_jpeg_bits *bits, int n)
{
    if (bits->count < n)
        refill(bits);
}

static inline uint32_t peek(const struct nc_jpeg_bits *bits, int n)
{
    return (uint32_t)(bits->buffer >> (64 - n));
}

static inline void skip(struct nc_jpeg_bits *bits, int n)
{
    bits->buffer <<= n;
    bits->count -= n;
}

/* n from 1 to 16, after need() */
static inline uint32_t take(struct nc_jpeg_bits *bits, int n)
{
    uint32_t value = peek(bits, n);
    skip(bits, n);
    return value;
}

/* The next symbol, after need(16); -1 when no code fits. */
static inline int symbol(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *table)
{
    unsigned fast = table->fast[peek(bits, FAST_BITS)];
    if (fast) {
        skip(bits, (int)(fast >> 8));
        return (int)(fast & 255);
    }
    uint32_t look = peek(bits, 16);
    for (int length = FAST_BITS + 1; length <= 16; length++) {
        if (look < table->limit[length]) {
            int32_t index = (int32_t)(look >> (16 - length)) + table->offset[length];
            skip(bits, length);
            return index >= 0 && index < 256 ? table->symbols[index] : -1;
        }
    }
    return -1;
}

/* The DC value: the prediction plus a difference. It wraps in damaged files. */
static inline bool dc_value(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *dc,
                            uint32_t *prediction)
{
    need(bits, 32);
    int size = symbol(bits, dc);
    if (size < 0 || size > 15)
        return false;
    if (size)
        *prediction += (uint32_t)signed_value(take(bits, size), size);
    return true;
}

bool nc_jpeg_block_sequential(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *dc,
                              const struct nc_jpeg_huffman *ac, uint32_t *dc_prediction,
                              int16_t block[64])
{
    memset(block, 0, 64 * sizeof *block);
    if (!dc_value(bits, dc, dc_prediction))
        return false;
    block[0] = (int16_t)*dc_prediction;

    for (int k = 1; k < 64; k++) {
        need(bits, 32);
        int fast = ac->fast_value[peek(bits, FAST_BITS)];
        if (fast) {
            k += (fast >> 4) & 15;
            if (k > 63)
                return false;
            skip(bits, fast & 15);
            block[nc_jpeg_zigzag[k]] = (int16_t)(fast >> 8);
            continue;
        }
        int code = symbol(bits, ac);
        if (code < 0)
            return false;
        int run = code >> 4, size = code & 15;
        if (size == 0) {
            if (run != 15)
                break; /* end of block */
            k += 15;
            continue;
        }
        k += run;
        if (k > 63)
            return false;
        block[nc_jpeg_zigzag[k]] = (int16_t)signed_value(take(bits, size), size);
    }
    return true;
}

bool nc_jpeg_block_dc(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *dc,
                      const struct nc_jpeg_band *band, uint32_t *dc_prediction, int16_t block[64])
{
    if (band->high) {
        need(bits, 1);
        if (take(bits, 1))
            block[0] = (int16_t)(block[0] | 1 << band->low);
        return true;
    }
    if (!dc_value(bits, dc, dc_prediction))
        return false;
    block[0] = (int16_t)(*dc_prediction << band->low);
    return true;
}

static bool first_ac(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *ac,
                     const struct nc_jpeg_band *band, uint32_t *end_of_band_run, int16_t block[64])
{
    if (*end_of_band_run) {
        --*end_of_band_run;
        return true;
    }
    for (int k = band->first; k <= band->last; k++) {
        need(bits, 32);
        int code = symbol(bits, ac);
        if (code < 0)
            return false;
        int run = code >> 4, size = code & 15;
        if (size == 0) {
            if (run == 15) {
                k += 15;
                continue;
            }
            *end_of_band_run = (1u << run) - 1;
            if (run)
                *end_of_band_run += take(bits, run);
            break;
        }
        k += run;
        if (k > 63)
            return false;
        block[nc_jpeg_zigzag[k]] =
            (int16_t)((uint32_t)signed_value(take(bits, size), size) << band->low);
    }
    return true;
}

/* One more bit of a coefficient that is not zero already. */
static inline void correct(struct nc_jpeg_bits *bits, int16_t *coefficient, int bit)
{
    need(bits, 1);
    if (take(bits, 1) && !(*coefficient & bit))
        *coefficient = (int16_t)(*coefficient >= 0 ? *coefficient + bit : *coefficient - bit);
}

static bool refine_ac(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *ac,
                      const struct nc_jpeg_band *band, uint32_t *end_of_band_run, int16_t block[64])
{
    int bit = 1 << band->low;
    int k = band->first;
    if (*end_of_band_run == 0) {
        for (; k <= band->last; k++) {
            need(bits, 32);
            int code = symbol(bits, ac);
            if (code < 0)
                return false;
            int run = code >> 4, size = code & 15, value = 0;
            if (size > 1)
                return false; /* a new coefficient has one bit so far */
            if (size == 1) {
                value = take(bits, 1) ? bit : -bit;
            } else if (run != 15) {
                *end_of_band_run = 1u << run;
                if (run)
                    *end_of_band_run += take(bits, run);
                break; /* the rest of this block only has corrections */
            }
            /* Step over `run` coefficients that are still zero, correcting the others. */
            for (; k <= band->last; k++) {
                int16_t *coefficient = &block[nc_jpeg_zigzag[k]];
                if (*coefficient)
                    correct(bits, coefficient, bit);
                else if (run-- == 0)
                    break;
            }
            if (value) {
                if (k > band->last)
                    return false;
                block[nc_jpeg_zigzag[k]] = (int16_t)value;
            }
        }
    }
    if (*end_of_band_run) {
        for (; k <= band->last; k++) {
            int16_t *coefficient = &block[nc_jpeg_zigzag[k]];
            if (*coefficient)
                correct(bits, coefficient, bit);
        }
        --*end_of_band_run;
    }
    return true;
}

bool nc_jpeg_block_ac(struct nc_jpeg_bits *bits, const struct nc_jpeg_huffman *ac,
                      const struct nc_jpeg_band *band, uint32_t *end_of_band_run, int16_t block[64])
{
    return band->high ? refine_ac(bits, ac, band, end_of_band_run, block)
                      : first_ac(bits, ac, band, end_of_band_run, block);
}
