/* NumPy's .npy format, version 1.0: a two-dimensional float32 array in C order. */
#ifndef NCLIP_FORMATS_NPY_H
#define NCLIP_FORMATS_NPY_H

#include <stddef.h>

/* Appears by rename when complete; "-" is standard output. */
int nc_npy_write(const char *path, const float *data, size_t rows, size_t columns);

#endif
