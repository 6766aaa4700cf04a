/* Files and folders for the harnesses, and what every parser's refusal must look like. */
#include "fuzz.h"

#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[192];

static void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s: cannot be removed\n", folder);
}

const char *fuzz_folder(void)
{
    if (folder[0])
        return folder;
    struct stat information;
    bool memory = stat("/dev/shm", &information) == 0 && S_ISDIR(information.st_mode);
    snprintf(folder, sizeof folder, "%s/nclip-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    atexit(remove_folder);
    return folder;
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    return path;
}

void fuzz_remove(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    unlink(path);
}

void fuzz_cut(const uint8_t *data, size_t size, struct fuzz_part *parts, size_t count)
{
    static const char mark[] = "--8<--\n";
    for (size_t i = 0; i < count; i++) {
        const uint8_t *cut = i + 1 < count && size ? memmem(data, size, mark, sizeof mark - 1) : NULL;
        size_t part = cut ? (size_t)(cut - data) : size;
        parts[i] = (struct fuzz_part){data, part};
        size_t taken = cut ? part + sizeof mark - 1 : part;
        data += taken;
        size -= taken;
    }
}

unsigned fuzz_choose(const uint8_t **data, size_t *size, unsigned choices)
{
    if (!*size)
        return 0;
    unsigned choice = **data % choices;
    ++*data;
    --*size;
    return choice;
}

void fuzz_expect_sentence(int status)
{
    if (status < NC_OK || status > NC_BAD_INPUT || (status != NC_OK && !*nc_error_message())) {
        fprintf(stderr, "status %d without a sentence\n", status);
        abort();
    }
}
