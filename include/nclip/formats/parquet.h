/* Parquet, through Apache Arrow's libraries where the build has them (third_party/parquet.cmake). */
#ifndef NCLIP_FORMATS_PARQUET_H
#define NCLIP_FORMATS_PARQUET_H

#include "nclip/formats/table.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

bool nc_parquet_supported(void);

/* nc_table_read() of a Parquet file, for the table's columns. Texts, whole numbers and dictionaries
 * of texts are read. */
int nc_parquet_read(const char *path, struct nc_table *table);

/* Writes columns of strings (a NULL cell is null) as a Parquet file, which appears when complete. */
int nc_parquet_write(const char *path, const struct nc_table_column *columns, size_t count,
                     size_t rows);

#ifdef __cplusplus
}
#endif

#endif
