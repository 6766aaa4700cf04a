/* Draws objects at random: from a list, or from the nouns of all captions. */
#include "parts.h"

#include "nclip/formats/text.h"
#include "nclip/negation/sentence.h"
#include "nclip/support/error.h"
#include "nclip/support/string_map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { LARGEST_LIST = 1 << 26, DRAWS = 32, OCCURRENCES = 2 };

uint64_t absence_chance(const struct absence *a, const char *purpose, size_t caption,
                        uint64_t number)
{
    const struct nc_caption *item = &a->captions.items[caption];
    const char *image = a->captions.images[item->image];
    uint64_t state = XXH3_64bits_withSeed(purpose, strlen(purpose), a->options->seed);
    state = XXH3_64bits_withSeed(item->text, strlen(item->text), state);
    state = XXH3_64bits_withSeed(image, strlen(image), state);
    return XXH3_64bits_withSeed(&number, sizeof number, state);
}

static int add_object(struct absence *a, const char *object, size_t *capacity)
{
    if (a->object_count == *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 256;
        char **objects = reallocarray(a->objects, larger, sizeof *objects);
        if (!objects)
            return nc_error(NC_FAILED, "no memory for a list of objects");
        a->objects = objects;
        *capacity = larger;
    }
    char *copy = strdup(object);
    if (!copy)
        return nc_error(NC_FAILED, "no memory for a list of objects");
    a->objects[a->object_count++] = copy;
    return NC_OK;
}

static int read_list(struct absence *a, const char *path)
{
    char *text, *clean;
    size_t size, length, capacity = 0;
    int status = nc_text_read(path, LARGEST_LIST, &text, &size);
    struct nc_lines lines = nc_lines_of(text, size);
    for (char *line; status == NC_OK && (line = nc_lines_cut(&lines, &length));) {
        if (nc_is_blank(line, length) || line[0] == '#')
            continue;
        enum nc_quality quality = nc_quality_object(NULL, "", line, false, &clean);
        status = quality == NC_QUALITY_GOOD
                     ? add_object(a, clean, &capacity)
                     : nc_error(NC_BAD_INPUT,
                                "%s line %zu: \"%.60s\" is no object of at most "
                                "three words",
                                path, lines.number, line);
        free(clean);
    }
    free(text);
    if (status == NC_OK && a->object_count == 0)
        status = nc_error(NC_BAD_INPUT, "%s: names no object", path);
    return status;
}

/* "a dog on", "a dog.": what stands alone between an article and a preposition, a form of "to be"
 * or the end is a noun; few English words but nouns can. */
static bool is_noun_at(const struct nc_words *words, size_t at)
{
    static const char articles[] = "a an\n";
    static const char behind[] = "on in at of with is are near by from under over behind beside "
                                 "next while that which who to inside outside through and\n";
    static const char vague[] = "group couple bunch lot pair number view side top front close row "
                                "piece part set variety few little kind type line way day night "
                                "time background bit large small very close-up stack pile\n";
    const char *word = words->items[at].text;
    return at > 0 && nc_words_in(articles, words->items[at - 1].text) && strlen(word) > 2 &&
           (at + 1 == words->count || (nc_words_in(behind, words->items[at + 1].text) &&
                                       strcmp(words->items[at + 1].text, "and") != 0)) &&
           !nc_words_in(vague, word) && !nc_words_in(nc_words_list("not_objects"), word) &&
           !nc_words_in(nc_words_list("function_words"), word);
}

/* Nouns that stand alone at least twice, or once in a small collection. */
static int find_nouns(struct absence *a)
{
    struct nc_string_map *map;
    size_t capacity = 0, count_capacity = 0, *counts = NULL;
    int status = nc_string_map_create(&map);
    for (size_t i = 0; i < a->captions.count && status == NC_OK; i++) {
        struct nc_words words;
        nc_words_split(a->captions.items[i].text, &words);
        for (size_t k = 0; k < words.count && status == NC_OK; k++) {
            size_t index;
            if (!is_noun_at(&words, k))
                continue;
            if (nc_string_map_find(map, words.items[k].text, &index)) {
                counts[index]++;
                continue;
            }
            status = add_object(a, words.items[k].text, &capacity);
            if (status == NC_OK && capacity != count_capacity) {
                size_t *larger = reallocarray(counts, capacity, sizeof *counts);
                if (!larger) {
                    status = nc_error(NC_FAILED, "no memory for a list of objects");
                    break;
                }
                counts = larger;
                count_capacity = capacity;
            }
            if (status == NC_OK) {
                counts[a->object_count - 1] = 1;
                status = nc_string_map_add(map, a->objects[a->object_count - 1],
                                           a->object_count - 1, &index);
            }
        }
    }
    size_t kept = 0, least = a->captions.count < 1000 ? 1 : OCCURRENCES;
    for (size_t i = 0; i < a->object_count && status == NC_OK; i++) {
        if (counts[i] >= least)
            a->objects[kept++] = a->objects[i];
        else
            free(a->objects[i]);
    }
    if (status == NC_OK)
        a->object_count = kept;
    nc_string_map_destroy(map);
    free(counts);
    if (status == NC_OK && kept == 0)
        status = nc_error(NC_BAD_INPUT,
                          "%s: no nouns were found in the captions: name a list with "
                          "--object-list",
                          a->options->captions);
    return status;
}

int absence_load_objects(struct absence *a)
{
    if (a->options->objects == NC_ABSENCE_MODEL)
        return NC_OK;
    return a->options->object_list ? read_list(a, a->options->object_list) : find_nouns(a);
}

void absence_free_objects(struct absence *a)
{
    for (size_t i = 0; i < a->object_count; i++)
        free(a->objects[i]);
    free(a->objects);
}

const char *absence_draw_object(const struct absence *a, size_t caption)
{
    for (size_t draw = 0; draw < DRAWS; draw++) {
        size_t index = absence_chance(a, "draw", caption, draw) % a->object_count;
        if (!nc_synonyms_mention(a->options->synonyms, a->captions.items[caption].text,
                                 a->objects[index]))
            return a->objects[index];
    }
    return NULL;
}
