/* What processes that were killed left behind: "<path>.partial-<pid>", files and folders. */
#include "file_parts.h"
#include "nclip/support/files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = ".partial-";

void file_mark_in_use(int descriptor)
{
    (void)flock(descriptor, LOCK_EX | LOCK_NB);
}

/* The writer's number where the name is that of something partial of `base`; 0: it is not. */
static long writer_of(const char *name, const char *base)
{
    size_t length = strlen(base);
    if (strncmp(name, base, length) != 0 ||
        strncmp(name + length, mark, sizeof mark - 1) != 0)
        return 0;
    const char *digits = name + length + sizeof mark - 1;
    size_t count = strspn(digits, "0123456789");
    return count && count < 10 && !digits[count] ? atol(digits) : 0;
}

/* Whether nobody writes it any more: no process here has the writer's number, and no process on
 * another host that shares the folder holds the lock. */
static bool is_left(int folder, const char *name, long writer)
{
    if (writer == (long)getpid() || kill((pid_t)writer, 0) == 0 || errno != ESRCH)
        return false;
    int descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0)
        return false;
    bool left = flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    close(descriptor);
    return left;
}

void nc_partials_clear(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    DIR *directory = folder && *base ? opendir(folder) : NULL;
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        long writer = writer_of(entry->d_name, base);
        if (!writer || !is_left(dirfd(directory), entry->d_name, writer))
            continue;
        char *left = nc_path_join(folder, entry->d_name);
        if (left && unlink(left) != 0 && nc_folder_exists(left))
            (void)nc_folder_remove(left);
        free(left);
    }
    if (directory)
        closedir(directory);
    free(folder);
}
