/* Finds .npy files of rows and the tables beside them, paired by the numbers in their names. */
#include "nclip/store/exchange.h"

#include "nclip/formats/kind.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of a folder, with the number that its name ends with. */
struct numbered {
    char *path;
    uint64_t number;
};

struct listing {
    struct numbered *items;
    size_t count, capacity;
};

static void free_listing(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->items[i].path);
    free(listing->items);
    *listing = (struct listing){0};
}

/* "img_emb_0012.npy" has the number 12; a name without digits at the end of its stem has 0. */
static uint64_t number_of(const char *name)
{
    const char *dot = strchr(name, '.'), *start = dot ? dot : name + strlen(name), *end = start;
    uint64_t number = 0;
    while (start > name && start[-1] >= '0' && start[-1] <= '9')
        start--;
    for (; start < end; start++)
        number = number * 10 + (uint64_t)(*start - '0');
    return number;
}

static bool is_rows(const char *name)
{
    return nc_path_ends(name, ".npy");
}

static bool is_table(const char *name)
{
    static const char *const endings[] = {".parquet", ".jsonl", ".json", ".csv", ".tsv", ".txt",
                                          ".jsonl.gz", ".csv.gz", ".jsonl.zst", ".csv.zst"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (nc_path_ends(name, endings[i]))
            return true;
    return false;
}

static int by_number(const void *a, const void *b)
{
    const struct numbered *first = a, *second = b;
    if (first->number != second->number)
        return first->number < second->number ? -1 : 1;
    return strcmp(first->path, second->path);
}

static int add(struct listing *listing, const char *folder, const char *name)
{
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 64;
        struct numbered *larger = reallocarray(listing->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory", folder);
        listing->items = larger;
        listing->capacity = capacity;
    }
    char *path = nc_path_join(folder, name);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    listing->items[listing->count++] = (struct numbered){path, number_of(name)};
    return NC_OK;
}

/* The files of a folder that `wanted` takes; a folder that is not there has none. */
static int list(const char *folder, bool (*wanted)(const char *), struct listing *listing)
{
    *listing = (struct listing){0};
    DIR *directory = opendir(folder);
    if (!directory && errno == ENOENT)
        return NC_OK;
    if (!directory)
        return nc_error_read(folder);
    int status = NC_OK;
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && wanted(entry->d_name))
            status = add(listing, folder, entry->d_name);
    closedir(directory);
    if (listing->count)
        qsort(listing->items, listing->count, sizeof *listing->items, by_number);
    for (size_t i = 1; i < listing->count && status == NC_OK; i++)
        if (listing->items[i].number == listing->items[i - 1].number)
            status = nc_error(NC_BAD_INPUT,
                              "%s and %s: the numbers at the ends of their names are the same, so "
                              "that it cannot be told which comes first: rename one",
                              listing->items[i - 1].path, listing->items[i].path);
    return status;
}

/* Each file of rows with the table of its number. Where there are tables at all, none may lack its
 * rows, and no rows their table. */
static int pair(struct listing *rows, struct listing *tables, struct nc_store_sources *sources)
{
    size_t table = 0;
    sources->items = calloc(rows->count, sizeof *sources->items);
    if (!sources->items)
        return nc_error(NC_FAILED, "%s: no memory", rows->items[0].path);
    for (size_t i = 0; i < rows->count; i++) {
        struct numbered *item = &rows->items[i];
        bool more = table < tables->count;
        if (more && tables->items[table].number < item->number)
            return nc_error(NC_BAD_INPUT,
                            "%s: a table without its rows: no .npy file has the number %llu",
                            tables->items[table].path,
                            (unsigned long long)tables->items[table].number);
        if (tables->count && (!more || tables->items[table].number > item->number))
            return nc_error(NC_BAD_INPUT, "%s: rows without their table: none has the number %llu",
                            item->path, (unsigned long long)item->number);
        sources->items[sources->count++] = (struct nc_store_source){
            item->path, tables->count ? tables->items[table].path : NULL};
        item->path = NULL; /* moved */
        if (tables->count)
            tables->items[table++].path = NULL;
    }
    return table == tables->count
               ? NC_OK
               : nc_error(NC_BAD_INPUT,
                          "%s: a table without its rows: no .npy file has the number %llu",
                          tables->items[table].path,
                          (unsigned long long)tables->items[table].number);
}

static int find_in_folders(const char *path, const char *rows_folder, const char *table_folder,
                           struct nc_store_sources *sources)
{
    struct listing rows = {0}, tables = {0};
    int status = list(rows_folder, is_rows, &rows);
    if (status == NC_OK && !rows.count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no .npy files of embeddings", path);
    if (status == NC_OK)
        status = list(table_folder, is_table, &tables);
    if (status == NC_OK)
        status = pair(&rows, &tables, sources);
    free_listing(&rows);
    free_listing(&tables);
    return status;
}

/* FOLDER/img_emb with FOLDER/metadata; FOLDER, with the tables in it or in FOLDER/../metadata. */
static int find_in_folder(const char *path, struct nc_store_sources *sources)
{
    char *inner = nc_path_join(path, "img_emb"), *tables = nc_path_join(path, "metadata");
    char *beside = nc_path_join(path, "../metadata");
    int status = inner && tables && beside ? NC_OK : nc_error(NC_FAILED, "%s: no memory", path);
    if (status == NC_OK && nc_folder_exists(inner)) {
        status = find_in_folders(path, inner, tables, sources);
    } else if (status == NC_OK) {
        const char *where = nc_folder_exists(tables)                                     ? tables
                            : nc_path_ends(path, "_emb") && nc_folder_exists(beside) ? beside
                                                                                         : path;
        status = find_in_folders(path, path, where, sources);
    }
    free(inner);
    free(tables);
    free(beside);
    return status;
}

int nc_store_sources_find(const char *path, const char *table, struct nc_store_sources *sources)
{
    *sources = (struct nc_store_sources){0};
    int status = NC_OK;
    if (nc_folder_exists(path)) {
        if (table)
            return nc_error(NC_USAGE,
                            "%s: a folder, whose tables are beside its .npy files; --keys goes with "
                            "one .npy file", path);
        status = find_in_folder(path, sources);
    } else {
        sources->items = calloc(1, sizeof *sources->items);
        char *rows = strdup(path), *keys = table ? strdup(table) : NULL;
        if (!sources->items || !rows || (table && !keys))
            status = nc_error(NC_FAILED, "%s: no memory", path);
        if (status == NC_OK)
            sources->items[sources->count++] = (struct nc_store_source){rows, keys};
        if (status != NC_OK) {
            free(rows);
            free(keys);
        }
    }
    if (status != NC_OK)
        nc_store_sources_free(sources);
    return status;
}

void nc_store_sources_free(struct nc_store_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        free(sources->items[i].rows);
        free(sources->items[i].table);
    }
    free(sources->items);
    *sources = (struct nc_store_sources){0};
}
