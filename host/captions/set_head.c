/* Packs, reads and checks the head and the table of a shard of a prepared set. */
#include "set_format.h"

#include "nclip/formats/msgpack.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are written as they lie in memory");

static const char format_name[] = "nclip examples";

const char *nc_text_role_name(enum nc_text_role role)
{
    static const char *const names[NC_TEXT_ROLES] = {
        [NC_TEXT_CAPTION] = "caption",
        [NC_TEXT_CONTRADICTION] = "contradiction",
        [NC_TEXT_ABSENCE] = "absence",
        [NC_TEXT_PARAPHRASE] = "paraphrase",
        [NC_TEXT_CHOICES] = "choices",
    };
    return names[role];
}

char *set_shard_path(const char *folder, size_t number)
{
    char name[48];
    snprintf(name, sizeof name, "examples-%06zu.set", number);
    return nc_path_join(folder, name);
}

uint64_t set_heads_bytes(const struct nc_set_shard_head *head, const struct set_entry *entry)
{
    uint64_t example = 8 + (head->row_bytes ? 8 : 0) + 4 + set_role_count(head->roles);
    return entry->examples * example + 2 * entry->texts;
}

uint64_t set_body_bytes(const struct nc_set_shard_head *head, const struct set_entry *entry)
{
    uint64_t ids = entry->tokens * head->id_bytes;
    if (!entry->distractors)
        return ids;
    return set_round_up(ids, SET_BODY_ALIGNMENT) + entry->distractors * head->row_bytes;
}

/* ---- the head ---- */

enum field { VERSION, SHARD, FIRST_BLOCK, BLOCKS, FIRST_ROW, ROLES, ID_BYTES, ROW_BYTES,
             TABLE_OFFSET, FIELDS };
static const char *const field_names[FIELDS] = {"version",   "shard", "first_block",
                                                "blocks",    "first_row", "roles",
                                                "id_bytes",  "row_bytes", "table_offset"};

static int pack_text(msgpack_packer *packer, const char *text)
{
    int failed = msgpack_pack_str(packer, strlen(text));
    return failed | msgpack_pack_str_body(packer, text, strlen(text));
}

int set_pack_head(const struct nc_set_shard_head *head, void **bytes, size_t *table_offset)
{
    uint64_t values[FIELDS] = {[VERSION] = SET_VERSION,
                               [SHARD] = head->number,
                               [FIRST_BLOCK] = head->first_block,
                               [BLOCKS] = head->blocks,
                               [FIRST_ROW] = head->first_row,
                               [ROLES] = head->roles,
                               [ID_BYTES] = head->id_bytes,
                               [ROW_BYTES] = head->row_bytes,
                               [TABLE_OFFSET] = 256}; /* the longest head has 180 bytes or so */
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    int failed = msgpack_pack_map(&packer, FIELDS + 1);
    failed |= pack_text(&packer, "format") | pack_text(&packer, format_name);
    for (size_t i = 0; i < FIELDS; i++) {
        failed |= pack_text(&packer, field_names[i]);
        failed |= msgpack_pack_uint64(&packer, values[i]);
    }
    *table_offset = values[TABLE_OFFSET];
    *bytes = failed || buffer.size > *table_offset ? NULL : calloc(1, *table_offset);
    if (*bytes)
        memcpy(*bytes, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return *bytes ? NC_OK : nc_error(NC_FAILED, "examples: no memory");
}

static int wrong(const char *path, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged examples: %s; remove the set and run nclip prepare again", path,
                    what);
}

static int wrong_block(const char *path, size_t block, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged examples: block %zu: %s; remove the set and run nclip prepare "
                    "again",
                    path, block, what);
}

static int parse_head(const char *path, const uint8_t *bytes, size_t size,
                      struct nc_set_shard_head *head, uint64_t *table_offset)
{
    struct nc_msgpack in = {bytes, bytes + size, false};
    struct nc_msgpack_text name, format;
    uint64_t count, values[FIELDS] = {0};
    unsigned seen = 0;
    if (!nc_msgpack_map(&in, &count) || count != FIELDS + 1)
        return wrong(path, "its head is not one of a shard");
    for (uint64_t i = 0; i < count; i++) {
        unsigned field = 0;
        bool good = nc_msgpack_text(&in, &name);
        if (good && nc_msgpack_is(&name, "format")) {
            good = nc_msgpack_text(&in, &format) && nc_msgpack_is(&format, format_name);
            field = FIELDS;
        } else {
            while (good && field < FIELDS && !nc_msgpack_is(&name, field_names[field]))
                field++;
            good = good && field < FIELDS && nc_msgpack_number(&in, &values[field]);
        }
        if (!good || (seen >> field & 1))
            return wrong(path, "its head is not one of a shard");
        seen |= 1u << field;
    }
    if (values[VERSION] != SET_VERSION)
        return nc_error(NC_BAD_INPUT,
                        "%s: examples of format version %llu, but this program reads %d", path,
                        (unsigned long long)values[VERSION], SET_VERSION);
    *table_offset = values[TABLE_OFFSET];
    if (*table_offset % 8 || *table_offset > SET_HEAD_LIMIT ||
        *table_offset < (uint64_t)(in.at - bytes) || values[ROLES] >> NC_TEXT_ROLES ||
        !(values[ROLES] & 1u << NC_TEXT_CAPTION) ||
        (values[ID_BYTES] != 2 && values[ID_BYTES] != 4) || values[ROW_BYTES] > UINT32_MAX)
        return wrong(path, "its head says what cannot be");
    *head = (struct nc_set_shard_head){.number = values[SHARD],
                                       .first_block = values[FIRST_BLOCK],
                                       .blocks = values[BLOCKS],
                                       .first_row = values[FIRST_ROW],
                                       .roles = (unsigned)values[ROLES],
                                       .id_bytes = values[ID_BYTES],
                                       .row_bytes = values[ROW_BYTES]};
    return NC_OK;
}

/* ---- the table ---- */

/* Where each section lies follows from the sizes: nothing is left to say that could be a lie. */
static int check_table(const char *path, const struct nc_set_shard_head *head,
                       const struct set_entry *entries, uint64_t start, uint64_t file_size)
{
    uint64_t at = set_round_up(start, NC_SET_ALIGNMENT), row = head->first_row;
    for (size_t i = 0; i < head->blocks; i++) {
        const struct set_entry *e = &entries[i];
        size_t block = head->first_block + i;
        if (e->first_row != row || !e->rows || e->rows > UINT32_MAX)
            return wrong_block(path, block, "its rows are not those behind the last block's");
        row += e->rows;
        if (e->examples > UINT32_MAX || e->texts < e->examples ||
            e->texts > e->examples * NC_TEXT_ROLES * NC_SET_MOST_TEXTS || e->tokens < e->texts ||
            e->tokens > e->texts * NC_SET_LONGEST || e->distractors > e->examples ||
            (e->distractors && !head->row_bytes))
            return wrong_block(path, block, "its counts cannot be");
        if (e->heads.bytes != set_heads_bytes(head, e) || e->body.bytes != set_body_bytes(head, e))
            return wrong_block(path, block, "its sizes do not fit its counts");
        if (e->heads.offset != at || e->heads.bytes > file_size ||
            e->body.offset != (at += set_round_up(e->heads.bytes, NC_SET_ALIGNMENT)) ||
            e->body.bytes > file_size)
            return wrong_block(path, block, "it does not lie where it should");
        at += set_round_up(e->body.bytes, NC_SET_ALIGNMENT);
        if (at > file_size)
            return wrong_block(path, block, "the file ends before it");
    }
    return at == file_size ? NC_OK : wrong(path, "its size does not fit its head");
}

/* All of bytes[size] from `offset`. */
static int read_at(const char *path, int file, void *bytes, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(file, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return nc_error_read(path);
        if (got == 0)
            return wrong(path, "it is cut off");
        done += (size_t)got;
    }
    return NC_OK;
}

static int read_open_shard(const char *path, int file, struct nc_set_shard_head *head,
                           struct set_entry **out, uint64_t *sum)
{
    uint8_t bytes[SET_HEAD_LIMIT];
    struct stat information;
    uint64_t table_offset = 0;
    if (fstat(file, &information) != 0)
        return nc_error_read(path);
    uint64_t size = S_ISREG(information.st_mode) ? (uint64_t)information.st_size : 0;
    size_t before = size < sizeof bytes ? (size_t)size : sizeof bytes;
    int status = read_at(path, file, bytes, before, 0);
    if (status == NC_OK)
        status = parse_head(path, bytes, before, head, &table_offset);
    if (status != NC_OK)
        return status;
    if (table_offset > size || !head->blocks ||
        head->blocks > (size - table_offset) / sizeof **out ||
        size - table_offset - head->blocks * sizeof **out < SET_SUM_BYTES)
        return wrong(path, "it is shorter than its table");
    size_t table = head->blocks * sizeof **out;
    struct set_entry *entries = malloc(table + SET_SUM_BYTES);
    if (!entries)
        return nc_error(NC_FAILED, "%s: no memory", path);
    status = read_at(path, file, entries, table + SET_SUM_BYTES, table_offset);
    if (status == NC_OK) {
        XXH3_state_t state;
        XXH3_INITSTATE(&state);
        XXH3_64bits_reset(&state);
        XXH3_64bits_update(&state, bytes, table_offset);
        XXH3_64bits_update(&state, entries, table);
        memcpy(sum, (char *)entries + table, sizeof *sum);
        if (XXH3_64bits_digest(&state) != *sum)
            status = wrong(path, "the sum of its head does not fit");
    }
    if (status == NC_OK)
        status = check_table(path, head, entries, table_offset + table + SET_SUM_BYTES, size);
    if (status == NC_OK)
        *out = entries;
    else
        free(entries);
    return status;
}

int set_read_shard(const char *path, struct nc_set_shard_head *head, struct set_entry **entries,
                   uint64_t *sum)
{
    *entries = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return nc_error_read(path);
    int status = read_open_shard(path, file, head, entries, sum);
    close(file);
    return status;
}
