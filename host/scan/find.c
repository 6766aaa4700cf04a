/* Lists the files to scan: those named, and in folders those with an ending that files of captions
 * have. */
#include "parts.h"

#include "nclip/support/error.h"
#include "nclip/support/terminal.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool ends_in(const char *name, size_t *length, const char *ending)
{
    size_t tail = strlen(ending);
    if (*length <= tail || strncasecmp(name + *length - tail, ending, tail) != 0)
        return false;
    *length -= tail;
    return true;
}

static enum nc_scan_format format_of(const char *path)
{
    static const struct {
        const char *ending;
        enum nc_scan_format format;
    } endings[] = {
        {".txt", NC_SCAN_TEXT},  {".jsonl", NC_SCAN_JSONL}, {".ndjson", NC_SCAN_JSONL},
        {".json", NC_SCAN_JSON}, {".csv", NC_SCAN_CSV},     {".tsv", NC_SCAN_TSV},
        {".tar", NC_SCAN_TAR},
    };
    size_t length = strlen(path);
    if (ends_in(path, &length, ".tgz"))
        return NC_SCAN_TAR;
    if (!ends_in(path, &length, ".gz"))
        (void)ends_in(path, &length, ".zst");
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_in(path, &length, endings[i].ending))
            return endings[i].format;
    return NC_SCAN_BY_NAME;
}

static int add(struct scan_files *files, const char *path, enum nc_scan_format format,
               uint64_t size)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? 2 * files->capacity : 16;
        struct scan_file *larger = reallocarray(files->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "scan: no memory for %zu files", capacity);
        files->items = larger;
        files->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory", path);
    files->items[files->count++] = (struct scan_file){.path = copy, .format = format, .size = size};
    return NC_OK;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Files that people keep captions in, and that are not read. */
static bool is_other_table(const char *path)
{
    static const char *const endings[] = {".parquet", ".arrow", ".feather", ".xlsx", ".xls",
                                          ".zip",     ".xz",    ".bz2",     ".7z"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_in(path, &length, endings[i]))
            return true;
    return false;
}

/* Why an entry of a folder that may hold captions is not read; NULL: it is, or holds none. */
static const char *why_passed_over(const FTSENT *entry)
{
    if (entry->fts_info == FTS_F && is_other_table(entry->fts_path))
        return "of a kind that is not read";
    bool other = strchr(entry->fts_name, '.') && format_of(entry->fts_path) == NC_SCAN_BY_NAME;
    switch (entry->fts_info) {
    case FTS_DC:
        return "a link back to a folder that it lies in";
    case FTS_NS:
        return other ? NULL : strerror(entry->fts_errno);
    case FTS_SLNONE:
        return other ? NULL : "a link that leads nowhere";
    case FTS_DEFAULT:
        return other ? NULL : "neither a file nor a folder";
    default:
        return NULL;
    }
}

static int add_folder(struct scan_files *files, const char *path, enum nc_scan_format format)
{
    char *const roots[] = {(char *)path, NULL};
    char first[sizeof files->passed_first] = "";
    size_t before = files->count;
    int status = NC_OK;
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return nc_error(NC_FAILED, "%s: cannot read the folder: %s", path, strerror(errno));
    FTSENT *entry;
    while (status == NC_OK && (entry = fts_read(walk))) {
        bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
        if (hidden && entry->fts_info == FTS_D)
            fts_set(walk, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            status = nc_error(nc_error_kind(entry->fts_errno), "%s: cannot read the folder: %s",
                              entry->fts_path, strerror(entry->fts_errno));
        const char *reason = hidden ? NULL : why_passed_over(entry);
        if (reason && !*first)
            snprintf(first, sizeof first, "%.400s: %s", entry->fts_path, reason);
        if (reason && !files->passed_over++)
            memcpy(files->passed_first, first, sizeof first);
        enum nc_scan_format own = format_of(entry->fts_path);
        if (status == NC_OK && !hidden && entry->fts_info == FTS_F && own != NC_SCAN_BY_NAME)
            status = add(files, entry->fts_path, format ? format : own,
                         (uint64_t)entry->fts_statp->st_size);
    }
    fts_close(walk);
    if (status == NC_OK && files->count == before && *first)
        status = nc_error(NC_BAD_INPUT, "%s: no file of captions can be read in it: %s", path,
                          first);
    else if (status == NC_OK && files->count == before)
        status = nc_error(NC_BAD_INPUT,
                          "%s: no file of captions in it (looked for .txt, .jsonl, .json, .csv, "
                          ".tsv, .tar, also with .gz or .zst)",
                          path);
    return status;
}

static int add_path(struct scan_files *files, const char *path, enum nc_scan_format format)
{
    struct stat information;
    if (strcmp(path, "-") == 0)
        return add(files, path, format, 0);
    if (stat(path, &information) != 0)
        return nc_error_read(path);
    if (S_ISDIR(information.st_mode))
        return add_folder(files, path, format);
    if (!format)
        format = format_of(path); /* else its content tells it */
    return add(files, path, format,
               S_ISREG(information.st_mode) ? (uint64_t)information.st_size : 0);
}

int scan_files_find(const char *const *paths, size_t count, const struct nc_scan_options *options,
                    struct scan_files *files)
{
    int status = NC_OK;
    size_t standard_input = 0;
    *files = (struct scan_files){0};
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        standard_input += strcmp(paths[i], "-") == 0;
        status = standard_input > 1 ? nc_error(NC_USAGE, "standard input can be read only once")
                                    : add_path(files, paths[i], options->format);
    }
    if (status != NC_OK)
        scan_files_free(files);
    else if (files->passed_over) {
        nc_terminal_tame(files->passed_first, "");
        fprintf(stderr, "warning: passed over: %s", files->passed_first);
        if (files->passed_over > 1)
            fprintf(stderr, " (and %zu more)", files->passed_over - 1);
        fprintf(stderr, "\n");
    }
    return status;
}

void scan_files_free(struct scan_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        scan_file_close(&files->items[i]);
        free(files->items[i].path);
    }
    free(files->items);
    *files = (struct scan_files){0};
}
