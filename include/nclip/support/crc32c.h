/* CRC-32C (Castagnoli): polynomial 0x1edc6f41, reflected, as in iSCSI (RFC 3720) and TFRecord. */
#ifndef NCLIP_SUPPORT_CRC32C_H
#define NCLIP_SUPPORT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t nc_crc32c(const void *data, size_t size);

#endif
