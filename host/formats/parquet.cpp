/* Reads and writes columns of strings of Parquet files through Apache Arrow. No exception leaves
 * this file. */
#include "nclip/formats/parquet.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/text_pool.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace {

enum { ROWS_OF_A_GROUP = 1 << 17 };

/* ---- reading ---------------------------------------------------------------------------------- */

int no_memory(const char *path)
{
    return nc_error(NC_FAILED, "%s: no memory for its columns", path);
}

int cannot_read(const char *path, const arrow::Status &status)
{
    if (status.IsOutOfMemory())
        return no_memory(path);
    return nc_error(NC_BAD_INPUT, "%s: cannot be read as Parquet: %s", path,
                    status.ToStringWithoutContextLines().c_str());
}

/* The cell as text; false: null. A number's digits are put into `text`. */
template <class Numbers>
bool number(const arrow::Array &array, int64_t row, std::string *text)
{
    if (array.IsNull(row))
        return false;
    *text = std::to_string(static_cast<const Numbers &>(array).Value(row));
    return true;
}

template <class Strings>
bool string(const arrow::Array &array, int64_t row, std::string *text)
{
    if (array.IsNull(row))
        return false;
    *text = static_cast<const Strings &>(array).GetString(row);
    return true;
}

bool cell(const arrow::Array &array, int64_t row, std::string *text, bool *of_this_kind)
{
    *of_this_kind = true;
    switch (array.type_id()) {
    case arrow::Type::STRING:
        return string<arrow::StringArray>(array, row, text);
    case arrow::Type::LARGE_STRING:
        return string<arrow::LargeStringArray>(array, row, text);
    case arrow::Type::BINARY:
        return string<arrow::BinaryArray>(array, row, text);
    case arrow::Type::LARGE_BINARY:
        return string<arrow::LargeBinaryArray>(array, row, text);
    case arrow::Type::INT8:
        return number<arrow::Int8Array>(array, row, text);
    case arrow::Type::INT16:
        return number<arrow::Int16Array>(array, row, text);
    case arrow::Type::INT32:
        return number<arrow::Int32Array>(array, row, text);
    case arrow::Type::INT64:
        return number<arrow::Int64Array>(array, row, text);
    case arrow::Type::UINT8:
        return number<arrow::UInt8Array>(array, row, text);
    case arrow::Type::UINT16:
        return number<arrow::UInt16Array>(array, row, text);
    case arrow::Type::UINT32:
        return number<arrow::UInt32Array>(array, row, text);
    case arrow::Type::UINT64:
        return number<arrow::UInt64Array>(array, row, text);
    case arrow::Type::NA:
        return false;
    case arrow::Type::DICTIONARY: {
        const auto &dictionary = static_cast<const arrow::DictionaryArray &>(array);
        if (dictionary.IsNull(row))
            return false;
        return cell(*dictionary.dictionary(), dictionary.GetValueIndex(row), text, of_this_kind);
    }
    default:
        *of_this_kind = false;
        return false;
    }
}

/* Puts the cells of one column behind `first`. */
int copy_column(const char *path, const arrow::ChunkedArray &from, size_t first,
                nc_table_column *column, nc_table *table)
{
    size_t at = first;
    std::string text;
    for (const auto &chunk : from.chunks()) {
        for (int64_t row = 0; row < chunk->length(); row++, at++) {
            bool of_this_kind;
            bool there = cell(*chunk, row, &text, &of_this_kind);
            if (!of_this_kind)
                return nc_error(NC_BAD_INPUT,
                                "%s: its column \"%s\" holds %s, where text or whole numbers are "
                                "needed", path, column->name, chunk->type()->ToString().c_str());
            if (there && text.find('\0') != std::string::npos)
                return nc_error(NC_BAD_INPUT, "%s: row %zu of its column \"%s\" holds the character "
                                "zero", path, at, column->name);
            auto *pool = static_cast<nc_text_pool *>(table->pool);
            column->cells[at] = there ? nc_text_pool_copy(&pool, text.c_str()) : nullptr;
            table->pool = pool;
            if (there && !column->cells[at])
                return no_memory(path);
        }
    }
    return NC_OK;
}

/* A column that is no leaf (a list, a structure) has another path, and is not found. */
int find_columns(const char *path, const parquet::SchemaDescriptor &schema, nc_table *table,
                 std::vector<int> *leaves)
{
    for (size_t i = 0; i < table->column_count; i++) {
        nc_table_column *column = &table->columns[i];
        int leaf = schema.ColumnIndex(column->name);
        column->found = leaf >= 0;
        if (column->found) {
            leaves->push_back(leaf);
            continue;
        }
        if (column->optional)
            continue;
        std::string names;
        for (int k = 0; k < schema.num_columns(); k++)
            names += (names.empty() ? "" : ", ") + schema.Column(k)->path()->ToDotString();
        return nc_error(NC_BAD_INPUT, "%s: has no column \"%s\" (it has %s)", path, column->name,
                        names.c_str());
    }
    return NC_OK;
}

int read_groups(const char *path, parquet::arrow::FileReader *reader, nc_table *table)
{
    const auto metadata = reader->parquet_reader()->metadata();
    std::vector<int> leaves;
    int status = find_columns(path, *metadata->schema(), table, &leaves);
    if (status != NC_OK)
        return status;
    size_t rows = static_cast<size_t>(metadata->num_rows()), first = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        void *cells = rows < SIZE_MAX / sizeof(char *) ? calloc(rows + 1, sizeof(char *)) : nullptr;
        if (!cells)
            return no_memory(path);
        table->columns[i].cells = static_cast<const char **>(cells);
    }
    for (int group = 0; group < reader->num_row_groups(); group++) {
        auto part = reader->ReadRowGroup(group, leaves);
        if (!part.ok())
            return cannot_read(path, part.status());
        size_t count = static_cast<size_t>((*part)->num_rows());
        if (count > rows - first)
            return nc_error(NC_BAD_INPUT, "%s: damaged: it holds more rows than it states", path);
        for (size_t i = 0; i < table->column_count && status == NC_OK; i++) {
            if (!table->columns[i].found)
                continue;
            auto column = (*part)->GetColumnByName(table->columns[i].name);
            status = column ? copy_column(path, *column, first, &table->columns[i], table)
                            : nc_error(NC_BAD_INPUT, "%s: its column \"%s\" is there twice", path,
                                       table->columns[i].name);
        }
        if (status != NC_OK)
            return status;
        first += count;
    }
    table->rows = rows;
    return first == rows
               ? NC_OK
               : nc_error(NC_BAD_INPUT, "%s: damaged: it holds fewer rows than it states", path);
}

int read_file(const char *path, nc_table *table)
{
    auto file = arrow::io::ReadableFile::Open(path);
    if (!file.ok())
        return cannot_read(path, file.status());
    auto reader = parquet::arrow::OpenFile(*file, arrow::default_memory_pool());
    if (!reader.ok())
        return cannot_read(path, reader.status());
    return read_groups(path, reader->get(), table);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* A file that appears when complete, as Arrow writes it. */
class Output : public arrow::io::OutputStream {
public:
    explicit Output(nc_writer *writer) : writer_(writer) {}
    using arrow::io::OutputStream::Write;
    arrow::Status Write(const void *data, int64_t size) override
    {
        if (nc_writer_write(writer_, data, static_cast<size_t>(size)) != NC_OK)
            return arrow::Status::IOError(nc_error_message());
        return arrow::Status::OK();
    }
    arrow::Result<int64_t> Tell() const override
    {
        return static_cast<int64_t>(nc_writer_position(writer_));
    }
    arrow::Status Close() override
    {
        closed_ = true;
        return arrow::Status::OK();
    }
    bool closed() const override { return closed_; }

private:
    nc_writer *writer_;
    bool closed_ = false;
};

arrow::Status write_columns(nc_writer *writer, const nc_table_column *columns, size_t count,
                            size_t rows)
{
    std::vector<std::shared_ptr<arrow::Field>> fields;
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (size_t i = 0; i < count; i++) {
        arrow::LargeStringBuilder builder;
        for (size_t row = 0; row < rows; row++) {
            const char *text = columns[i].cells[row];
            ARROW_RETURN_NOT_OK(text ? builder.Append(text) : builder.AppendNull());
        }
        std::shared_ptr<arrow::Array> array;
        ARROW_RETURN_NOT_OK(builder.Finish(&array));
        fields.push_back(arrow::field(columns[i].name, arrow::large_utf8()));
        arrays.push_back(array);
    }
    auto table = arrow::Table::Make(arrow::schema(fields), arrays, static_cast<int64_t>(rows));
    auto properties = parquet::WriterProperties::Builder()
                          .compression(parquet::Compression::ZSTD)
                          ->build();
    return parquet::arrow::WriteTable(*table, arrow::default_memory_pool(),
                                      std::make_shared<Output>(writer), ROWS_OF_A_GROUP, properties);
}

} // namespace

bool nc_parquet_supported(void)
{
    return true;
}

int nc_parquet_read(const char *path, nc_table *table)
{
    try {
        return read_file(path, table);
    } catch (const std::bad_alloc &) {
        return no_memory(path);
    } catch (const std::exception &exception) {
        return nc_error(NC_BAD_INPUT, "%s: cannot be read as Parquet: %s", path, exception.what());
    }
}

int nc_parquet_write(const char *path, const nc_table_column *columns, size_t count, size_t rows)
{
    nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    try {
        arrow::Status written = write_columns(writer, columns, count, rows);
        if (!written.ok())
            status = nc_error(NC_FAILED, "%s: cannot be written: %s", path,
                              written.ToStringWithoutContextLines().c_str());
    } catch (const std::exception &exception) {
        status = nc_error(NC_FAILED, "%s: cannot be written: %s", path, exception.what());
    }
    if (status == NC_OK)
        return nc_writer_commit(writer);
    nc_writer_abort(writer);
    return status;
}
