#include "nclip/support/files.h"

#include "nclip/support/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_error(const char *path)
{
    return nc_error(NC_BAD_INPUT, "%s: cannot read: %s", path, strerror(errno));
}

static int write_error(const char *path, int cause)
{
    return nc_error(NC_FAILED, "%s: cannot write: %s", path, strerror(cause));
}

int nc_file_read(const char *path, size_t limit, char **data, size_t *size)
{
    *data = NULL;
    *size = 0;
    bool standard_input = strcmp(path, "-") == 0;
    int descriptor = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return read_error(path);

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
            status = read_error(path);
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

int nc_file_map(const char *path, struct nc_mapping *mapping)
{
    *mapping = (struct nc_mapping){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return read_error(path);
    struct stat information;
    int status = NC_OK;
    if (fstat(descriptor, &information) != 0) {
        status = read_error(path);
    } else if (!S_ISREG(information.st_mode)) {
        status = nc_error(NC_BAD_INPUT, "%s: not a regular file", path);
    } else if (information.st_size == 0) {
        mapping->data = (const uint8_t *)"";
    } else {
        void *data = mmap(NULL, (size_t)information.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            status = read_error(path);
        else
            *mapping = (struct nc_mapping){data, (size_t)information.st_size};
    }
    close(descriptor);
    return status;
}

void nc_file_unmap(struct nc_mapping *mapping)
{
    if (mapping->size)
        munmap((void *)mapping->data, mapping->size);
    *mapping = (struct nc_mapping){0};
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
    writer->file =
        standard ? open_standard_output() : fopen(direct ? path : writer->partial, "wbe");
    if (!writer->file) {
        int status = write_error(path, errno);
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
        return write_error(writer->path, writer->failure);
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
        return write_error(writer->path, writer->failure);
    }
    writer->position += (uint64_t)count;
    return NC_OK;
}

uint64_t nc_writer_position(const struct nc_writer *writer)
{
    return writer->position;
}

/* A rename is durable only once its folder is. Not all file systems allow this;
 * the file's own content was synced before, so a refusal loses nothing. */
static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int descriptor = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        (void)fsync(descriptor);
        close(descriptor);
    }
    free(folder);
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
        status = write_error(writer->path, writer->failure);
    } else if (writer->partial) {
        sync_folder_of(writer->path);
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

int nc_folder_create(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory", path);
    int status = NC_OK;
    for (char *end = *copy ? copy + 1 : copy; status == NC_OK; end++) {
        if (*end != '/' && *end != 0)
            continue;
        char saved = *end;
        *end = 0;
        if (mkdir(copy, 0777) != 0 && (errno != EEXIST || !nc_folder_exists(copy)))
            status = nc_error(NC_FAILED, "%s: cannot create the folder: %s", path,
                              strerror(errno == EEXIST ? ENOTDIR : errno));
        *end = saved;
        if (!saved)
            break;
    }
    free(copy);
    return status;
}

int nc_folder_lock(const char *path, const char *doing, int *lock)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0)
        return nc_error(NC_FAILED, "%s: cannot open the folder: %s", path, strerror(errno));
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return NC_OK;
    close(*lock);
    *lock = -1;
    return nc_error(NC_FAILED, "%s: another process is %s there", path, doing);
}

int nc_folder_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) {
        if (errno == ENOENT)
            return NC_OK;
        return nc_error(NC_FAILED, "%s: cannot remove: %s", path, strerror(errno));
    }
    int status = NC_OK;
    struct dirent *entry;
    while (status == NC_OK && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *child = nc_path_join(path, entry->d_name);
        struct stat information;
        if (!child)
            status = nc_error(NC_FAILED, "%s: no memory", path);
        else if (lstat(child, &information) == 0 && S_ISDIR(information.st_mode))
            status = nc_folder_remove(child);
        else if (unlink(child) != 0)
            status = nc_error(NC_FAILED, "%s: cannot remove: %s", child, strerror(errno));
        free(child);
    }
    closedir(directory);
    if (status == NC_OK && rmdir(path) != 0)
        status = nc_error(NC_FAILED, "%s: cannot remove: %s", path, strerror(errno));
    return status;
}

int nc_folder_publish(const char *staged, const char *final)
{
    if (rename(staged, final) == 0) { /* nothing there, or an empty folder */
        sync_folder_of(final);
        return NC_OK;
    }
    if (errno != EEXIST && errno != ENOTEMPTY)
        return write_error(final, errno);
    if (renameat2(AT_FDCWD, staged, AT_FDCWD, final, RENAME_EXCHANGE) == 0) {
        sync_folder_of(final);
        return nc_folder_remove(staged);
    }
    if (errno != EINVAL && errno != ENOSYS)
        return write_error(final, errno);
    /* This file system cannot exchange: the old one steps aside first. */
    char *aside = NULL;
    if (asprintf(&aside, "%s.old", final) < 0)
        return nc_error(NC_FAILED, "%s: no memory", final);
    int status = nc_folder_remove(aside);
    if (status == NC_OK && (rename(final, aside) != 0 || rename(staged, final) != 0))
        status = write_error(final, errno);
    if (status == NC_OK)
        status = nc_folder_remove(aside);
    free(aside);
    return status;
}

bool nc_file_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISREG(information.st_mode);
}

bool nc_folder_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISDIR(information.st_mode);
}

bool nc_path_ends(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcmp(path + length - tail, ending) == 0;
}

bool nc_path_climbs(const char *path)
{
    for (; path; path = strchr(path, '/')) {
        path += strspn(path, "/");
        if (strncmp(path, "..", 2) == 0 && (!path[2] || path[2] == '/'))
            return true;
    }
    return false;
}

char *nc_path_join(const char *folder, const char *name)
{
    char *path = NULL;
    if (!*folder || *name == '/')
        return strdup(name);
    const char *separator = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, separator, name) < 0 ? NULL : path;
}
