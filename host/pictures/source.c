/* Pictures of a folder, of a list, or a single one; those of a tar are found by source_tar.c. */
#include "nclip/pictures/source.h"

#include "entries.h"
#include "nclip/formats/kind.h"
#include "nclip/formats/text.h"
#include "nclip/pictures/image.h"
#include "nclip/pictures/sidecar.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "sidecar.h"
#include "source_tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_LIMIT = 1 << 30 };

/* ---- folders ---- */

struct ancestor { /* a linked folder must not lead to itself */
    dev_t device;
    ino_t inode;
    const struct ancestor *parent;
};

static int walk(struct nc_image_source *source, const char *relative, const struct ancestor *parent)
{
    char *path = nc_path_join(source->folder, relative);
    char *child = NULL;
    DIR *directory = path ? opendir(path) : NULL;
    int status = NC_OK;
    struct stat information;
    if (!path) {
        status = nc_error(NC_FAILED, "%s: no memory", source->path);
        goto done;
    }
    if (!directory || fstat(dirfd(directory), &information) != 0) {
        status = nc_error_read(path);
        goto done;
    }
    struct ancestor here = {information.st_dev, information.st_ino, parent};
    for (const struct ancestor *a = parent; a; a = a->parent)
        if (a->device == here.device && a->inode == here.inode)
            goto done;

    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        bool picture = nc_image_source_is_picture(name, strlen(name));
        bool folder = entry->d_type == DT_DIR;
        if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
            folder = fstatat(dirfd(directory), name, &information, 0) == 0 &&
                     S_ISDIR(information.st_mode);
        if (!folder && !picture)
            continue;
        free(child);
        child = nc_path_join(relative, name);
        if (!child)
            status = nc_error(NC_FAILED, "%s: no memory", source->path);
        else if (folder)
            status = walk(source, child, &here);
        else
            status = nc_image_source_add(source, child, strlen(child), 0, 0);
    }
done:
    if (directory)
        closedir(directory);
    free(child);
    free(path);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct nc_image_entry *)a)->key, ((const struct nc_image_entry *)b)->key);
}

static int index_folder(struct nc_image_source *source)
{
    source->folder = strdup(source->path);
    if (!source->folder)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    source->walked = true;
    int status = walk(source, "", NULL);
    if (status == NC_OK && source->count)
        qsort(source->entries, source->count, sizeof *source->entries, compare_entries);
    return status;
}

/* ---- lists and single pictures ---- */

/* The folder part of the path, as a new string; "" when it has none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup("");
}

static int index_list(struct nc_image_source *source)
{
    char *text;
    size_t size, length;
    int status = nc_text_read(source->path, LIST_LIMIT, &text, &size);
    if (status != NC_OK)
        return status;
    source->folder = folder_of(source->path);
    enum nc_kind kind = nc_kind_of(text, size, true);
    if (!source->folder)
        status = nc_error(NC_FAILED, "%s: no memory", source->path);
    else if (kind == NC_KIND_JSON || kind == NC_KIND_JSONL)
        status = nc_kind_refuse(source->path, kind, "a list with one path a line", NULL);
    struct nc_lines lines = nc_lines_of(text, size);
    for (const char *line; status == NC_OK && nc_lines_next(&lines, &line, &length);)
        if (length)
            status = nc_image_source_add(source, line, length, 0, 0);
    free(text);
    return status;
}

static int index_picture(struct nc_image_source *source)
{
    const char *slash = strrchr(source->path, '/');
    const char *name = slash ? slash + 1 : source->path;
    source->folder = folder_of(source->path);
    if (!source->folder)
        return nc_error(NC_FAILED, "%s: no memory", source->path);
    return nc_image_source_add(source, name, strlen(name), 0, 0);
}

/* ---- opening ---- */

static int number_keys(struct nc_image_source *source)
{
    size_t present;
    int status = nc_string_map_create(&source->numbers);
    for (size_t i = 0; status == NC_OK && i < source->count; i++)
        status = nc_string_map_add(source->numbers, source->entries[i].key, i, &present);
    return status;
}

/* A regular file, by its first bytes. One that is named as a picture and is none is left to the
 * decoder, which says what it is. */
static int index_file(struct nc_image_source *source)
{
    enum nc_kind kind;
    int status = nc_kind_of_file(source->path, &kind);
    if (status != NC_OK)
        return status;
    if (kind == NC_KIND_TAR)
        return nc_tar_index(source);
    if (nc_kind_is_picture(kind) ||
        nc_image_source_is_picture(source->path, strlen(source->path)))
        return index_picture(source);
    if (nc_kind_is_text(kind) || kind == NC_KIND_UNKNOWN)
        return index_list(source);
    return nc_kind_refuse(source->path, kind, "a folder, a tar, a picture or a list of paths",
                          NULL);
}

static int open_source(const char *path, bool captions, struct nc_image_source **out)
{
    *out = NULL;
    struct nc_image_source *source = calloc(1, sizeof *source);
    struct nc_sidecars *sidecars = captions ? calloc(1, sizeof *sidecars) : NULL;
    if (!source || (captions && !sidecars)) {
        free(source);
        return nc_error(NC_FAILED, "%s: no memory", path);
    }
    source->tar = -1;
    source->sidecars = sidecars;
    source->path = strdup(path);
    struct stat information;
    int status;
    if (!source->path)
        status = nc_error(NC_FAILED, "%s: no memory", path);
    else if (strcmp(path, "-") == 0)
        status = index_list(source);
    else if (stat(path, &information) != 0)
        status = nc_error_read(path);
    else if (S_ISDIR(information.st_mode))
        status = index_folder(source);
    else if (S_ISREG(information.st_mode))
        status = index_file(source);
    else
        status = index_list(source); /* a pipe */
    if (status == NC_OK && source->count == 0)
        status = nc_error(NC_BAD_INPUT, "%s: no picture in it (looked for names like x.jpg, x.png)",
                          path);
    if (status == NC_OK)
        status = number_keys(source);
    if (status != NC_OK) {
        nc_image_source_close(source);
        return status;
    }
    *out = source;
    return NC_OK;
}

int nc_image_source_open(const char *path, struct nc_image_source **source)
{
    return open_source(path, false, source);
}

int nc_image_source_open_with_captions(const char *path, struct nc_image_source **source)
{
    return open_source(path, true, source);
}

void nc_image_source_close(struct nc_image_source *source)
{
    if (!source)
        return;
    for (size_t i = 0; i < source->count; i++) {
        free(source->entries[i].key);
        free(source->entries[i].missing);
    }
    if (source->tar >= 0)
        close(source->tar);
    free(source->entries);
    nc_string_map_destroy(source->numbers);
    nc_sidecars_free(source->sidecars);
    free(source->folder);
    free(source->path);
    free(source);
}

size_t nc_image_source_count(const struct nc_image_source *source)
{
    return source->count;
}

const char *nc_image_source_key(const struct nc_image_source *source, size_t index)
{
    return source->entries[index].key;
}

bool nc_image_source_find(const struct nc_image_source *source, const char *key, size_t *index)
{
    return nc_string_map_find(source->numbers, key, index);
}

static int read_member(const struct nc_image_source *source, const struct nc_image_entry *entry,
                       uint8_t **bytes, size_t *size)
{
    if (entry->missing)
        return nc_error(NC_BAD_INPUT, "%s: %s: a link to %s, which is no picture of this tar",
                        source->path, entry->key, entry->missing);
    if (entry->size > NC_IMAGE_MAX_BYTES)
        return nc_error(NC_BAD_INPUT, "%s: %s: larger than the %d bytes allowed of a picture",
                        source->path, entry->key, NC_IMAGE_MAX_BYTES);
    *size = (size_t)entry->size;
    return nc_tar_content(source, entry->key, entry->offset, *size, bytes);
}

int nc_image_source_read(const struct nc_image_source *source, size_t index, uint8_t **bytes,
                         size_t *size)
{
    *bytes = NULL;
    *size = 0;
    const struct nc_image_entry *entry = &source->entries[index];
    if (source->tar >= 0)
        return read_member(source, entry, bytes, size);
    char *path = nc_path_join(source->folder, entry->key);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", entry->key);
    char *text;
    int status = nc_file_read(path, NC_IMAGE_MAX_BYTES, &text, size);
    if (status == NC_OK)
        *bytes = (uint8_t *)text;
    else if (status == NC_BAD_INPUT && source->walked &&
             faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0) /* a link to nothing is bad */
        status = nc_error(NC_FAILED,
                          "%s: is gone since its folder was listed: is the disk still there? The "
                          "same command lists it anew",
                          path);
    free(path);
    return status;
}
