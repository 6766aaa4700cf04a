/* Writes float32 rows as a .npy file. */
#include "nclip/formats/npy.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 128 }; /* a multiple of 64, as the format asks */

static void make_header(uint8_t header[HEADER_BYTES], size_t rows, size_t columns)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - 10, 0};
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, magic, sizeof magic);
    char text[HEADER_BYTES];
    int length =
        snprintf(text, sizeof text,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    memcpy(header + sizeof magic, text, (size_t)length);
    header[HEADER_BYTES - 1] = '\n';
}

int nc_npy_write(const char *path, const float *data, size_t rows, size_t columns)
{
    uint8_t header[HEADER_BYTES];
    size_t bytes = rows * columns * sizeof *data;
    make_header(header, rows, columns);
    if (strcmp(path, "-") == 0) {
        if (fwrite(header, 1, sizeof header, stdout) != sizeof header ||
            fwrite(data, 1, bytes, stdout) != bytes || fflush(stdout) != 0)
            return nc_error(NC_FAILED, "standard output: cannot write");
        return NC_OK;
    }
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    status = nc_writer_write(writer, header, sizeof header);
    if (status == NC_OK)
        status = nc_writer_write(writer, data, bytes);
    if (status != NC_OK) {
        nc_writer_abort(writer);
        return status;
    }
    return nc_writer_commit(writer);
}
