/* NumPy's .npy format (versions 1.0 to 3.0): a two-dimensional array of numbers in C order. */
#ifndef NCLIP_FORMATS_NPY_H
#define NCLIP_FORMATS_NPY_H

#include "nclip/support/files.h"
#include "nclip/support/types.h"

#include <stddef.h>
#include <stdint.h>

/* ---- reading ---- */

/* A mapped array: row i starts at rows + i * columns * nc_type_size(type). */
struct nc_npy {
    struct nc_mapping mapping;
    const uint8_t *rows;
    size_t offset; /* of the first row in the file */
    size_t count, columns;
    enum nc_type type; /* fp32 or fp16; NumPy has no bf16 */
};

/* NC_BAD_INPUT names what it is instead: no .npy file, another element type, another order of bytes
 * or of rows, more or fewer than two dimensions, a file that is shorter or longer than its array
 * (several arrays saved into one file). No row, or rows without a column, are fine. */
int nc_npy_open(const char *path, struct nc_npy *npy);
void nc_npy_close(struct nc_npy *npy); /* sets it to {0}; {0} is allowed */

/* ---- writing ---- */

/* Writes what stands before rows[count, columns] of `type` (fp32 or fp16), a multiple of 64 bytes. */
int nc_npy_begin(struct nc_writer *writer, enum nc_type type, size_t count, size_t columns);

/* A whole file of float32; it appears by rename when complete; "-" is standard output. */
int nc_npy_write(const char *path, const float *data, size_t rows, size_t columns);

#endif
