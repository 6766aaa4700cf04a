/* Embeddings from elsewhere: .npy files, and the tables beside them (Parquet where the build reads it). */
#include "fuzz.h"

#include "nclip/formats/npy.h"
#include "nclip/formats/table.h"
#include "nclip/support/error.h"

#include <string.h>

static volatile size_t touched;

static void read_table(const char *path)
{
    struct nc_table_column columns[] = {{.name = "image_path", .optional = true},
                                        {.name = "caption", .optional = true}};
    struct nc_table table;
    int status = nc_table_read(path, columns, 2, &table);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return;
    for (size_t i = 0; i < 2; i++)
        for (size_t row = 0; columns[i].cells && row < table.rows; row++)
            touched += columns[i].cells[row] ? strlen(columns[i].cells[row]) : 0;
    nc_table_free(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file("rows.npy", data, size);
    struct nc_npy npy;
    int status = nc_npy_open(path, &npy);
    fuzz_expect_sentence(status);
    if (status == NC_OK) {
        size_t bytes = npy.count * npy.columns * nc_type_size(npy.type);
        for (size_t i = 0; i < bytes; i++)
            touched += npy.rows[i];
        nc_npy_close(&npy);
    }
    read_table(path);
    return 0;
}
