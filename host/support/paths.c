/* Paths: what is there, and how they are put together; what writers of files and folders share. */
#include "file_parts.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_write_error(const char *path, int cause)
{
    return nc_error(NC_FAILED, "%s: cannot write: %s", path, strerror(cause));
}

/* A rename is durable only once its folder is. Not all file systems allow this;
 * the file's own content was synced before, so a refusal loses nothing. */
void file_sync_folder_of(const char *path)
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

bool nc_file_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISREG(information.st_mode);
}

bool nc_folder_holds(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    return length > 0 && (size_t)length < sizeof path && nc_file_exists(path);
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
