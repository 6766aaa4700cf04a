/* Checks and takes apart the blocks of a prepared set. */
#include "set_open.h"

#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static int wrong(const struct nc_set *set, size_t b, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: damaged examples: block %zu: %s; remove the set and run nclip prepare "
                    "again",
                    set_shard_of(set, b)->path, b, what);
}

static int check_sum(const struct nc_set *set, size_t b, const struct set_entry_part *part,
                     const void *bytes)
{
    return XXH3_64bits(bytes, part->bytes) == part->sum ? NC_OK
                                                        : wrong(set, b, "its sum does not fit");
}

int nc_set_check_heads(const struct nc_set *set, size_t b, const void *bytes)
{
    return check_sum(set, b, &set->entries[b].heads, bytes);
}

int nc_set_check_body(const struct nc_set *set, size_t b, const void *bytes)
{
    return check_sum(set, b, &set->entries[b].body, bytes);
}

/* ---- heads ---- */

static int check_examples(const struct nc_set *set, size_t b, const struct nc_set_heads *heads)
{
    const struct set_entry *entry = &set->entries[b];
    size_t distractors = 0;
    for (size_t i = 0; i < heads->examples; i++) {
        if (heads->row[i] >= entry->rows)
            return wrong(set, b, "an example is of a row of another block");
        if (i &&
            (heads->row[i] < heads->row[i - 1] || (heads->row[i] == heads->row[i - 1] &&
                                                   heads->ordinal[i] <= heads->ordinal[i - 1])))
            return wrong(set, b, "its examples are not in order");
        if (heads->ordinal[i] >= set->description.info.captions)
            return wrong(set, b, "an example is of a caption that was not given");
        if (heads->counts[NC_TEXT_CAPTION][i] != 1)
            return wrong(set, b, "an example has not one caption");
        if (!heads->distractor || heads->distractor[i] == NC_SET_NO_ROW)
            continue;
        if (heads->distractor[i] >= set->description.info.store_rows)
            return wrong(set, b, "a distractor is no row of the store");
        distractors++;
    }
    return distractors == entry->distractors ? NC_OK
                                             : wrong(set, b, "its distractors are not as many");
}

static int check_texts(const struct nc_set *set, size_t b, const struct nc_set_heads *heads)
{
    size_t texts = 0, tokens = 0;
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++)
        for (size_t i = 0; heads->counts[role] && i < heads->examples; i++)
            texts += heads->counts[role][i];
    if (texts != heads->texts)
        return wrong(set, b, "its texts are not as many as its examples have");
    for (size_t i = 0; i < heads->texts; i++) {
        if (!heads->lengths[i] || heads->lengths[i] > set->description.info.context)
            return wrong(set, b, "a text is longer than the context, or empty");
        tokens += heads->lengths[i];
    }
    return tokens == heads->tokens ? NC_OK
                                   : wrong(set, b, "its tokens are not as many as its texts have");
}

int nc_set_decode_heads(const struct nc_set *set, size_t b, const void *bytes,
                        struct nc_set_heads *heads)
{
    const struct set_entry *entry = &set->entries[b];
    const struct nc_set_info *info = &set->description.info;
    size_t n = entry->examples;
    const uint8_t *at = bytes;
    *heads = (struct nc_set_heads){
        .examples = n, .texts = entry->texts, .tokens = entry->tokens, .ordinal = bytes};
    at += n * sizeof *heads->ordinal;
    if (info->has_distractors) {
        heads->distractor = (const void *)at;
        at += n * sizeof *heads->distractor;
    }
    heads->row = (const void *)at;
    at += n * sizeof *heads->row;
    heads->lengths = (const void *)at;
    at += entry->texts * sizeof *heads->lengths;
    for (unsigned role = 0; role < NC_TEXT_ROLES; role++) {
        if (!(info->roles >> role & 1))
            continue;
        heads->counts[role] = at;
        at += n;
    }
    int status = check_examples(set, b, heads);
    return status == NC_OK ? check_texts(set, b, heads) : status;
}

/* ---- body ---- */

int nc_set_decode_body(const struct nc_set *set, size_t b, const void *bytes, int32_t *tokens,
                       const void **distractors)
{
    const struct set_entry *entry = &set->entries[b];
    const struct nc_set_info *info = &set->description.info;
    size_t n = entry->tokens;
    uint32_t highest = 0;
    if (info->id_bytes == 2) {
        const uint16_t *ids = bytes;
        for (size_t i = 0; i < n; i++) {
            tokens[i] = ids[i];
            highest = ids[i] > highest ? ids[i] : highest;
        }
    } else {
        const uint32_t *ids = bytes;
        for (size_t i = 0; i < n; i++) {
            tokens[i] = (int32_t)ids[i];
            highest = ids[i] > highest ? ids[i] : highest;
        }
    }
    if (n && highest >= info->vocabulary)
        return wrong(set, b, "a token id is outside the vocabulary");
    if (distractors)
        *distractors = (const char *)bytes + set_round_up(n * info->id_bytes, SET_BODY_ALIGNMENT);
    return NC_OK;
}

/* ---- from the file ---- */

static int read_part(const struct nc_set *set, size_t b, const struct set_entry_part *part,
                     void *bytes)
{
    if (!part->bytes)
        return NC_OK;
    const char *path = set_shard_of(set, b)->path;
    int file = open(path, O_RDONLY | O_CLOEXEC), status = NC_OK;
    if (file < 0)
        return nc_error_read(path);
    for (size_t done = 0; done < part->bytes && status == NC_OK;) {
        ssize_t got = pread(file, (char *)bytes + done, part->bytes - done,
                            (off_t)(part->offset + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            status = wrong(set, b, "the file ends before it");
        else if (errno != EINTR)
            status = nc_error_read(path);
    }
    close(file);
    return status == NC_OK ? check_sum(set, b, part, bytes) : status;
}

int nc_set_read_heads(const struct nc_set *set, size_t b, void *bytes)
{
    return read_part(set, b, &set->entries[b].heads, bytes);
}

int nc_set_read_body(const struct nc_set *set, size_t b, void *bytes)
{
    return read_part(set, b, &set->entries[b].body, bytes);
}
