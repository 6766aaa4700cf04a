/* Files: read whole, map, write so that nothing half-written is ever seen.
 *
 * All paths are byte strings. "-" means standard input or output where a
 * function says so. Errors name the path. A missing or unreadable file is
 * NC_BAD_INPUT; a failed write (full disk, no permission) is NC_FAILED.
 */
#ifndef NCLIP_SUPPORT_FILES_H
#define NCLIP_SUPPORT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a file ("-": standard input) of at most `limit` bytes into one malloc'd
 * block with a terminating zero byte behind it (not counted in *size). The
 * caller frees *data. */
int nc_file_read(const char *path, size_t limit, char **data, size_t *size);

/* A read-only mapping of a whole file. An empty file maps to data "" and size 0. */
struct nc_mapping {
    const uint8_t *data;
    size_t size;
    struct nc_mapped *mapped; /* what the file was */
};
int nc_file_map(const char *path, struct nc_mapping *mapping);
void nc_file_unmap(struct nc_mapping *mapping); /* sets it to {0}; {0} is allowed */

/* NC_FAILED when the file was written to since it was mapped (its size or time is another): to be
 * asked before and after what is copied from it counts. One that was replaced by a rename is as it
 * was. */
int nc_mapping_check(const struct nc_mapping *mapping);

/* For a program's main(): a mapped file that became shorter, or whose disk fails, ends it with one
 * sentence and NC_FAILED, where the system would end it without a word. */
void nc_mappings_guard(void);

/* A file that appears under its name by rename, when complete. Until commit
 * its bytes are in "<path>.partial-<pid>" beside it. What is there and is no file (a
 * device, a pipe) is written to directly, never replaced; "-" is standard output. The first
 * failed write is remembered: later calls do nothing and commit reports it. */
struct nc_writer;
int nc_writer_create(const char *path, struct nc_writer **writer);
int nc_writer_write(struct nc_writer *writer, const void *data, size_t size);
int nc_writer_printf(struct nc_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Puts data over bytes that were written before; where the file is none (a pipe), a failure. */
int nc_writer_rewrite(struct nc_writer *writer, uint64_t offset, const void *data, size_t size);
/* Something that belongs into the file could not be made: as a failed write. */
void nc_writer_fail(struct nc_writer *writer, int cause);
uint64_t nc_writer_position(const struct nc_writer *writer); /* bytes so far */
/* Flushes, fsyncs, renames; frees the writer also when it fails (the partial
 * file is then removed). */
int nc_writer_commit(struct nc_writer *writer);
void nc_writer_abort(struct nc_writer *writer); /* removes the partial file; NULL is allowed */

/* Removes what killed processes left of "<path>": "<path>.partial-<pid>", files or folders, of
 * processes that are no more and hold no lock on it. Writers do it before they begin. */
void nc_partials_clear(const char *path);

/* Whole content at once, through a writer. */
int nc_file_write(const char *path, const void *data, size_t size);

/* Puts the finished folder `staged` at `final`, in one step as others see it
 * (an older `final` is exchanged and then removed). Both must be on one file
 * system. */
int nc_folder_publish(const char *staged, const char *final);
/* Where the file system cannot exchange, a kill in the middle of publishing leaves the older
 * folder at "<final>.old" and none at `final`: puts it back. Else removes what is left there. */
int nc_folder_recover(const char *final);
int nc_folder_create(const char *path); /* with parents; existing is fine */
int nc_folder_remove(const char *path); /* with content; missing is fine */

/* Keeps other processes out of a folder until *lock is closed. NC_FAILED with "PATH: another
 * process is DOING there" when one has it. Where a file system has no locks all may enter. */
int nc_folder_lock(const char *path, const char *doing, int *lock);

bool nc_file_exists(const char *path);
bool nc_folder_exists(const char *path);
bool nc_folder_is_empty(const char *path); /* and can be read */
/* Whether the folder holds a file of that name; without memory, too. */
bool nc_folder_holds(const char *folder, const char *name);

/* "<folder>/<name>" in a new malloc'd string (NULL without memory); `name`
 * alone when `folder` is "" or `name` is absolute. */
char *nc_path_join(const char *folder, const char *name);

/* Whether the path ends with `ending` (".json"). */
bool nc_path_ends(const char *path, const char *ending);

/* Whether a part of the path is "..": joined to a folder, such a path may lead out of it. */
bool nc_path_climbs(const char *path);

#ifdef __cplusplus
}
#endif

#endif
