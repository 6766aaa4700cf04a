/* Folders: made, locked, removed, and put in their place when complete. */
#include "file_parts.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

static char *aside_of(const char *final)
{
    char *aside = NULL;
    return asprintf(&aside, "%s.old", final) < 0 ? NULL : aside;
}

/* Where the file system cannot exchange (NFS, Lustre) the old one steps aside first. Killed between
 * the two renames, it is for nc_folder_recover() to put back. */
static int publish_aside(const char *staged, const char *final)
{
    char *aside = aside_of(final);
    if (!aside)
        return nc_error(NC_FAILED, "%s: no memory", final);
    int status = nc_folder_remove(aside);
    if (status == NC_OK && rename(final, aside) != 0)
        status = file_write_error(final, errno);
    if (status == NC_OK && rename(staged, final) != 0) {
        status = file_write_error(final, errno);
        (void)rename(aside, final);
    }
    if (status == NC_OK) {
        file_sync_folder_of(final);
        status = nc_folder_remove(aside);
    }
    free(aside);
    return status;
}

int nc_folder_publish(const char *staged, const char *final)
{
    if (rename(staged, final) == 0) { /* nothing there, or an empty folder */
        file_sync_folder_of(final);
        return NC_OK;
    }
    if (errno != EEXIST && errno != ENOTEMPTY)
        return file_write_error(final, errno);
    if (renameat2(AT_FDCWD, staged, AT_FDCWD, final, RENAME_EXCHANGE) == 0) {
        file_sync_folder_of(final);
        return nc_folder_remove(staged);
    }
    if (errno != EINVAL && errno != ENOSYS)
        return file_write_error(final, errno);
    return publish_aside(staged, final);
}

int nc_folder_recover(const char *final)
{
    char *aside = aside_of(final);
    int status = NC_OK;
    if (!aside)
        return nc_error(NC_FAILED, "%s: no memory", final);
    if (!nc_folder_exists(final) && rename(aside, final) != 0 && errno != ENOENT)
        status = file_write_error(final, errno);
    if (status == NC_OK && nc_folder_exists(final))
        status = nc_folder_remove(aside);
    free(aside);
    return status;
}

bool nc_folder_is_empty(const char *path)
{
    DIR *directory = opendir(path);
    size_t entries = 0;
    while (directory && readdir(directory))
        entries++;
    if (directory)
        closedir(directory);
    return directory && entries <= 2; /* "." and ".." */
}
