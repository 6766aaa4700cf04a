/* What files.c, folders.c and partials.c have of paths.c and of each other. */
#ifndef NCLIP_HOST_SUPPORT_FILE_PARTS_H
#define NCLIP_HOST_SUPPORT_FILE_PARTS_H

/* "PATH: cannot write: ..."; NC_FAILED. */
int file_write_error(const char *path, int cause);

/* A rename is durable only once its folder is. Not all file systems allow this; the file's own
 * content was synced before, so a refusal loses nothing. */
void file_sync_folder_of(const char *path);

/* Tells other processes, until the descriptor is closed, that what is being written there is not
 * left over. Where the file system has no locks it tells nothing. */
void file_mark_in_use(int descriptor);

#endif
