/* Tables. */
#include "fuzz.h"

#include "nclip/formats/csv.h"
#include "nclip/support/error.h"

#include <string.h>

static volatile size_t touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_csv csv;
    int status = nc_csv_load(fuzz_file("table.csv", data, size), &csv);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    size_t column;
    (void)nc_csv_find(&csv, "caption", &column);
    for (size_t row = 0; row < csv.rows; row++)
        for (size_t c = 0; c < csv.columns; c++)
            touched += strlen(nc_csv_cell(&csv, row, c));
    nc_csv_free(&csv);
    return 0;
}
