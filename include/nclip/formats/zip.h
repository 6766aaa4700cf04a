/* The members of a zip archive that lies in memory, found by its central directory.
 *
 * For archives whose members are stored, as torch.save() and np.savez() write them: bytes are
 * used where they lie. Zip64 is read; archives in several parts, encrypted members and names that
 * stand twice are refused. Source: PKWARE's APPNOTE.TXT, 6.3.
 */
#ifndef NCLIP_FORMATS_ZIP_H
#define NCLIP_FORMATS_ZIP_H

#include <stddef.h>
#include <stdint.h>

struct nc_zip_member {
    const char *name; /* in the archive: name_length bytes, no zero behind them */
    size_t name_length;
    const uint8_t *data; /* in the archive: as stored */
    size_t size;         /* as stored */
    uint32_t checksum;   /* CRC-32 of the unpacked bytes, as the archive says */
    unsigned method;     /* 0: stored; anything else: packed */
};

/* `bytes` must outlive the archive; `path` is for messages. All that the directory says has been
 * checked against `size`. NC_BAD_INPUT: no zip, damaged, or not one of these. */
struct nc_zip;
int nc_zip_open(const char *path, const uint8_t *bytes, size_t size, struct nc_zip **zip);
void nc_zip_close(struct nc_zip *zip); /* NULL is allowed */

size_t nc_zip_count(const struct nc_zip *zip);
const struct nc_zip_member *nc_zip_at(const struct nc_zip *zip, size_t index); /* by name */
/* NULL when there is none of that name. */
const struct nc_zip_member *nc_zip_find(const struct nc_zip *zip, const char *name);

#endif
