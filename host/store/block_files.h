/* The files that a block reader has open: opening one for each block would cost more than reading
 * it where the file system is far away. */
#ifndef NCLIP_HOST_STORE_BLOCK_FILES_H
#define NCLIP_HOST_STORE_BLOCK_FILES_H

#include "nclip/store/block_reader.h"

#include <pthread.h>

struct nc_block_file {
    char *path;
    int direct;   /* past the page cache; -1: the file system does not take that */
    int buffered; /* -1: not needed so far */
    size_t users;
    uint64_t used; /* when last */
};

struct nc_block_files {
    struct nc_block_file *list;
    size_t count;
    uint64_t clock;
    pthread_mutex_t lock;
};

/* Room for `users` files in use at once, and as many that may be used again. */
int nc_block_files_create(size_t users, struct nc_block_files *files);
void nc_block_files_destroy(struct nc_block_files *files);

/* Opens a file, or finds it open. Any thread. */
int nc_block_files_take(struct nc_block_files *files, const char *path,
                        struct nc_block_file **file);
void nc_block_files_give(struct nc_block_files *files, struct nc_block_file *file);

/* Its descriptor through the page cache, opened when first asked for. */
int nc_block_files_buffered(struct nc_block_files *files, struct nc_block_file *file,
                            int *descriptor);

#endif
