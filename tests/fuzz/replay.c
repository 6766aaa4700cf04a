/* The harness without a fuzzer: every file of the folders that are named, once. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count;

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *exact = malloc(size ? size : 1); /* a sanitizer sees reads behind it */
    if (!exact || fread(exact, 1, size, file) != size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one is at fault */
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    count++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int entry_count = scandir(argv[i], &entries, NULL, alphasort);
        for (int e = 0; e < entry_count; e++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[e]->d_name);
            if (entries[e]->d_name[0] != '.')
                replay(path);
            free(entries[e]);
        }
        if (entry_count >= 0)
            free(entries);
    }
    printf("%zu inputs\n", count);
    return count ? 0 : 1;
}
