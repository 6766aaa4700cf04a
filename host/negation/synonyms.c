/* Which words name the same thing. Lines of the list without a colon join words into a class;
 * lines with a colon put classes below another. */
#include "nclip/formats/text.h"
#include "nclip/negation/sentence.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_FILE = 1 << 24,
    PHRASE_WORDS = 3,
    PHRASE = PHRASE_WORDS * NC_WORD_LENGTH,
    DEPTH = 4
};

struct name {
    char *phrase; /* stems with a space between them */
    size_t class; /* index of another name of it; its own: this one stands for the class */
};

struct kind {
    size_t above, below;
};

struct nc_synonyms {
    struct name *names;
    size_t count, capacity;
    struct kind *kinds;
    size_t kind_count, kind_capacity;
    struct nc_string_map *map; /* phrase -> index */
};

static size_t class_of(const struct nc_synonyms *synonyms, size_t name)
{
    while (synonyms->names[name].class != name)
        name = synonyms->names[name].class;
    return name;
}

/* Words first .. first + count - 1; false when they do not fit. */
static bool join(const struct nc_words *words, size_t first, size_t count, char phrase[PHRASE])
{
    size_t length = 0;
    if (!count || count > PHRASE_WORDS || first + count > words->count)
        return false;
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(phrase + length, PHRASE - length, "%s%s", i ? " " : "",
                                   words->items[first + i].stem);
    return true;
}

static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    size_t larger = *capacity ? *capacity * 2 : 256;
    void *moved = reallocarray(array, larger, size);
    if (moved)
        *capacity = larger;
    return moved;
}

static int no_memory(void)
{
    return nc_error(NC_FAILED, "no memory for synonyms");
}

/* The index of what `text` names, added when it is new. */
static int find_or_add(struct nc_synonyms *synonyms, const char *where, const char *text,
                       size_t *index)
{
    struct nc_words words;
    char phrase[PHRASE];
    nc_words_split(text, &words);
    if (!join(&words, 0, words.count, phrase))
        return nc_error(NC_BAD_INPUT, "%s: \"%s\" is no word or phrase of at most %d words", where,
                        text, PHRASE_WORDS);
    if (nc_string_map_find(synonyms->map, phrase, index))
        return NC_OK;
    struct name *names = grow(synonyms->names, synonyms->count, &synonyms->capacity, sizeof *names);
    if (!names)
        return no_memory();
    synonyms->names = names;
    char *copy = strdup(phrase);
    if (!copy)
        return no_memory();
    names[synonyms->count] = (struct name){copy, synonyms->count};
    return nc_string_map_add(synonyms->map, copy, synonyms->count++, index);
}

static int add_line(struct nc_synonyms *synonyms, const char *where, char *line)
{
    char *colon = strchr(line, ':'), *rest = line, *word;
    size_t first, index;
    if (colon) {
        *colon = 0;
        rest = colon + 1;
    }
    word = colon ? line : strsep(&rest, ",");
    int status = find_or_add(synonyms, where, word, &first);
    while (status == NC_OK && (word = strsep(&rest, ","))) {
        status = find_or_add(synonyms, where, word, &index);
        if (status != NC_OK)
            break;
        if (!colon) {
            synonyms->names[class_of(synonyms, index)].class = class_of(synonyms, first);
            continue;
        }
        struct kind *kinds =
            grow(synonyms->kinds, synonyms->kind_count, &synonyms->kind_capacity, sizeof *kinds);
        if (!kinds)
            return no_memory();
        synonyms->kinds = kinds;
        kinds[synonyms->kind_count++] = (struct kind){first, index};
    }
    return status;
}

static int load(struct nc_synonyms *synonyms, const char *path, const char *text)
{
    struct nc_lines lines = nc_lines_of(text, strlen(text));
    size_t length;
    int status = NC_OK;
    for (const char *at; status == NC_OK && nc_lines_next(&lines, &at, &length);) {
        char where[512];
        snprintf(where, sizeof where, "%s line %zu", path, lines.number);
        if (nc_is_blank(at, length) || at[0] == '#')
            continue;
        char *line = strndup(at, length);
        status = line ? add_line(synonyms, where, line) : no_memory();
        free(line);
    }
    return status;
}

int nc_synonyms_load(const char *path, struct nc_synonyms **out)
{
    *out = NULL;
    char *text = NULL;
    size_t size;
    struct nc_synonyms *synonyms = calloc(1, sizeof *synonyms);
    if (!synonyms)
        return no_memory();
    int status = path ? nc_text_read(path, LARGEST_FILE, &text, &size) : NC_OK;
    if (status == NC_OK)
        status = nc_string_map_create(&synonyms->map);
    if (status == NC_OK)
        status = load(synonyms, path ? path : "built-in synonyms",
                      path ? text : nc_words_list("synonyms"));
    free(text);
    if (status != NC_OK) {
        nc_synonyms_destroy(synonyms);
        return status;
    }
    *out = synonyms;
    return NC_OK;
}

void nc_synonyms_destroy(struct nc_synonyms *synonyms)
{
    if (!synonyms)
        return;
    for (size_t i = 0; i < synonyms->count; i++)
        free(synonyms->names[i].phrase);
    free(synonyms->names);
    free(synonyms->kinds);
    nc_string_map_destroy(synonyms->map);
    free(synonyms);
}

/* ---- Finding an object in a caption -------------------------------------------------- */

/* Whether `below` is a kind of `above`; both are classes. */
static bool is_kind(const struct nc_synonyms *synonyms, size_t below, size_t above, int depth)
{
    if (depth == 0)
        return false;
    for (size_t i = 0; i < synonyms->kind_count; i++) {
        if (class_of(synonyms, synonyms->kinds[i].below) != below)
            continue;
        size_t next = class_of(synonyms, synonyms->kinds[i].above);
        if (next == above || is_kind(synonyms, next, above, depth - 1))
            return true;
    }
    return false;
}

static bool related(const struct nc_synonyms *synonyms, size_t a, size_t b)
{
    return a == b || is_kind(synonyms, a, b, DEPTH) || is_kind(synonyms, b, a, DEPTH);
}

static bool class_named(const struct nc_synonyms *synonyms, const struct nc_words *words,
                        size_t first, size_t count, size_t *class)
{
    char phrase[PHRASE];
    if (!join(words, first, count, phrase) || !nc_string_map_find(synonyms->map, phrase, class))
        return false;
    *class = class_of(synonyms, *class);
    return true;
}

/* "mailbox" and "mail box". */
static bool same_letters(const struct nc_words *a, size_t first, size_t count,
                         const struct nc_words *b)
{
    char left[PHRASE] = "", right[PHRASE] = "";
    size_t l = 0, r = 0;
    if (b->count > PHRASE_WORDS)
        return false;
    for (size_t i = 0; i < count; i++)
        l += (size_t)snprintf(left + l, sizeof left - l, "%s",
                              i + 1 < count ? a->items[first + i].text : a->items[first + i].stem);
    for (size_t i = 0; i < b->count; i++)
        r += (size_t)snprintf(right + r, sizeof right - r, "%s",
                              i + 1 < b->count ? b->items[i].text : b->items[i].stem);
    return strcmp(left, right) == 0;
}

bool nc_words_find(const struct nc_synonyms *synonyms, const struct nc_words *caption,
                   const struct nc_words *object, size_t from, size_t *first, size_t *last)
{
    size_t object_class = 0;
    if (!object->count)
        return false;
    const struct nc_word *head = &object->items[object->count - 1];
    bool known = synonyms && (class_named(synonyms, object, 0, object->count, &object_class) ||
                              class_named(synonyms, object, object->count - 1, 1, &object_class));
    for (size_t i = from; i < caption->count; i++) {
        for (size_t count = PHRASE_WORDS; count >= 1; count--) {
            size_t class;
            if (i + count > caption->count)
                continue;
            bool is_phrase = synonyms && class_named(synonyms, caption, i, count, &class);
            if ((known && is_phrase && related(synonyms, class, object_class)) ||
                same_letters(caption, i, count, object)) {
                *first = i;
                *last = i + count - 1;
                return true;
            }
        }
        if (strcmp(caption->items[i].stem, head->stem) == 0) {
            *first = *last = i;
            return true;
        }
    }
    return false;
}

bool nc_synonyms_mention(const struct nc_synonyms *synonyms, const char *caption,
                         const char *object)
{
    struct nc_words caption_words, object_words;
    size_t first, last;
    nc_words_split(caption, &caption_words);
    nc_words_split(object, &object_words);
    return nc_words_find(synonyms, &caption_words, &object_words, 0, &first, &last);
}
