/* What models write for themselves before they answer. Where a server has no parser for it, it
 * stands in the answer, between marks of many kinds:
 *
 *     <think>...</think>                 DeepSeek-R1, Qwen3, GLM; <thinking>, <thought>, <seed:think>
 *     [THINK]...[/THINK]                 Magistral
 *     <|START_THINKING|>...<|END_THINKING|>, <|begin_of_thought|>...<|end_of_thought|>
 *     (triangle)think(triangle)...       Kimi-VL
 *     <unused94>...<unused95>            MedGemma
 *     <|channel|>analysis<|message|>...<|end|>...<|channel|>final<|message|>    gpt-oss (harmony)
 *
 * Templates often put the first mark into the prompt, so that the answer begins inside the block.
 */
#include "parts.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct mark {
    enum { NO_MARK, OPENS, CLOSES } kind;
    size_t length;
};

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static const char *skip(const char *text, const char *piece)
{
    return begins(text, piece) ? text + strlen(piece) : text;
}

/* ---- Marks ---------------------------------------------------------------------------- */

/* "thinking", "seed:think", "thought", "REASONING": a name for thoughts. */
static bool names_thoughts(const char *name, size_t length)
{
    static const char *const stems[] = {"think",   "thought",  "reason",    "reflect",
                                        "scratch", "monologue", "rationale", "analysis", "cot"};
    const char *colon = memchr(name, ':', length);
    if (colon) {
        length -= (size_t)(colon + 1 - name);
        name = colon + 1;
    }
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        size_t stem = strlen(stems[i]);
        if (length >= stem && strncasecmp(name, stems[i], stem) == 0 &&
            (length == stem || stem > 3))
            return true;
    }
    return false;
}

/* Marks that are no word between brackets. */
static struct mark odd_mark_at(const char *text)
{
    static const struct {
        const char *open, *close;
    } pairs[] = {
        {"<unused94>", "<unused95>"},
        {"<|channel>thought", "<channel|>"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (begins(text, pairs[i].open))
            return (struct mark){OPENS, strlen(pairs[i].open)};
        if (begins(text, pairs[i].close))
            return (struct mark){CLOSES, strlen(pairs[i].close)};
    }
    return (struct mark){NO_MARK, 0};
}

static struct mark mark_at(const char *text)
{
    static const struct {
        const char *open, *close;
        bool attributes;
    } brackets[] = {
        {"<|", "|>", false},
        {"<", ">", true},
        {"[", "]", false},
        {"\xe2\x97\x81", "\xe2\x96\xb7", false}, /* white triangles that point left and right */
    };
    struct mark mark = odd_mark_at(text);
    size_t shape = 0;
    while (shape < 4 && !begins(text, brackets[shape].open))
        shape++;
    if (mark.kind != NO_MARK || shape == 4)
        return mark;
    const char *name = text + strlen(brackets[shape].open), *bare = name;
    bool closes = *name == '/';
    name += closes;
    bare = skip(skip(skip(name, "start_"), "begin_of_"), "begin_");
    const char *after_end = skip(skip(name, "end_of_"), "end_");
    if (after_end != name) {
        closes = true;
        bare = after_end;
    }
    size_t length = 0;
    while (isalpha((unsigned char)bare[length]) || strchr("_:-", bare[length] ? bare[length] : ' '))
        length++;
    const char *end = bare + length;
    bool thoughts = names_thoughts(bare, length);
    if (brackets[shape].attributes && (isspace((unsigned char)*end) || *end == '=')) {
        const char *attributes = end;
        end += strcspn(end, "<>");
        /* Open WebUI: <details type="reasoning" done="true"> */
        for (const char *at = attributes; at < end && !thoughts && begins(bare, "details"); at++)
            thoughts = begins(at, "reasoning");
    }
    if (shape == 2 && strncmp(bare, "THINK", 5) != 0) /* "[think]" may be a person's */
        return mark;
    if (!thoughts || !begins(end, brackets[shape].close))
        return mark;
    mark.kind = closes ? CLOSES : OPENS;
    mark.length = (size_t)(end - text) + strlen(brackets[shape].close);
    return mark;
}

static struct mark find_mark(char **at)
{
    struct mark mark = {NO_MARK, 0};
    for (; **at && mark.kind == NO_MARK; ++*at) {
        if (strchr("<[\xe2", **at))
            mark = mark_at(*at);
        if (mark.kind != NO_MARK)
            break;
    }
    return mark;
}

/* Blocks between marks. A mark that closes what nothing opened ends a block that began in the
 * prompt: all before it goes. */
static void remove_blocks(char *text, struct chat_reasoning *result)
{
    char *from = text, *to = text;
    bool details = false; /* "</details>" is a mark only behind its own */
    for (;;) {
        char *at = from;
        struct mark mark = find_mark(&at);
        memmove(to, from, (size_t)(at - from));
        to += at - from;
        if (mark.kind == NO_MARK)
            break;
        result->found = true;
        from = at + mark.length;
        if (mark.kind == CLOSES) {
            to = text;
            continue;
        }
        details = begins(at, "<details");
        char *end = from;
        if (details)
            end = strcasestr(from, "</details>");
        else
            while ((mark = find_mark(&end)).kind == OPENS)
                end += mark.length;
        if (!end || (!details && mark.kind == NO_MARK)) {
            result->open = true;
            break;
        }
        from = end + (details ? strlen("</details>") : mark.length);
    }
    *to = 0;
}

/* ---- Channels --------------------------------------------------------------------------- */

static void keep(char *text, const char *start, size_t length)
{
    memmove(text, start, length);
    text[length] = 0;
}

static char *last_of(char *text, const char *piece)
{
    char *last = NULL;
    for (char *at = text; (at = strstr(at, piece)); at += strlen(piece))
        last = at;
    return last;
}

/* gpt-oss through a server that does not know harmony, with its marks or with those taken out:
 * "analysisThe caption ...assistantfinalumbrella". */
static void remove_channels(char *text, struct chat_reasoning *result)
{
    static const char *const spoken[] = {"analysis", "commentary", "final"};
    bool marked = strstr(text, "<|channel|>") != NULL;
    for (size_t i = 0; i < 3 && !marked; i++)
        marked = begins(text, spoken[i]) && begins(text + strlen(spoken[i]), "<|message|>");
    if (marked) {
        char *final = last_of(text, "<|channel|>final");
        if (!final && begins(text, "final<|message|>"))
            final = text;
        char *start = final ? strstr(final, "<|message|>") : NULL;
        result->found = true;
        result->open = !start;
        start = start ? start + strlen("<|message|>") : text;
        char *end = strstr(start, "<|");
        keep(text, start, result->open ? 0 : end ? (size_t)(end - start) : strlen(start));
        return;
    }
    if (strncmp(text, "analysis", 8) != 0)
        return;
    char *final = last_of(text, "assistantfinal");
    if (final) {
        char *start = final + strlen("assistantfinal");
        result->found = true;
        keep(text, start, strlen(start));
    } else if (isupper((unsigned char)text[8])) {
        result->found = result->open = true;
        *text = 0;
    }
}

/* ---- Answers between marks -------------------------------------------------------------- */

static void unwrap(char *text)
{
    static const struct {
        const char *open, *close;
    } pairs[] = {
        {"<answer>", "</answer>"},
        {"<|begin_of_box|>", "<|end_of_box|>"},
        {"<|begin_of_solution|>", "<|end_of_solution|>"},
        {"<|START_RESPONSE|>", "<|END_RESPONSE|>"},
        {"<|START_TEXT|>", "<|END_TEXT|>"},
        {"<response>", "</response>"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *open = strcasestr(text, pairs[i].open);
        if (!open)
            continue;
        char *start = open + strlen(pairs[i].open), *close = strcasestr(start, pairs[i].close);
        keep(text, start, close ? (size_t)(close - start) : strlen(start));
    }
}

struct chat_reasoning chat_reasoning_remove(char *text)
{
    struct chat_reasoning result = {0};
    char *start = text + strspn(text, " \t\r\n");
    remove_channels(start, &result);
    remove_blocks(start, &result);
    unwrap(start);
    start += result.found ? strspn(start, " \t\r\n") : 0;
    if (result.found)
        memmove(text, start, strlen(start) + 1);
    return result;
}
