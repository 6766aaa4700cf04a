/* Writes and reads what is kept of pieces and sources. */
#include "records.h"

#include "nclip/formats/json.h"
#include "nclip/store/parts.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const embed_endings[EMBED_KINDS] = {".skipped", ".damaged", ".captions"};

char *embed_record_path(const char *store, size_t source, size_t piece, const char *ending)
{
    char *path;
    int length =
        piece == EMBED_WHOLE
            ? asprintf(&path, "%s/" EMBED_SOURCES "/%06zu%s", store, source, ending)
            : asprintf(&path, "%s/" EMBED_SOURCES "/%06zu-%03zu%s", store, source, piece, ending);
    return length < 0 ? NULL : path;
}

static int no_memory(const char *store)
{
    return nc_error(NC_FAILED, "%s: no memory", store);
}

/* A file that may not be there. */
static int remove_file(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return NC_OK;
    return nc_error(NC_FAILED, "%s: cannot remove it: %s", path, strerror(errno));
}

int embed_texts_write(const char *store, size_t source, size_t piece, const char *folder,
                      const struct embed_text texts[EMBED_KINDS])
{
    int status = NC_OK;
    for (int kind = 0; kind < EMBED_KINDS && status == NC_OK; kind++) {
        char *path = folder ? nc_path_join(folder, embed_endings[kind] + 1)
                            : embed_record_path(store, source, piece, embed_endings[kind]);
        if (!path)
            status = no_memory(store);
        else if (texts[kind].size)
            status = nc_file_write(path, texts[kind].text, texts[kind].size);
        else
            status = remove_file(path);
        free(path);
    }
    return status;
}

/* ---- records ---- */

int embed_record_write(const char *path, const struct embed_record *record)
{
    char text[160];
    int size = snprintf(text, sizeof text,
                        "{\"pictures\":%zu,\"sum\":\"%016" PRIx64 "\",\"rows\":%zu,\"done\":%zu}\n",
                        record->pictures, record->sum, record->rows, record->done);
    return nc_file_write(path, text, (size_t)size);
}

int embed_record_read(const char *path, struct embed_record *record, bool *there)
{
    cJSON *root = NULL;
    const char *sum = NULL;
    *there = nc_file_exists(path);
    int status = *there ? nc_json_load(path, &root) : NC_OK;
    if (!*there || status != NC_OK)
        return status;
    status = nc_json_size(path, root, "pictures", &record->pictures);
    if (status == NC_OK)
        status = nc_json_size(path, root, "rows", &record->rows);
    if (status == NC_OK)
        status = nc_json_size(path, root, "done", &record->done);
    if (status == NC_OK)
        status = nc_json_string(path, root, "sum", &sum);
    if (status == NC_OK)
        record->sum = strtoull(sum, NULL, 16);
    cJSON_Delete(root);
    return status;
}

int embed_piece_done(const char *store, size_t source, size_t piece, const struct embed_record *now,
                     bool *done, bool *other)
{
    struct embed_record record;
    bool there = false;
    *done = false;
    char *path = embed_record_path(store, source, piece, ".json");
    char *shard = nc_embedding_shard_path(store, source * NC_EMBED_PIECES + piece);
    int status = path && shard ? embed_record_read(path, &record, &there) : no_memory(store);
    if (status == NC_OK && there) {
        *other |= record.sum != now->sum || record.pictures != now->pictures;
        *done = !record.rows || nc_file_exists(shard);
    }
    free(path);
    free(shard);
    return status;
}

int embed_pieces_forget(const char *store, size_t source, size_t pieces)
{
    int status = NC_OK;
    for (size_t piece = 0; piece < pieces && status == NC_OK; piece++) {
        char *record = embed_record_path(store, source, piece, ".json");
        char *begun = embed_record_path(store, source, piece, ".begun");
        char *shard = nc_embedding_shard_path(store, source * NC_EMBED_PIECES + piece);
        status = record && begun && shard ? remove_file(shard) : no_memory(store);
        if (status == NC_OK)
            status = remove_file(record);
        if (status == NC_OK)
            status = nc_folder_remove(begun);
        free(record);
        free(begun);
        free(shard);
        if (status == NC_OK)
            status = embed_texts_write(store, source, piece, NULL,
                                       (struct embed_text[EMBED_KINDS]){{0}});
    }
    return status;
}

/* ---- whole sources ---- */

int embed_append_file(const char *path, struct nc_writer *writer, size_t *lines)
{
    char buffer[1 << 16];
    int file = open(path, O_RDONLY | O_CLOEXEC), status = NC_OK;
    if (file < 0)
        return errno == ENOENT ? NC_OK : nc_error_read(path);
    while (status == NC_OK) {
        ssize_t size = read(file, buffer, sizeof buffer);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            status = nc_error_read(path);
        if (size <= 0)
            break;
        for (const char *at = buffer, *end = buffer + size;
             (at = memchr(at, '\n', (size_t)(end - at))); at++)
            ++*lines;
        status = nc_writer_write(writer, buffer, (size_t)size);
    }
    close(file);
    return status;
}

/* Joins the pieces' texts of one kind. */
static int join_pieces(const char *store, size_t source, size_t pieces, const char *ending)
{
    char *path = embed_record_path(store, source, EMBED_WHOLE, ending);
    struct nc_writer *writer = NULL;
    size_t lines = 0;
    int status = path ? nc_writer_create(path, &writer) : no_memory(store);
    for (size_t piece = 0; piece < pieces && status == NC_OK; piece++) {
        char *part = embed_record_path(store, source, piece, ending);
        status = part ? embed_append_file(part, writer, &lines) : no_memory(store);
        free(part);
    }
    if (status == NC_OK && lines) {
        status = nc_writer_commit(writer);
    } else {
        nc_writer_abort(writer);
        if (status == NC_OK)
            status = remove_file(path);
    }
    free(path);
    return status;
}

static int write_source(const char *store, size_t source, const char *path, size_t pictures)
{
    char *record = embed_record_path(store, source, EMBED_WHOLE, ".json");
    cJSON *root = cJSON_CreateObject();
    bool good = root && cJSON_AddStringToObject(root, "source", path) &&
                cJSON_AddNumberToObject(root, "pictures", (double)pictures);
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    int status = record && text ? nc_file_write(record, text, strlen(text)) : no_memory(store);
    cJSON_free(text);
    cJSON_Delete(root);
    free(record);
    return status;
}

/* What is left of the pieces of a source that is complete is no longer needed. Where it cannot be
 * removed the next call does, which embed_records_clean() begins. */
static int remove_pieces(const char *store, size_t source, size_t pieces)
{
    static const char *const endings[] = {".begun", ".json", ".skipped", ".damaged", ".captions"};
    int status = NC_OK;
    for (size_t piece = 0; piece < pieces; piece++)
        for (size_t i = 0; i < sizeof endings / sizeof *endings && status == NC_OK; i++) {
            char *path = embed_record_path(store, source, piece, endings[i]);
            status = !path  ? no_memory(store)
                     : i > 0 ? remove_file(path)
                             : nc_folder_remove(path);
            free(path);
        }
    return status;
}

int embed_source_finish(const char *store, size_t source, size_t pieces, const char *path,
                        size_t pictures)
{
    int status = NC_OK;
    for (int kind = 0; kind < EMBED_KINDS && status == NC_OK; kind++)
        status = join_pieces(store, source, pieces, embed_endings[kind]);
    if (status == NC_OK)
        status = write_source(store, source, path, pictures);
    return status == NC_OK ? remove_pieces(store, source, pieces) : status;
}

/* ---- after a kill ---- */

/* "000012.json" is the record of source 12. */
static bool is_source_record(const char *name, size_t *number)
{
    int length = 0;
    return sscanf(name, "%12zu.json%n", number, &length) == 1 && length && !name[length] &&
           strspn(name, "0123456789") >= 6;
}

static void mark_done(DIR *directory, size_t first, size_t count, bool *done)
{
    struct dirent *entry;
    size_t number;
    while ((entry = readdir(directory)))
        if (is_source_record(entry->d_name, &number) && number >= first && number - first < count)
            done[number - first] = true;
}

static int remove_leftovers(DIR *directory, const char *folder, size_t first, size_t count,
                            const bool *done)
{
    struct dirent *entry;
    int status = NC_OK;
    rewinddir(directory);
    while (status == NC_OK && (entry = readdir(directory))) {
        const char *name = entry->d_name;
        size_t number, digits = strspn(name, "0123456789");
        bool torn = strstr(name, ".partial-") != NULL;
        bool spent = digits >= 6 && digits <= 12 && name[digits] == '-' &&
                     sscanf(name, "%12zu-", &number) == 1 && number >= first &&
                     number - first < count && done[number - first];
        if (!torn && !spent)
            continue;
        char *path = nc_path_join(folder, name);
        if (!path)
            return no_memory(folder);
        if (nc_folder_exists(path))
            status = nc_folder_remove(path);
        else
            (void)unlink(path);
        free(path);
    }
    return status;
}

int embed_records_clean(const char *folder, size_t first, size_t count,
                        struct embed_selection *selection)
{
    bool *done = calloc(count ? count : 1, sizeof *done);
    DIR *directory = opendir(folder);
    int status = !done ? no_memory(folder) : !directory ? nc_error_read(folder) : NC_OK;
    if (status == NC_OK)
        mark_done(directory, first, count, done);
    if (status == NC_OK)
        status = remove_leftovers(directory, folder, first, count, done);
    for (size_t i = 0; i < selection->count && status == NC_OK; i++)
        selection->items[i].done = done[selection->items[i].number - first];
    if (directory)
        closedir(directory);
    free(done);
    return status;
}
