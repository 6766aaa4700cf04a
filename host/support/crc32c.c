/* The checksum CRC-32C. */
#include "nclip/support/crc32c.h"

/* A bit at a time: a run writes a few hundred bytes a step. */
uint32_t nc_crc32c(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}
