/* What stands in for host/formats/parquet.cpp where Apache Arrow's libraries are not there. */
#include "nclip/formats/parquet.h"

#include "nclip/support/error.h"

bool nc_parquet_supported(void)
{
    return false;
}

int nc_parquet_read(const char *path, struct nc_table *table)
{
    (void)table;
    return nc_error(NC_BAD_INPUT,
                    "%s: Parquet, which this build does not read; turn it into JSON lines with python3 "
                    "-c \"import pandas,sys; pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], "
                    "orient='records', lines=True)\" %s metadata.jsonl, or build with "
                    "-DNCLIP_PARQUET=ON (third_party/parquet.cmake)",
                    path, path);
}

int nc_parquet_write(const char *path, const struct nc_table_column *columns, size_t count,
                     size_t rows)
{
    (void)columns, (void)count, (void)rows;
    return nc_error(NC_USAGE,
                    "%s: this build does not write Parquet: ask for JSON lines, or build with "
                    "-DNCLIP_PARQUET=ON (third_party/parquet.cmake)",
                    path);
}
