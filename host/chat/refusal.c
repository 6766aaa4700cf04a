/* Reads which member of a request a server refuses, and what it wants instead. */
#include "refusal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has(const char *text, const char *const pieces[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasestr(text, pieces[i]))
            return true;
    return false;
}
#define HAS(text, ...)                                                                             \
    has(text, (const char *const[]){__VA_ARGS__},                                                  \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool is_name_part(char character)
{
    return isalnum((unsigned char)character) || character == '_';
}

/* ---- Which member it means --------------------------------------------------------------------- */

static bool says_refused(const char *text)
{
    return HAS(text, "support", "recogni", "unknown", "unexpected", "permitted", "allowed",
               "available", "invalid", "must ", "should ", "only ", "deprecat", "extra", "both",
               "out of range", "too large", "too small", "too high", "too low", "not valid",
               "forbid", "expected", "cannot", "can't", "exceed", "incompatible", "illegal",
               "unrecognised", "not implemented", "remove", "minimum", "maximum", "reject");
}

/* Where `text` speaks of the member: as a whole word, and where the name is an English word too
 * ("stop", "seed"), in quotes or where a name is expected. */
static const char *find_name(const char *text, const char *name)
{
    static const char *const heralds[] = {"parameter",  "parameters", "argument", "arguments",
                                          "field",      "fields",     "property", "key",
                                          "option",     "supplied",   "invalid",  "unsupported",
                                          "unknown",    "value",      "for",      "input",
                                          "setting",    "support",    "supports"};
    size_t length = strlen(name);
    for (const char *at = text; (at = strcasestr(at, name)); at += length) {
        char before = at > text ? at[-1] : 0, behind = at[length];
        if (is_name_part(before) || is_name_part(behind))
            continue;
        if (strchr(name, '_') || at == text || (before && strchr("'\"`[(./", before)))
            return at;
        const char *end = at;
        while (end > text && strchr(" :", end[-1]))
            end--;
        if (end > text && strchr(".;,!", end[-1])) /* a sentence begins */
            return at;
        for (size_t i = 0; i < sizeof heralds / sizeof *heralds && end > text; i++) {
            size_t herald = strlen(heralds[i]);
            if ((size_t)(end - text) >= herald &&
                strncasecmp(end - herald, heralds[i], herald) == 0)
                return at;
        }
    }
    return NULL;
}

static bool is_parameter(const cJSON *member)
{
    return strcmp(member->string, "model") != 0 && strcmp(member->string, "messages") != 0;
}

/* The member that the server names apart from its words, as "param" or as a path. */
static cJSON *named_member(cJSON *sent, const char *names)
{
    char copy[256], *rest = copy, *name;
    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strsep(&rest, " "))) {
        char *last = name;
        for (char *at = name; *at; at++)
            if (strchr("./", *at) && at[1])
                last = at + 1;
        cJSON *member = cJSON_GetObjectItem(sent, last);
        if (member && is_parameter(member))
            return member;
    }
    return NULL;
}

/* The member that the words speak of: the first one, or the last where one too many is given. */
static cJSON *spoken_member(cJSON *sent, const char *text)
{
    bool one_too_many = HAS(text, "both", "only one", "either");
    const char *found_at = NULL;
    cJSON *member, *found = NULL;
    if (!says_refused(text))
        return NULL;
    cJSON_ArrayForEach(member, sent)
    {
        const char *at = is_parameter(member) ? find_name(text, member->string) : NULL;
        if (at && (!found || (one_too_many ? at > found_at : at < found_at))) {
            found = member;
            found_at = at;
        }
    }
    return found;
}

/* Members inside of messages that no picture needs. */
static bool means_detail(const struct chat_complaint *complaint)
{
    size_t length = strlen(complaint->names);
    return strstr(complaint->names, ".detail ") ||
           (length >= 7 && strcmp(complaint->names + length - 7, "detail ") == 0) ||
           (strstr(complaint->text, "detail") && strstr(complaint->text, "image_url") &&
            HAS(complaint->text, "not permitted", "unknown", "unexpected", "not support"));
}

static bool means_system(cJSON *sent, const struct chat_complaint *complaint)
{
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(sent, "messages"), 0);
    const cJSON *role = cJSON_GetObjectItem(first, "role");
    if (!cJSON_IsString(role) || strcmp(role->valuestring, "system") != 0)
        return false;
    return HAS(complaint->text, "system") ? HAS(complaint->text, "role", "message", "instruction",
                                                "prompt") &&
                                                says_refused(complaint->text)
                                          : HAS(complaint->text, "roles must alternate");
}

/* ---- What it wants instead ----------------------------------------------------------------------- */

static bool read_number(const char **at, double *number)
{
    char *end;
    while (**at == ' ')
        ++*at;
    if (!isdigit((unsigned char)**at) && !(strchr("-+.", **at) && **at))
        return false;
    *number = strtod(*at, &end);
    bool read = end != *at && isfinite(*number);
    *at = end;
    return read;
}

/* "[0, 1]", "(0.0, 2.0)", "between 0 and 2", "from 0 to 1" */
static bool read_range(const char *text, double step, double *least, double *most)
{
    static const char *const begin[] = {"between ", "from "}, *const middle[] = {"and", "to"};
    for (const char *at = text; (at = strpbrk(at, "[(")); at++) {
        const char *next = at + 1;
        double a, b;
        if (!read_number(&next, &a) || *next != ',')
            continue;
        next++;
        if (!read_number(&next, &b) || !(*next == ']' || *next == ')'))
            continue;
        *least = *at == '(' ? a + step : a;
        *most = *next == ')' ? b - step : b;
        return true;
    }
    for (size_t i = 0; i < 2; i++) {
        const char *at = strcasestr(text, begin[i]);
        if (!at)
            continue;
        at += strlen(begin[i]);
        if (!read_number(&at, least))
            continue;
        at += strspn(at, " ");
        if (strncasecmp(at, middle[i], strlen(middle[i])) != 0)
            continue;
        at += strlen(middle[i]);
        if (read_number(&at, most))
            return true;
    }
    return false;
}

bool chat_refusal_bounds(const char *text, double step, double *least, double *most)
{
    enum { LOW, ABOVE, HIGH, BELOW, EXACT };
    static const struct {
        const char *words;
        int kind;
    } rules[] = {
        /* The longer before what they begin with or hold. */
        {"not be greater than", HIGH},      {"not be more than", HIGH},
        {"not be larger than", HIGH},       {"not exceed", HIGH},
        {"not be less than", LOW},          {"not be smaller than", LOW},
        {"greater than or equal to", LOW},  {"less than or equal to", HIGH},
        {"greater or equal to", LOW},       {"less or equal to", HIGH},
        {"no more than", HIGH},             {"no less than", LOW},
        {"at least", LOW},                  {"at most", HIGH},
        {"minimum value of", LOW},          {"maximum value of", HIGH},
        {"minimum value is", LOW},          {"maximum value is", HIGH},
        {"minimum of", LOW},                {"maximum of", HIGH},
        {"minimum is", LOW},                {"maximum is", HIGH},
        {"maximum allowed value is", HIGH}, {"up to", HIGH},
        {"greater than", ABOVE},            {"larger than", ABOVE},
        {"more than", ABOVE},               {"less than", BELOW},
        {"smaller than", BELOW},            {">=", LOW},
        {"<=", HIGH},                       {"\xe2\x89\xa5", LOW},
        {"\xe2\x89\xa4", HIGH},             {">", ABOVE},
        {"<", BELOW},                       {"must be equal to", EXACT},
        {"must be set to", EXACT},          {"must be", EXACT},
        {"should be", EXACT},               {"only supports", EXACT},
        {"only support", EXACT},            {"only", EXACT},
        {"expected", EXACT},
    };
    const char *used[sizeof rules / sizeof *rules]; /* numbers that a longer rule has read */
    size_t used_count = 0;
    *least = -INFINITY;
    *most = INFINITY;
    if (read_range(text, step, least, most))
        return true;
    if (HAS(text, "strictly positive", "be positive", "non-zero", "nonzero", "not be zero",
            "not be 0")) {
        *least = step;
        return true;
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *at = strcasestr(text, rules[i].words);
        double number;
        if (!at)
            continue;
        at += strlen(rules[i].words);
        if (!read_number(&at, &number))
            continue;
        bool again = false;
        for (size_t k = 0; k < used_count; k++)
            again |= used[k] == at;
        if (again)
            continue;
        used[used_count++] = at;
        bool below = rules[i].kind == HIGH || rules[i].kind == BELOW;
        if (rules[i].kind == EXACT)
            *least = *most = number;
        else if (below && isinf(*most))
            *most = rules[i].kind == BELOW ? number - step : number;
        else if (!below && isinf(*least))
            *least = rules[i].kind == ABOVE ? number + step : number;
        if (rules[i].kind == EXACT)
            break;
    }
    return (isfinite(*least) || isfinite(*most)) && *least <= *most;
}

/* A name at `at`, quoted or not; its length. */
static size_t name_at(const char **at)
{
    static const char *const fillers[] = {"the ",   "parameter ", "field ", "argument ",
                                          "option ", "only ",      "of ",    "either "};
    for (size_t i = 0; i < sizeof fillers / sizeof *fillers;) {
        size_t length = strlen(fillers[i]);
        bool filler = strncasecmp(*at, fillers[i], length) == 0;
        *at += filler ? length : 0;
        i = filler ? 0 : i + 1;
    }
    *at += strspn(*at, "'\"`");
    size_t length = 0;
    while (is_name_part((*at)[length]))
        length++;
    return length;
}

/* "Use 'max_completion_tokens' instead", "did you mean ...", "renamed to ..." */
static bool read_replacement(cJSON *sent, const char *text, const cJSON *member,
                             char to[CHAT_NAME])
{
    static const char *const heralds[] = {"use ",         "using ",        "mean ",
                                          "favor of ",    "favour of ",    "replaced by ",
                                          "replaced with ", "renamed to ", "switch to ",
                                          "change to ",   "provide "};
    for (size_t i = 0; i < sizeof heralds / sizeof *heralds; i++) {
        for (const char *at = text; (at = strcasestr(at, heralds[i]));) {
            at += strlen(heralds[i]);
            const char *name = at;
            size_t length = name_at(&name);
            snprintf(to, CHAT_NAME, "%.*s", (int)(length < CHAT_NAME ? length : 0), name);
            bool quoted = name > at && strchr("'\"`", name[-1]);
            bool path = (name[length] == '.' && is_name_part(name[length + 1])) ||
                        (name[length] && strchr("=(-/", name[length]));
            if (path)
                continue;
            if (length >= 3 && (quoted || strchr(to, '_')) && !isdigit((unsigned char)*to) &&
                strcasecmp(to, member->string) != 0 && !cJSON_GetObjectItem(sent, to))
                return true;
        }
    }
    return false;
}

/* Without a limit on its tokens a model may write for ever: of the names that the server lists,
 * and those that others use, the first that was not sent. */
static bool other_limit(const char *text, const char *name, char to[CHAT_NAME])
{
    for (const char *at = text; *at; at++) {
        size_t length = 0;
        while (is_name_part(at[length]))
            length++;
        snprintf(to, CHAT_NAME, "%.*s", (int)(length < CHAT_NAME ? length : 0), at);
        if (strstr(to, "max_") && strstr(to, "tokens") && strcmp(to, name) != 0)
            return true;
        at += length ? length - 1 : 0;
    }
    snprintf(to, CHAT_NAME, "max_completion_tokens");
    return strcmp(name, "max_tokens") == 0;
}

static bool is_limit(const char *name)
{
    return strstr(name, "max") && strstr(name, "tokens");
}

static enum chat_lesson change_number(const cJSON *member, const char *text, size_t room,
                                      struct chat_change *change)
{
    bool whole = is_limit(member->string) || strcmp(member->string, "seed") == 0;
    double least, most, value = member->valuedouble;
    bool names_default = HAS(text, "default");
    /* Refused as such, and not for its value. */
    bool as_such = HAS(text, "unsupported parameter", "not support", "n't support", "recogni", "unknown",
                       "unexpected", "not permitted", "extra ", "both", "no longer");
    if (as_such || names_default || !chat_refusal_bounds(text, whole ? 1 : 0.01, &least, &most) ||
        (value >= least && value <= most)) {
        /* The question, and what may be answered, are longer than the context together. */
        if (is_limit(member->string) && room && !as_such)
            return CHAT_LESS_ROOM;
        change->kind = CHAT_LEAVE_OUT;
        return is_limit(member->string) && !as_such ? CHAT_LEARNED_NOTHING : CHAT_LEARNED;
    }
    change->kind = CHAT_BOUND;
    change->least = least;
    change->most = most;
    return CHAT_LEARNED;
}

enum chat_lesson chat_refusal_read(cJSON *sent, size_t room, const struct chat_complaint *complaint,
                                   struct chat_change *change)
{
    const char *text = complaint->text;
    cJSON *member = named_member(sent, complaint->names);
    if (HAS(text, "context length", "context size", "context window", "too many tokens"))
        return room ? CHAT_LESS_ROOM : CHAT_LEARNED_NOTHING;
    if (!member && means_detail(complaint)) {
        change->kind = CHAT_LEAVE_OUT;
        snprintf(change->name, sizeof change->name, "detail");
        return CHAT_LEARNED;
    }
    if (HAS(text, "only support stream", "only supports stream", "enable the stream", "stream=true",
            "\"stream\": true", "set stream", "stream to true", "stream must be",
            "streaming is required", "requires stream")) {
        change->kind = CHAT_SWITCH_ON;
        snprintf(change->name, sizeof change->name, "stream");
        return CHAT_LEARNED;
    }
    if (!member)
        member = spoken_member(sent, text);
    if (!member && means_system(sent, complaint)) {
        change->kind = CHAT_NO_SYSTEM;
        snprintf(change->name, sizeof change->name, "the role \"system\"");
        return CHAT_LEARNED;
    }
    if (!member)
        return CHAT_LEARNED_NOTHING;
    snprintf(change->name, sizeof change->name, "%s", member->string);
    if (read_replacement(sent, text, member, change->to) ||
        (is_limit(member->string) && HAS(text, "not support", "n't support", "unsupported",
                                         "recogni", "unknown", "unexpected", "permitted",
                                         "deprecat") &&
         other_limit(text, member->string, change->to))) {
        change->kind = CHAT_RENAME;
        return CHAT_LEARNED;
    }
    *change->to = 0;
    if (cJSON_IsNumber(member))
        return change_number(member, text, room, change);
    change->kind = CHAT_LEAVE_OUT;
    return CHAT_LEARNED;
}
