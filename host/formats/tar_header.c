/* The header block of a tar's member: its numbers, and its checksum, by which a tar is known. */
#include "tar_header.h"

enum { CHECKSUM = 148, CHECKSUM_LENGTH = 8 };

bool tar_number(const uint8_t *field, size_t length, uint64_t *value)
{
    *value = 0;
    if (field[0] & 0x80) {
        for (size_t i = 0; i < length; i++) {
            if (*value >> 55)
                return false;
            *value = *value << 8 | (i ? field[i] : field[i] & 0x7f);
        }
        return true;
    }
    size_t i = 0;
    while (i < length && field[i] == ' ')
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (uint64_t)(field[i] - '0'); /* 12 digits: 36 bits */
    for (; i < length; i++)
        if (field[i] != ' ' && field[i] != 0)
            return false;
    return true;
}

bool tar_checksum_fits(const uint8_t block[NC_TAR_BLOCK])
{
    uint64_t stated, sum = 0;
    for (size_t i = 0; i < NC_TAR_BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LENGTH ? ' ' : block[i];
    return tar_number(block + CHECKSUM, CHECKSUM_LENGTH, &stated) && stated == sum;
}

bool nc_tar_recognize(const uint8_t block[NC_TAR_BLOCK])
{
    return block[0] && tar_checksum_fits(block);
}
