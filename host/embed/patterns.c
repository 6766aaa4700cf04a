/* Expands braces, then wildcards. */
#include "patterns.h"

#include "nclip/support/error.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More digits than a number of files has; and a number of them fits into size_t. */
enum { MOST_DIGITS = 18 };

/* One brace, without its braces: a range, or a list of texts. */
struct brace {
    const char *text, *end;
    bool range;
    unsigned long long first, last;
    int digits; /* of each number; 0: as many as it takes */
};

static int no_memory(const char *pattern)
{
    return nc_error(NC_FAILED, "%s: no memory for its paths", pattern);
}

int embed_paths_add(struct embed_paths *paths, const char *pattern, const char *path)
{
    if (paths->count == EMBED_MOST_SOURCES)
        return nc_error(NC_USAGE, "--images %s: more than %d paths", pattern, EMBED_MOST_SOURCES);
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity ? 2 * paths->capacity : 64;
        char **larger = reallocarray(paths->items, capacity, sizeof *larger);
        if (!larger)
            return no_memory(pattern);
        paths->items = larger;
        paths->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return no_memory(pattern);
    paths->items[paths->count++] = copy;
    return NC_OK;
}

void embed_paths_free(struct embed_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->items[i]);
    free(paths->items);
    *paths = (struct embed_paths){0};
}

/* ---- wildcards ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A path whose braces are gone. */
static int add_matching(struct embed_paths *paths, const char *pattern, const char *path)
{
    if (!strpbrk(path, "*?[") || access(path, F_OK) == 0)
        return embed_paths_add(paths, pattern, path);
    glob_t found;
    int status = NC_OK, result = glob(path, GLOB_NOSORT, NULL, &found);
    if (result == GLOB_NOMATCH)
        return nc_error(NC_BAD_INPUT, "--images %s: matches no file", path);
    if (result == GLOB_NOSPACE)
        return no_memory(pattern);
    if (result != 0)
        return nc_error(NC_FAILED, "--images %s: cannot read the folder", path);
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, compare);
    for (size_t i = 0; i < found.gl_pathc && status == NC_OK; i++)
        status = embed_paths_add(paths, pattern, found.gl_pathv[i]);
    globfree(&found);
    return status;
}

/* ---- braces ---- */

/* Reads a whole number at *at, which moves behind it; its digits, or 0 where there is none. */
static int read_number(const char **at, const char *end, unsigned long long *number)
{
    const char *start = *at;
    *number = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *at - start <= MOST_DIGITS)
        *number = *number * 10 + (unsigned long long)(*(*at)++ - '0');
    return (int)(*at - start);
}

/* "00000..41454"; false: no range. */
static bool read_range(struct brace *brace)
{
    const char *at = brace->text, *first = at;
    int digits = read_number(&at, brace->end, &brace->first);
    if (!digits || digits > MOST_DIGITS || brace->end - at < 2 || at[0] != '.' || at[1] != '.')
        return false;
    at += 2;
    const char *last = at;
    int last_digits = read_number(&at, brace->end, &brace->last);
    if (!last_digits || last_digits > MOST_DIGITS || at != brace->end)
        return false;
    bool padded = (*first == '0' && digits > 1) || (*last == '0' && last_digits > 1);
    brace->digits = !padded ? 0 : digits > last_digits ? digits : last_digits;
    return true;
}

/* The first brace of `rest`, or none (text NULL). */
static int find_brace(const char *pattern, const char *rest, struct brace *brace)
{
    *brace = (struct brace){0};
    const char *open = strchr(rest, '{');
    if (!open)
        return NC_OK;
    const char *close = open + 1 + strcspn(open + 1, "{}");
    if (*close != '}')
        return nc_error(NC_USAGE,
                        "--images %s: \"%.40s\" is not closed: write {00000..41454} or {a,b}",
                        pattern, open);
    brace->text = open + 1;
    brace->end = close;
    brace->range = read_range(brace);
    if (!brace->range && !memchr(brace->text, ',', (size_t)(close - brace->text)))
        return nc_error(NC_USAGE,
                        "--images %s: {%.*s} is neither a range of whole numbers, {00000..41454}, "
                        "nor a list, {a,b}",
                        pattern, (int)(close - brace->text < 40 ? close - brace->text : 40),
                        brace->text);
    return NC_OK;
}

static int expand(struct embed_paths *paths, const char *pattern, const char *done,
                  const char *rest);

/* `done`, what is before the brace, one of its texts; then what is behind it. */
static int expand_one(struct embed_paths *paths, const char *pattern, const char *done,
                      const char *rest, const struct brace *brace, const char *text, int length)
{
    char *longer;
    if (asprintf(&longer, "%s%.*s%.*s", done, (int)(brace->text - 1 - rest), rest, length, text) <
        0)
        return no_memory(pattern);
    int status = expand(paths, pattern, longer, brace->end + 1);
    free(longer);
    return status;
}

static int expand_range(struct embed_paths *paths, const char *pattern, const char *done,
                        const char *rest, const struct brace *brace)
{
    char text[MOST_DIGITS + 2];
    bool up = brace->first <= brace->last;
    unsigned long long steps = up ? brace->last - brace->first : brace->first - brace->last;
    for (unsigned long long i = 0; i <= steps; i++) {
        int length = snprintf(text, sizeof text, "%0*llu", brace->digits,
                              up ? brace->first + i : brace->first - i);
        int status = expand_one(paths, pattern, done, rest, brace, text, length);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int expand_list(struct embed_paths *paths, const char *pattern, const char *done,
                       const char *rest, const struct brace *brace)
{
    for (const char *at = brace->text;; at++) {
        const char *comma = memchr(at, ',', (size_t)(brace->end - at));
        const char *end = comma ? comma : brace->end;
        int status = expand_one(paths, pattern, done, rest, brace, at, (int)(end - at));
        if (status != NC_OK || !comma)
            return status;
        at = comma;
    }
}

static int expand(struct embed_paths *paths, const char *pattern, const char *done,
                  const char *rest)
{
    struct brace brace;
    int status = find_brace(pattern, rest, &brace);
    if (status != NC_OK)
        return status;
    if (brace.range)
        return expand_range(paths, pattern, done, rest, &brace);
    if (brace.text)
        return expand_list(paths, pattern, done, rest, &brace);
    char *path;
    if (asprintf(&path, "%s%s", done, rest) < 0)
        return no_memory(pattern);
    status = add_matching(paths, pattern, path);
    free(path);
    return status;
}

/* Refuses too many before any is made. */
static int count_paths(const char *pattern)
{
    unsigned long long count = 1;
    struct brace brace;
    for (const char *rest = pattern;; rest = brace.end + 1) {
        int status = find_brace(pattern, rest, &brace);
        if (status != NC_OK || !brace.text)
            return status;
        unsigned long long texts = 1;
        if (brace.range)
            texts += brace.first < brace.last ? brace.last - brace.first : brace.first - brace.last;
        else
            for (const char *at = brace.text; at < brace.end; at++)
                texts += *at == ',';
        if (texts > EMBED_MOST_SOURCES || count > EMBED_MOST_SOURCES / texts)
            return nc_error(NC_USAGE, "--images %s: more than %d paths", pattern,
                            EMBED_MOST_SOURCES);
        count *= texts;
    }
}

int embed_expand(const char *pattern, struct embed_paths *paths)
{
    if (strcmp(pattern, "-") == 0 || access(pattern, F_OK) == 0)
        return embed_paths_add(paths, pattern, pattern);
    int status = count_paths(pattern);
    return status == NC_OK ? expand(paths, pattern, "", pattern) : status;
}
