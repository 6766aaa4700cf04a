/* nclip info on a file of captions: counts, negation words, and where the captions come from. */
#include "info_captions.h"

#include "nclip/captions/captions.h"
#include "nclip/formats/json.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"
#include "nclip/support/string_map.h"
#include "nclip/support/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum group { BY_SOURCE, BY_PROMPT, BY_PHRASING, BY_WORD, BY_OBJECT, GROUPS };

static const char *const titles[GROUPS] = {"from", "prompts", "phrasings", "negation words",
                                           "objects"};
static const char *const keys[GROUPS] = {"sources", "prompts", "phrasings", "by_word", "objects"};

struct tally {
    struct nc_string_map *map; /* name -> index */
    struct entry {
        char *name;
        size_t count;
    } * items;
    size_t count, capacity;
};

/* What captions carry, beside texts of the roles. */
enum { DISTRACTOR = NC_TEXT_ROLES, ORIGINAL, ROLES };

struct description {
    struct nc_captions captions;
    struct tally tallies[GROUPS];
    size_t negated /* hold a negation word */, denials, words, most_words;
    size_t roles[ROLES]; /* have one of that role */
};

static int add(struct tally *tally, const char *name)
{
    size_t index;
    int status = tally->map ? NC_OK : nc_string_map_create(&tally->map);
    if (status != NC_OK)
        return status;
    if (nc_string_map_find(tally->map, name, &index)) {
        tally->items[index].count++;
        return NC_OK;
    }
    if (tally->count == tally->capacity) {
        size_t larger = tally->capacity ? tally->capacity * 2 : 64;
        struct entry *items = reallocarray(tally->items, larger, sizeof *items);
        if (!items)
            return nc_error(NC_FAILED, "no memory for the description");
        tally->items = items;
        tally->capacity = larger;
    }
    char *copy = strdup(name);
    if (!copy)
        return nc_error(NC_FAILED, "no memory for the description");
    tally->items[tally->count] = (struct entry){copy, 1};
    return nc_string_map_add(tally->map, copy, tally->count++, &index);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item =
        cJSON_IsObject(object) ? nc_json_member(object, name) : NULL;
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* "absence, text model a, vision model b" */
static int add_source(struct description *d, const cJSON *source)
{
    const char *pipeline = text_of(source, "pipeline"), *rewriter = text_of(source, "rewriter");
    const char *text = text_of(source, "text_model"), *vision = text_of(source, "vision_model");
    char *name = NULL;
    if (!pipeline)
        return add(&d->tallies[BY_SOURCE], source ? "a source of another kind" : "no source named");
    bool unchecked = strcmp(pipeline, "absence") == 0 && !vision;
    if (asprintf(&name, "%s%s%s%s%s%s%s%s", pipeline, rewriter ? " by " : "",
                 rewriter ? rewriter : "", text ? ", text model " : "", text ? text : "",
                 vision ? ", vision model " : "", vision ? vision : "",
                 unchecked ? ", not checked by a vision model" : "") < 0)
        return nc_error(NC_FAILED, "no memory for the description");
    int status = add(&d->tallies[BY_SOURCE], name);
    free(name);
    return status;
}

static int visit(void *context, const char *where, const cJSON *object)
{
    struct description *d = context;
    const cJSON *source = nc_json_member(object, "source"), *prompt;
    const char *phrasing = text_of(source, "phrasing"), *thing = text_of(source, "object");
    (void)where;
    int status = add_source(d, source);
    if (status == NC_OK && phrasing)
        status = add(&d->tallies[BY_PHRASING], phrasing);
    if (status == NC_OK && thing)
        status = add(&d->tallies[BY_OBJECT], thing);
    const cJSON *prompts =
        cJSON_IsObject(source) ? nc_json_member(source, "prompts") : NULL;
    cJSON_ArrayForEach(prompt, prompts)
    {
        char name[96];
        if (!cJSON_IsString(prompt) || !prompt->string || status != NC_OK)
            continue;
        snprintf(name, sizeof name, "%.60s %.30s", prompt->string, prompt->valuestring);
        status = add(&d->tallies[BY_PROMPT], name);
    }
    return status;
}

/* The member of JSONL. */
static const char *role_name(int role)
{
    return role == DISTRACTOR ? "distractor"
           : role == ORIGINAL ? "original"
                              : nc_text_role_name((enum nc_text_role)role);
}

static void count_roles(struct description *d, const struct nc_caption *caption)
{
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++) {
        size_t count;
        (void)nc_caption_texts(caption, (enum nc_text_role)role, &count);
        d->roles[role] += count > 0;
    }
    d->roles[DISTRACTOR] += caption->distractor != NC_NO_PICTURE;
    d->roles[ORIGINAL] += caption->original != NULL;
}

static int count_words(struct description *d)
{
    int status = NC_OK;
    for (size_t i = 0; i < d->captions.count && status == NC_OK; i++) {
        const char *text = d->captions.items[i].text;
        size_t length = strlen(text), words = 0;
        struct nc_negation_match match = {0};
        for (const char *at = text; *(at += strspn(at, " \t\r\n")); at += strcspn(at, " \t\r\n"))
            words++;
        d->words += words;
        d->most_words = words > d->most_words ? words : d->most_words;
        count_roles(d, &d->captions.items[i]);
        d->negated += nc_negation_find(text, length, 0, &match);
        match.end = 0;
        bool denies = false;
        while (status == NC_OK && nc_denial_find(text, length, match.end, &match)) {
            denies = true;
            status = add(&d->tallies[BY_WORD], nc_negation_word(match.word));
        }
        d->denials += denies;
    }
    return status;
}

static int compare(const void *a, const void *b)
{
    const struct entry *first = a, *second = b;
    if (first->count != second->count)
        return first->count < second->count ? 1 : -1;
    return strcmp(first->name, second->name);
}

static void print_tally(const char *title, const struct tally *tally, bool lines)
{
    enum { SHOWN = 8 };
    if (!tally->count)
        return;
    printf("  %-15s", title);
    if (!lines && tally->count > SHOWN)
        printf(" %zu different:", tally->count);
    for (size_t i = 0; i < tally->count && (lines || i < SHOWN); i++) {
        if (lines)
            printf("%s %zu ", i ? "                 " : "", tally->items[i].count);
        else
            printf("%s ", i ? "," : "");
        nc_terminal_print(stdout, tally->items[i].name);
        if (lines)
            printf("\n");
        else
            printf(" %zu", tally->items[i].count);
    }
    if (!lines)
        printf("%s\n", tally->count > SHOWN ? ", ..." : "");
}

static void print(const char *path, const struct description *d)
{
    size_t count = d->captions.count, pictures = d->captions.image_count;
    printf("%s: %zu caption%s of %zu picture%s\n\n", path, count, count == 1 ? "" : "s", pictures,
           pictures == 1 ? "" : "s");
    printf("  deny something  %zu (%.1f%%)\n", d->denials,
           100 * (double)d->denials / (double)count);
    if (d->negated > d->denials)
        printf("  negation words  in %zu: \"No. 5\", \"not only\" and their like deny nothing\n",
               d->negated);
    for (int i = NC_TEXT_CAPTION + 1; i < ROLES; i++)
        if (d->roles[i])
            printf("  %-15s %zu\n", role_name(i), d->roles[i]);
    printf("  words           %.1f in the mean, at most %zu\n", (double)d->words / (double)count,
           d->most_words);
    for (int group = 0; group < GROUPS; group++)
        print_tally(titles[group], &d->tallies[group], group == BY_SOURCE || group == BY_PROMPT);
}

static int print_json(const char *path, const struct description *d)
{
    double count = (double)d->captions.count;
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddStringToObject(root, "kind", "captions") &&
                cJSON_AddStringToObject(root, "file", path) &&
                cJSON_AddNumberToObject(root, "captions", count) &&
                cJSON_AddNumberToObject(root, "pictures", (double)d->captions.image_count) &&
                cJSON_AddNumberToObject(root, "negated", (double)d->negated) &&
                cJSON_AddNumberToObject(root, "fraction", (double)d->negated / count) &&
                cJSON_AddNumberToObject(root, "denials", (double)d->denials) &&
                cJSON_AddNumberToObject(root, "contradictions", (double)d->roles[NC_TEXT_CONTRADICTION]) &&
                cJSON_AddNumberToObject(root, "words_mean", (double)d->words / count) &&
                cJSON_AddNumberToObject(root, "words_most", (double)d->most_words);
    cJSON *counts = made ? cJSON_AddObjectToObject(root, "roles") : NULL;
    for (int i = NC_TEXT_CAPTION + 1; i < ROLES && counts; i++)
        made = made && (!d->roles[i] ||
                        cJSON_AddNumberToObject(counts, role_name(i), (double)d->roles[i]));
    made = made && counts;
    for (int group = 0; group < GROUPS && made; group++) {
        const struct tally *tally = &d->tallies[group];
        cJSON *object = cJSON_AddObjectToObject(root, keys[group]);
        made = object != NULL;
        for (size_t i = 0; i < tally->count && made; i++)
            made = cJSON_AddNumberToObject(object, tally->items[i].name,
                                           (double)tally->items[i].count);
    }
    return nc_json_print(stdout, root, made);
}

int info_captions(const char *path, bool json)
{
    struct description d = {0};
    int status = nc_captions_load_visiting(path, &d.captions, visit, &d);
    if (status == NC_OK)
        status = count_words(&d);
    for (int group = 0; group < GROUPS && status == NC_OK; group++) {
        if (d.tallies[group].count)
            qsort(d.tallies[group].items, d.tallies[group].count, sizeof *d.tallies[group].items,
                  compare);
    }
    if (status == NC_OK && json)
        status = print_json(path, &d);
    else if (status == NC_OK)
        print(path, &d);
    for (int group = 0; group < GROUPS; group++) {
        for (size_t i = 0; i < d.tallies[group].count; i++)
            free(d.tallies[group].items[i].name);
        free(d.tallies[group].items);
        nc_string_map_destroy(d.tallies[group].map);
    }
    nc_captions_free(&d.captions);
    return status;
}
