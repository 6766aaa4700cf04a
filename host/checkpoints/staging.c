/* Stages a model folder beside its place, copies the files that go with it, and renames it. */
#include "staging.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const tokenizer_files[] = {
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "bpe_simple_vocab_16e6.txt.gz",
    NULL,
};

static const char *const preprocessing_files[] = {
    "preprocessor_config.json",
    "processor_config.json",
    NULL,
};

static int check_free(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory && nc_error_kind(errno) == NC_FAILED)
        return nc_error_read(folder);
    if (!directory)
        return access(folder, F_OK) == 0
                   ? nc_error(NC_USAGE, "%s: exists and is not an empty folder", folder)
                   : NC_OK;
    size_t entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries <= 2 ? NC_OK /* "." and ".." */
                        : nc_error(NC_USAGE, "%s: exists and is not empty", folder);
}

static void staging_free(struct nc_staging *staging)
{
    if (staging->lock >= 0)
        close(staging->lock);
    free(staging->staged);
    free(staging->final);
    *staging = (struct nc_staging){.lock = -1};
}

int nc_staging_begin(const char *folder, struct nc_staging *staging)
{
    *staging = (struct nc_staging){.lock = -1};
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    int status = check_free(folder);
    if (status != NC_OK)
        return status;
    staging->final = strndup(folder, length);
    if (!staging->final ||
        asprintf(&staging->staged, "%s.partial-%ld", staging->final, (long)getpid()) < 0) {
        staging->staged = NULL;
        staging_free(staging);
        return nc_error(NC_FAILED, "%s: no memory", folder);
    }
    nc_partials_clear(staging->final);
    status = nc_folder_remove(staging->staged);
    if (status == NC_OK)
        status = nc_folder_create(staging->staged);
    if (status == NC_OK)
        status = nc_folder_lock(staging->staged, "writing", &staging->lock);
    return status == NC_OK ? NC_OK : nc_staging_end(staging, status);
}

char *nc_staging_path(const struct nc_staging *staging, const char *name)
{
    return nc_path_join(staging->staged, name);
}

int nc_staging_copy(const struct nc_staging *staging, const char *folder, const char *name)
{
    char *from = nc_path_join(folder, name), *to = nc_staging_path(staging, name);
    struct nc_mapping mapping = {0};
    int status = from && to ? NC_OK : nc_error(NC_FAILED, "%s: no memory", staging->staged);
    if (status == NC_OK && nc_file_exists(from)) {
        status = nc_file_map(from, &mapping);
        if (status == NC_OK)
            status = nc_file_write(to, mapping.data, mapping.size);
        nc_file_unmap(&mapping);
    }
    free(from);
    free(to);
    return status;
}

static int copy_all(const struct nc_staging *staging, const char *folder, const char *const *names)
{
    int status = NC_OK;
    for (size_t i = 0; names[i] && status == NC_OK; i++)
        status = nc_staging_copy(staging, folder, names[i]);
    return status;
}

int nc_staging_copy_tokenizer(const struct nc_staging *staging, const char *folder)
{
    return copy_all(staging, folder, tokenizer_files);
}

int nc_staging_copy_preprocessing(const struct nc_staging *staging, const char *folder)
{
    return copy_all(staging, folder, preprocessing_files);
}

int nc_staging_end(struct nc_staging *staging, int status)
{
    if (status == NC_OK)
        status = nc_folder_publish(staging->staged, staging->final);
    if (status != NC_OK) {
        char message[2048]; /* removing must not replace what went wrong */
        snprintf(message, sizeof message, "%s", nc_error_message());
        (void)nc_folder_remove(staging->staged);
        nc_error(status, "%s", message);
    }
    staging_free(staging);
    return status;
}
