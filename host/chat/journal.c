/* Reads and appends the journal of answers. */
#include "nclip/chat/journal.h"

#include "nclip/formats/json.h"
#include "nclip/support/crc32c.h"
#include "nclip/support/error.h"
#include "nclip/support/string_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char heading[] = "nclip journal 1\n";

enum {
    HEADING = sizeof heading - 1,
    CHECKSUM = 9,  /* eight digits and a space */
    KEY_START = 8, /* of the key's digits in a record: {"key":" */
    BLOCK = 1024,
    LONGEST_LINE = 1 << 26,
};

struct entry {
    char key[NC_JOURNAL_KEY];
    uint32_t size; /* of the JSON text */
    uint64_t offset;
};

/* Entries never move: the map borrows their keys. */
struct block {
    struct block *next;
    size_t used;
    struct entry entries[BLOCK];
};

struct nc_journal {
    char *path;
    int descriptor;
    uint64_t end;
    struct nc_string_map *map; /* key -> address of its entry */
    struct block *blocks;
    size_t damaged, first_damaged, cut;
};

static int failed(const struct nc_journal *journal, const char *doing)
{
    return nc_error(NC_FAILED, "%s: cannot %s: %s", journal->path, doing, strerror(errno));
}

/* ---- Records ------------------------------------------------------------------------ */

static int remember(struct nc_journal *journal, const char *key, uint64_t offset, size_t size)
{
    if (!journal->blocks || journal->blocks->used == BLOCK) {
        struct block *block = malloc(sizeof *block);
        if (!block)
            return nc_error(NC_FAILED, "%s: no memory for its index", journal->path);
        block->next = journal->blocks;
        block->used = 0;
        journal->blocks = block;
    }
    struct entry *entry = &journal->blocks->entries[journal->blocks->used];
    *entry = (struct entry){.size = (uint32_t)size, .offset = offset};
    memcpy(entry->key, key, NC_JOURNAL_KEY - 1);
    size_t present;
    int status = nc_string_map_add(journal->map, entry->key, (size_t)(uintptr_t)entry, &present);
    journal->blocks->used += status == NC_OK && present == (size_t)(uintptr_t)entry;
    return status;
}

/* A record that can be trusted: its checksum is right and its key is where it belongs. */
static bool read_record(const char *line, size_t length, char key[NC_JOURNAL_KEY])
{
    char digits[CHECKSUM];
    const char *json = line + CHECKSUM;
    if (length < CHECKSUM + KEY_START + NC_JOURNAL_KEY || line[CHECKSUM - 1] != ' ')
        return false;
    snprintf(digits, sizeof digits, "%08" PRIx32, nc_crc32c(json, length - CHECKSUM));
    if (memcmp(digits, line, CHECKSUM - 1) != 0 || memcmp(json, "{\"key\":\"", KEY_START) != 0 ||
        strspn(json + KEY_START, "0123456789abcdef") != NC_JOURNAL_KEY - 1)
        return false;
    memcpy(key, json + KEY_START, NC_JOURNAL_KEY - 1);
    key[NC_JOURNAL_KEY - 1] = 0;
    return true;
}

static int read_all(struct nc_journal *journal, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = 0;
    int status = NC_OK;
    for (size_t number = 1; status == NC_OK; number++) {
        char key[NC_JOURNAL_KEY];
        length = getline(&line, &capacity, file);
        if (length <= 0 || line[length - 1] != '\n') /* the latter: killed while it wrote */
            break;
        size_t size = (size_t)length;
        if (number > 1 && size <= LONGEST_LINE && read_record(line, size - 1, key))
            status = remember(journal, key, journal->end + CHECKSUM, size - 1 - CHECKSUM);
        else if (number > 1 && !journal->damaged++)
            journal->first_damaged = number;
        journal->end += size;
    }
    /* What could not be read must not be cut away as unfinished. */
    if (status == NC_OK && (ferror(file) || (length < 0 && !feof(file))))
        status = nc_error(NC_FAILED, "%s: cannot read: %s", journal->path, strerror(errno));
    free(line);
    return status;
}

static int write_all(struct nc_journal *journal, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t count =
            pwrite(journal->descriptor, bytes + done, size - done, (off_t)(journal->end + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            int status = failed(journal, "write");
            (void)!ftruncate(journal->descriptor, (off_t)journal->end);
            return status;
        }
        done += (size_t)count;
    }
    journal->end += size;
    return NC_OK;
}

/* ---- Opening ------------------------------------------------------------------------ */

/* The heading, or an unfinished one; the file of somebody else must not be cut. */
static int check_heading(const struct nc_journal *journal)
{
    char start[HEADING];
    ssize_t count = pread(journal->descriptor, start, HEADING, 0);
    if (count < 0)
        return failed(journal, "read");
    if (memcmp(start, heading, (size_t)count) != 0)
        return nc_error(NC_BAD_INPUT,
                        "%s: no journal of nclip (its first line is another): name another file",
                        journal->path);
    return NC_OK;
}

static int load(struct nc_journal *journal)
{
    struct stat information;
    if (flock(journal->descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return nc_error(NC_FAILED, "%s: another process is writing there", journal->path);
    if (fstat(journal->descriptor, &information) != 0)
        return failed(journal, "read");
    if (!S_ISREG(information.st_mode))
        return nc_error(NC_BAD_INPUT, "%s: not a regular file: a journal must be one",
                        journal->path);
    int status = check_heading(journal);
    if (status != NC_OK)
        return status;

    int copy = fcntl(journal->descriptor, F_DUPFD_CLOEXEC, 0);
    FILE *file = copy >= 0 ? fdopen(copy, "rb") : NULL;
    if (!file) {
        status = failed(journal, "read");
        if (copy >= 0)
            close(copy);
        return status;
    }
    status = read_all(journal, file);
    fclose(file);
    if (status != NC_OK)
        return status;
    journal->cut = (size_t)information.st_size - journal->end;
    if (journal->cut && ftruncate(journal->descriptor, (off_t)journal->end) != 0)
        return failed(journal, "cut its unfinished record");
    return journal->end ? NC_OK : write_all(journal, heading, HEADING);
}

int nc_journal_open(const char *path, struct nc_journal **out)
{
    *out = NULL;
    struct nc_journal *journal = calloc(1, sizeof *journal);
    if (!journal || !(journal->path = strdup(path))) {
        free(journal);
        return nc_error(NC_FAILED, "%s: no memory", path);
    }
    journal->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int status = journal->descriptor < 0 ? failed(journal, "open") : NC_OK;
    if (status == NC_OK)
        status = nc_string_map_create(&journal->map);
    if (status == NC_OK)
        status = load(journal);
    if (status != NC_OK) {
        nc_journal_close(journal);
        return status;
    }
    *out = journal;
    return NC_OK;
}

void nc_journal_close(struct nc_journal *journal)
{
    if (!journal)
        return;
    if (journal->descriptor >= 0)
        close(journal->descriptor);
    for (struct block *block = journal->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    nc_string_map_destroy(journal->map);
    free(journal->path);
    free(journal);
}

/* ---- Using it ----------------------------------------------------------------------- */

int nc_journal_append(struct nc_journal *journal, const char *key, const cJSON *record)
{
    size_t present;
    if (nc_string_map_find(journal->map, key, &present))
        return NC_OK;
    char *members = cJSON_PrintUnformatted(record), *json = NULL, *line = NULL;
    int size = -1, length = -1;
    if (members)
        size = asprintf(&json, "{\"key\":\"%s\",%s", key, members + 1);
    cJSON_free(members);
    if (size >= 0)
        length = asprintf(&line, "%08" PRIx32 " %s\n", nc_crc32c(json, (size_t)size), json);
    if (size >= 0)
        free(json);
    if (length < 0)
        return nc_error(NC_FAILED, "%s: no memory for a record", journal->path);
    uint64_t start = journal->end + CHECKSUM;
    int status =
        length <= LONGEST_LINE
            ? write_all(journal, line, (size_t)length)
            : nc_error(NC_FAILED, "%s: a record of %d bytes is too long", journal->path, length);
    free(line);
    return status == NC_OK ? remember(journal, key, start, (size_t)size) : status;
}

int nc_journal_sync(struct nc_journal *journal)
{
    return fdatasync(journal->descriptor) == 0 || errno == EINVAL || errno == ENOTSUP
               ? NC_OK
               : failed(journal, "write");
}

int nc_journal_find(const struct nc_journal *journal, const char *key, cJSON **record)
{
    *record = NULL;
    size_t address;
    if (!nc_string_map_find(journal->map, key, &address))
        return NC_OK;
    const struct entry *entry = (const struct entry *)(uintptr_t)address;
    char *json = malloc(entry->size);
    if (!json)
        return nc_error(NC_FAILED, "%s: no memory for a record", journal->path);
    ssize_t count = pread(journal->descriptor, json, entry->size, (off_t)entry->offset);
    if (count == (ssize_t)entry->size)
        *record = nc_json_try(json, entry->size);
    free(json);
    return *record ? NC_OK
                   : nc_error(NC_FAILED, "%s: the record at byte %" PRIu64 " cannot be read",
                              journal->path, entry->offset);
}

size_t nc_journal_count(const struct nc_journal *journal)
{
    return nc_string_map_count(journal->map);
}

size_t nc_journal_damaged(const struct nc_journal *journal, size_t *first)
{
    *first = journal->first_damaged;
    return journal->damaged;
}

size_t nc_journal_cut(const struct nc_journal *journal)
{
    return journal->cut;
}
