/* Reads, maps and writes files. */
#include "nclip/support/files.h"

#include "file_parts.h"
#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int nc_file_read(const char *path, size_t limit, char **data, size_t *size)
{
    *data = NULL;
    *size = 0;
    bool standard_input = strcmp(path, "-") == 0;
    int descriptor = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return nc_error_read(path);

    int status = NC_OK;
    size_t used = 0, capacity = 1 << 16;
    struct stat information;
    if (fstat(descriptor, &information) == 0 && S_ISREG(information.st_mode) &&
        (uintmax_t)information.st_size < SIZE_MAX / 2)
        capacity = (size_t)information.st_size + 2;
    if (limit < SIZE_MAX - 2 && capacity > limit + 2)
        capacity = limit + 2;
    char *buffer = malloc(capacity);
    for (;;) {
        if (!buffer) {
            status = nc_error(NC_FAILED, "%s: no memory for %zu bytes", path, capacity);
            break;
        }
        ssize_t count = read(descriptor, buffer + used, capacity - used - 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            status = nc_error_read(path);
            break;
        }
        used += (size_t)count;
        if (used > limit) {
            status = nc_error(NC_BAD_INPUT, "%s: larger than the %zu bytes allowed here", path,
                              limit);
            break;
        }
        if (count == 0)
            break;
        if (capacity - used < 2) {
            capacity *= 2;
            char *larger = realloc(buffer, capacity);
            if (!larger)
                free(buffer);
            buffer = larger;
        }
    }
    if (!standard_input)
        close(descriptor);
    if (status != NC_OK) {
        free(buffer);
        return status;
    }
    buffer[used] = 0;
    *data = buffer;
    *size = used;
    return NC_OK;
}

struct nc_writer {
    FILE *file;
    char *path;
    char *partial; /* NULL: written to directly */
    uint64_t position;
    int failure; /* errno of the first failed write */
};

static void writer_free(struct nc_writer *writer)
{
    if (writer->file)
        fclose(writer->file);
    free(writer->path);
    free(writer->partial);
    free(writer);
}

/* A rename would replace the device or pipe itself. */
static bool is_special(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && !S_ISREG(information.st_mode) &&
           !S_ISDIR(information.st_mode);
}

/* Behind what stdio has put out so far, and closed without closing it. */
static FILE *open_standard_output(void)
{
    fflush(stdout);
    int descriptor = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file && descriptor >= 0)
        close(descriptor);
    return file;
}

int nc_writer_create(const char *path, struct nc_writer **out)
{
    *out = NULL;
    struct nc_writer *writer = calloc(1, sizeof *writer);
    bool standard = strcmp(path, "-") == 0, direct = standard || is_special(path);
    if (writer) {
        writer->path = strdup(standard ? "standard output" : path);
        if (direct || asprintf(&writer->partial, "%s.partial-%ld", path, (long)getpid()) < 0)
            writer->partial = NULL;
    }
    if (!writer || !writer->path || (!writer->partial && !direct)) {
        if (writer)
            writer_free(writer);
        return nc_error(NC_FAILED, "%s: no memory", path);
    }
    if (writer->partial)
        nc_partials_clear(path);
    writer->file =
        standard ? open_standard_output() : fopen(direct ? path : writer->partial, "wbe");
    if (writer->file && writer->partial)
        file_mark_in_use(fileno(writer->file));
    if (!writer->file) {
        int status = file_write_error(path, errno);
        writer_free(writer);
        return status;
    }
    *out = writer;
    return NC_OK;
}

int nc_writer_write(struct nc_writer *writer, const void *data, size_t size)
{
    if (!writer->failure && size && fwrite(data, 1, size, writer->file) != size)
        writer->failure = errno ? errno : EIO;
    if (writer->failure)
        return file_write_error(writer->path, writer->failure);
    writer->position += size;
    return NC_OK;
}

int nc_writer_printf(struct nc_writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count = writer->failure ? -1 : vfprintf(writer->file, format, arguments);
    va_end(arguments);
    if (count < 0) {
        if (!writer->failure)
            writer->failure = errno ? errno : EIO;
        return file_write_error(writer->path, writer->failure);
    }
    writer->position += (uint64_t)count;
    return NC_OK;
}

int nc_writer_rewrite(struct nc_writer *writer, uint64_t offset, const void *data, size_t size)
{
    if (!writer->failure && (fseeko(writer->file, (off_t)offset, SEEK_SET) != 0 ||
                             (size && fwrite(data, 1, size, writer->file) != size) ||
                             fseeko(writer->file, (off_t)writer->position, SEEK_SET) != 0))
        writer->failure = errno ? errno : EIO;
    return writer->failure ? file_write_error(writer->path, writer->failure) : NC_OK;
}

void nc_writer_fail(struct nc_writer *writer, int cause)
{
    if (!writer->failure)
        writer->failure = cause ? cause : EIO;
}

uint64_t nc_writer_position(const struct nc_writer *writer)
{
    return writer->position;
}

int nc_writer_commit(struct nc_writer *writer)
{
    if (!writer->failure && fflush(writer->file) != 0)
        writer->failure = errno;
    if (!writer->failure && fsync(fileno(writer->file)) != 0 && errno != EINVAL)
        writer->failure = errno;
    if (fclose(writer->file) != 0 && !writer->failure)
        writer->failure = errno;
    writer->file = NULL;
    if (!writer->failure && writer->partial && rename(writer->partial, writer->path) != 0)
        writer->failure = errno;
    int status = NC_OK;
    if (writer->failure) {
        if (writer->partial)
            unlink(writer->partial);
        status = file_write_error(writer->path, writer->failure);
    } else if (writer->partial) {
        file_sync_folder_of(writer->path);
    }
    writer_free(writer);
    return status;
}

void nc_writer_abort(struct nc_writer *writer)
{
    if (!writer)
        return;
    if (writer->partial)
        unlink(writer->partial);
    writer_free(writer);
}

int nc_file_write(const char *path, const void *data, size_t size)
{
    struct nc_writer *writer;
    int status = nc_writer_create(path, &writer);
    if (status != NC_OK)
        return status;
    status = nc_writer_write(writer, data, size);
    if (status != NC_OK) {
        nc_writer_abort(writer);
        return status;
    }
    return nc_writer_commit(writer);
}
