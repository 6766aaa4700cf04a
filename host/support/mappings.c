/* Files in memory, and what is done when one of them changes under the program. */
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a mapped file was when it was mapped. */
struct nc_mapped {
    char *path;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
};

/* For the handler of SIGBUS, which may not wait for a lock: mappings beyond these have no name in
 * its sentence. */
enum { MOST_NAMED = 512, LONGEST_NAME = 256 };

static struct named {
    _Atomic(uintptr_t) start; /* 0: free; 1: being filled */
    uintptr_t end;
    char path[LONGEST_NAME];
} named[MOST_NAMED];

static void name(const struct nc_mapping *mapping)
{
    for (size_t i = 0; i < MOST_NAMED; i++) {
        uintptr_t none = 0;
        if (!atomic_compare_exchange_strong(&named[i].start, &none, 1))
            continue;
        named[i].end = (uintptr_t)mapping->data + mapping->size;
        snprintf(named[i].path, LONGEST_NAME, "%s", mapping->mapped->path);
        atomic_store(&named[i].start, (uintptr_t)mapping->data);
        return;
    }
}

static void forget(const struct nc_mapping *mapping)
{
    for (size_t i = 0; i < MOST_NAMED; i++) {
        uintptr_t start = (uintptr_t)mapping->data;
        if (mapping->size && atomic_compare_exchange_strong(&named[i].start, &start, 0))
            return;
    }
}

/* ---- Mapping ------------------------------------------------------------------------------ */

int nc_file_map(const char *path, struct nc_mapping *mapping)
{
    *mapping = (struct nc_mapping){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return nc_error_read(path);
    struct stat information;
    int status = NC_OK;
    struct nc_mapped *mapped = calloc(1, sizeof *mapped);
    if (!mapped || !(mapped->path = strdup(path)))
        status = nc_error(NC_FAILED, "%s: no memory", path);
    else if (fstat(descriptor, &information) != 0)
        status = nc_error_read(path);
    else if (!S_ISREG(information.st_mode))
        status = nc_error(NC_BAD_INPUT, "%s: not a regular file", path);
    if (status == NC_OK) {
        mapped->device = information.st_dev;
        mapped->inode = information.st_ino;
        mapped->size = information.st_size;
        mapped->written = information.st_mtim;
        size_t size = (size_t)information.st_size;
        void *data = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0) : (void *)"";
        if (data == MAP_FAILED)
            status = nc_error_read(path);
        else
            *mapping = (struct nc_mapping){data, size, mapped};
    }
    close(descriptor);
    if (status == NC_OK && mapping->size)
        name(mapping);
    if (status != NC_OK && mapped)
        free(mapped->path);
    if (status != NC_OK)
        free(mapped);
    return status;
}

void nc_file_unmap(struct nc_mapping *mapping)
{
    if (mapping->size) {
        forget(mapping);
        munmap((void *)mapping->data, mapping->size);
    }
    if (mapping->mapped)
        free(mapping->mapped->path);
    free(mapping->mapped);
    *mapping = (struct nc_mapping){0};
}

int nc_mapping_check(const struct nc_mapping *mapping)
{
    const struct nc_mapped *mapped = mapping->mapped;
    struct stat now;
    if (!mapped || stat(mapped->path, &now) != 0)
        return NC_OK; /* removed: what is mapped stays */
    if (now.st_dev != mapped->device || now.st_ino != mapped->inode)
        return NC_OK; /* replaced by rename: likewise */
    if (now.st_size == mapped->size && now.st_mtim.tv_sec == mapped->written.tv_sec &&
        now.st_mtim.tv_nsec == mapped->written.tv_nsec)
        return NC_OK;
    return nc_error(NC_FAILED,
                    "%s: was written to while it was in use: what was read of it may be of two "
                    "files; put another beside it and rename it, then run again",
                    mapped->path);
}

/* ---- SIGBUS --------------------------------------------------------------------------------- */

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* A page of a mapped file that is no longer there. Nothing can be computed without it; what is on
 * the disk is whole, as files appear there when complete. */
static void no_page(int number, siginfo_t *information, void *context)
{
    uintptr_t address = (uintptr_t)information->si_addr;
    (void)context;
    for (size_t i = 0; i < MOST_NAMED; i++) {
        uintptr_t start = atomic_load(&named[i].start);
        if (start <= 1 || address < start || address >= named[i].end)
            continue;
        say("nclip: ");
        say(named[i].path);
        say(": became shorter while it was read, or its disk failed; what was saved before is "
            "kept\n");
        _exit(NC_FAILED);
    }
    signal(number, SIG_DFL); /* no file: the system says what it is */
    raise(number);
}

void nc_mappings_guard(void)
{
    struct sigaction action = {.sa_sigaction = no_page, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
