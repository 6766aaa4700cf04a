/* Writes a store as .npy files of rows beside tables of their keys, as clip-retrieval lays them out. */
#include "nclip/store/exchange.h"

#include "nclip/captions/captions.h"
#include "nclip/formats/json.h"
#include "nclip/formats/npy.h"
#include "nclip/formats/parquet.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"
#include "nclip/support/string_map.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS_OF_A_FILE = 1000000, ROWS_AT_ONCE = 1024 };

struct export {
    const struct nc_embedding_store *store;
    const struct nc_store_export *options;
    const char *folder;
    size_t per_file, files, rows;
    int digits; /* so that the names sort as the rows do */
    struct nc_captions captions;
    struct nc_string_map *caption_of; /* picture -> its first caption */
    void *values;                     /* [ROWS_AT_ONCE, dimension] */
    const char **cells[2];            /* [per_file] keys, captions */
    struct nc_progress *progress;
};

static int no_memory(void)
{
    return nc_error(NC_FAILED, "export: no memory");
}

static int load_captions(struct export *job)
{
    if (!job->options->captions)
        return NC_OK;
    int status = nc_captions_load(job->options->captions, &job->captions);
    if (status == NC_OK)
        status = nc_string_map_create(&job->caption_of);
    for (size_t i = 0; i < job->captions.count && status == NC_OK; i++) {
        size_t present; /* the first of a picture stays */
        status = nc_string_map_add(job->caption_of, job->captions.images[job->captions.items[i].image],
                                   i, &present);
    }
    return status;
}

static char *file_name(const struct export *job, const char *what, size_t number, const char *ending)
{
    char *path;
    return asprintf(&path, "%s/%s/%s_%0*zu%s", job->folder, what, what, job->digits, number,
                    ending) < 0 ? NULL : path;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static int put_rows(struct export *job, struct nc_writer *writer, size_t first, size_t count)
{
    size_t dimension = nc_embedding_store_info(job->store)->dimension;
    size_t row_bytes = dimension * nc_type_size(job->options->type), numbers[ROWS_AT_ONCE];
    int status = nc_npy_begin(writer, job->options->type, count, dimension);
    for (size_t at = 0; at < count && status == NC_OK; at += ROWS_AT_ONCE) {
        size_t part = count - at < ROWS_AT_ONCE ? count - at : ROWS_AT_ONCE;
        for (size_t i = 0; i < part; i++)
            numbers[i] = first + at + i;
        if (nc_signals_stop())
            return nc_error(NC_FAILED, "stopped by a signal; the files that are there are whole");
        status = nc_embedding_store_gather(job->store, numbers, part, job->options->type,
                                           job->values);
        if (status == NC_OK)
            status = nc_writer_write(writer, job->values, part * row_bytes);
        nc_progress_update(job->progress, first + at + part, NULL);
    }
    return status;
}

static int write_rows(struct export *job, size_t number, size_t first, size_t count)
{
    struct nc_writer *writer = NULL;
    char *path = file_name(job, "img_emb", number, ".npy");
    int status = path ? nc_writer_create(path, &writer) : no_memory();
    free(path);
    if (status == NC_OK)
        status = put_rows(job, writer, first, count);
    if (status == NC_OK)
        return nc_writer_commit(writer);
    nc_writer_abort(writer);
    return status;
}

/* ---- tables ----------------------------------------------------------------------------------- */

static int write_json(const char *path, const struct nc_table_column *columns, size_t count,
                      size_t rows)
{
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    for (size_t row = 0; row < rows && status == NC_OK; row++) {
        cJSON *object = cJSON_CreateObject();
        bool made = object != NULL;
        for (size_t i = 0; i < count; i++) {
            const char *cell = columns[i].cells[row];
            made = made && (cell ? cJSON_AddStringToObject(object, columns[i].name, cell)
                                 : cJSON_AddNullToObject(object, columns[i].name));
        }
        char *text = made ? cJSON_PrintUnformatted(object) : NULL;
        status = text ? nc_writer_printf(writer, "%s\n", text) : no_memory();
        cJSON_free(text);
        cJSON_Delete(object);
    }
    if (status == NC_OK)
        return nc_writer_commit(writer);
    nc_writer_abort(writer);
    return status;
}

static int write_table(struct export *job, size_t number, size_t first, size_t count)
{
    struct nc_table_column columns[2] = {{.name = "image_path", .cells = job->cells[0]},
                                         {.name = "caption", .cells = job->cells[1]}};
    int status = NC_OK;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        size_t caption;
        status = nc_embedding_store_key(job->store, first + i, &job->cells[0][i]);
        job->cells[1][i] = NULL;
        if (status == NC_OK && job->caption_of &&
            nc_string_map_find(job->caption_of, job->cells[0][i], &caption))
            job->cells[1][i] = job->captions.items[caption].text;
    }
    if (status != NC_OK)
        return status;
    bool parquet = job->options->parquet;
    char *path = file_name(job, "metadata", number, parquet ? ".parquet" : ".jsonl");
    size_t used = job->caption_of ? 2 : 1;
    if (!path)
        return no_memory();
    status = parquet ? nc_parquet_write(path, columns, used, count)
                     : write_json(path, columns, used, count);
    free(path);
    return status;
}

/* ----------------------------------------------------------------------------------------------- */

static int make_folders(const struct export *job)
{
    static const char *const names[] = {"img_emb", "metadata"};
    int status = NC_OK;
    for (size_t i = 0; i < 2 && status == NC_OK; i++) {
        char *path = nc_path_join(job->folder, names[i]);
        status = path ? nc_folder_create(path) : no_memory();
        /* Files of an earlier export with other numbers would be taken for parts of this one. */
        if (status == NC_OK && !nc_folder_is_empty(path))
            status = nc_error(NC_BAD_INPUT, "%s: is not empty: give a new folder", path);
        free(path);
    }
    return status;
}

static int allocate(struct export *job)
{
    size_t dimension = nc_embedding_store_info(job->store)->dimension;
    job->values = malloc(ROWS_AT_ONCE * dimension * nc_type_size(job->options->type));
    for (size_t i = 0; i < 2; i++)
        job->cells[i] = calloc(job->per_file, sizeof *job->cells[i]);
    return job->values && job->cells[0] && job->cells[1] ? NC_OK : no_memory();
}

int nc_store_export(const struct nc_embedding_store *store, const struct nc_store_export *options,
                    const char *folder, size_t *files)
{
    struct export job = {.store = store, .options = options, .folder = folder, .digits = 4};
    job.rows = nc_embedding_store_count(store);
    job.per_file = options->rows_per_file ? options->rows_per_file : ROWS_OF_A_FILE;
    if (job.per_file > job.rows)
        job.per_file = job.rows ? job.rows : 1;
    job.files = (job.rows + job.per_file - 1) / job.per_file;
    for (size_t most = 9999; job.files && job.files - 1 > most && job.digits < 18; job.digits++)
        most = most * 10 + 9;
    *files = 0;
    int status = options->parquet && !nc_parquet_supported()
                     ? nc_parquet_write(folder, NULL, 0, 0) /* says so, before anything is done */
                     : NC_OK;
    if (status == NC_OK)
        status = load_captions(&job);
    if (status == NC_OK)
        status = make_folders(&job);
    if (status == NC_OK)
        status = allocate(&job);
    if (status == NC_OK)
        job.progress = nc_progress_start("export", "rows", 0, job.rows);
    for (size_t i = 0; i < job.files && status == NC_OK; i++) {
        size_t first = i * job.per_file, left = job.rows - first;
        size_t count = left < job.per_file ? left : job.per_file;
        status = write_table(&job, i, first, count);
        if (status == NC_OK)
            status = write_rows(&job, i, first, count);
        *files += status == NC_OK;
    }
    nc_progress_finish(job.progress);
    free(job.values);
    free(job.cells[0]);
    free(job.cells[1]);
    nc_string_map_destroy(job.caption_of);
    nc_captions_free(&job.captions);
    return status;
}
