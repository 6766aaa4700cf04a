/* The journal, which keeps every answer that was paid for: an append-only file, one record a line.
 *
 *     nclip journal 1
 *     5d1f0a3c {"key":"0f3a...","step":"object", ...}
 *
 * Before each JSON object stands the CRC-32C of its bytes. A process that was killed while it
 * wrote leaves a last line without its line feed: that is cut away when the file is opened again.
 * A complete line whose checksum is wrong is left where it is and passed over, so what it answered
 * is asked again and nothing else is lost.
 */
#ifndef NCLIP_CHAT_JOURNAL_H
#define NCLIP_CHAT_JOURNAL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

enum { NC_JOURNAL_KEY = 33 }; /* 32 hexadecimal digits and a zero */

struct nc_journal;

/* Opens or creates the file and keeps other processes out until it is closed (where the file
 * system has locks). NC_FAILED when another process writes it; NC_BAD_INPUT for a file that is
 * something else, which is then left as it is. Memory: some hundred bytes a record, not the
 * records. */
int nc_journal_open(const char *path, struct nc_journal **journal);
void nc_journal_close(struct nc_journal *journal); /* NULL is allowed */

/* Writes the record (an object with a member at least), with `key` put before its members. A full
 * disk is NC_FAILED, and the file ends with the record before. A key that is there already keeps
 * its first record. */
int nc_journal_append(struct nc_journal *journal, const char *key, const cJSON *record);
/* Returns when everything appended is on the disk. */
int nc_journal_sync(struct nc_journal *journal);

/* *record is the caller's, or NULL when the key has none. */
int nc_journal_find(const struct nc_journal *journal, const char *key, cJSON **record);

size_t nc_journal_count(const struct nc_journal *journal); /* records that can be found */
/* Lines whose checksum is wrong; *first is the first one's number, from 1. */
size_t nc_journal_damaged(const struct nc_journal *journal, size_t *first);
/* Bytes of an unfinished record that were cut away. */
size_t nc_journal_cut(const struct nc_journal *journal);

#endif
