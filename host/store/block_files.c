/* Keeps files open while they are read, and a while longer. */
#include "block_files.h"

#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct nc_block_file closed = {.direct = -1, .buffered = -1};

int nc_block_files_create(size_t users, struct nc_block_files *files)
{
    *files = (struct nc_block_files){.count = 2 * users};
    files->list = calloc(files->count, sizeof *files->list);
    if (!files->list)
        return nc_error(NC_FAILED, "block reader: no memory");
    for (size_t i = 0; i < files->count; i++)
        files->list[i] = closed;
    pthread_mutex_init(&files->lock, NULL);
    return NC_OK;
}

static void close_file(struct nc_block_file *file)
{
    if (file->direct >= 0)
        close(file->direct);
    if (file->buffered >= 0)
        close(file->buffered);
    free(file->path);
    *file = closed;
}

void nc_block_files_destroy(struct nc_block_files *files)
{
    if (!files->list)
        return;
    for (size_t i = 0; i < files->count; i++)
        close_file(&files->list[i]);
    free(files->list);
    pthread_mutex_destroy(&files->lock);
    *files = (struct nc_block_files){0};
}

/* Without handles those that nobody uses are closed, and it is tried once more. */
static int open_with(struct nc_block_files *files, const char *path, int flags)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (descriptor >= 0 || (errno != EMFILE && errno != ENFILE))
        return descriptor;
    for (size_t i = 0; i < files->count; i++)
        if (!files->list[i].users)
            close_file(&files->list[i]);
    return open(path, O_RDONLY | O_CLOEXEC | flags);
}

static int open_buffered(struct nc_block_files *files, const char *path)
{
    int descriptor = open_with(files, path, 0);
    if (descriptor >= 0) /* what lies behind a block is not read next */
        (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    return descriptor;
}

/* The one that was not used for longest, or a free one. */
static struct nc_block_file *oldest(struct nc_block_files *files)
{
    struct nc_block_file *found = NULL;
    for (size_t i = 0; i < files->count; i++) {
        struct nc_block_file *file = &files->list[i];
        if (!file->users && (!found || file->used < found->used))
            found = file;
    }
    return found;
}

static int open_file(struct nc_block_files *files, const char *path, struct nc_block_file **out)
{
    struct nc_block_file *file = oldest(files);
    if (!file)
        return nc_error(NC_FAILED, "%s: too many files are being read", path);
    close_file(file);
    file->path = strdup(path);
    if (!file->path)
        return nc_error(NC_FAILED, "%s: no memory", path);
    file->users = 1; /* so that it is not closed for the want of handles */
    file->direct = open_with(files, path, O_DIRECT);
    if (file->direct < 0 && errno == EINVAL)
        file->buffered = open_buffered(files, path);
    if (file->direct < 0 && file->buffered < 0) {
        int status = nc_error_read(path);
        close_file(file);
        return status;
    }
    *out = file;
    return NC_OK;
}

int nc_block_files_take(struct nc_block_files *files, const char *path, struct nc_block_file **out)
{
    int status = NC_OK;
    *out = NULL;
    pthread_mutex_lock(&files->lock);
    for (size_t i = 0; i < files->count && !*out; i++)
        if (files->list[i].path && strcmp(files->list[i].path, path) == 0)
            *out = &files->list[i];
    if (*out)
        (*out)->users++;
    else
        status = open_file(files, path, out);
    if (*out)
        (*out)->used = ++files->clock;
    pthread_mutex_unlock(&files->lock);
    return status;
}

void nc_block_files_give(struct nc_block_files *files, struct nc_block_file *file)
{
    pthread_mutex_lock(&files->lock);
    file->users--;
    pthread_mutex_unlock(&files->lock);
}

int nc_block_files_buffered(struct nc_block_files *files, struct nc_block_file *file,
                            int *descriptor)
{
    pthread_mutex_lock(&files->lock);
    if (file->buffered < 0)
        file->buffered = open_buffered(files, file->path);
    int status = file->buffered >= 0 ? NC_OK : nc_error_read(file->path);
    *descriptor = file->buffered;
    pthread_mutex_unlock(&files->lock);
    return status;
}
