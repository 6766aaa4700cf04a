/* Tells what kind of text a file is by its first lines. */
#include "kind.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { ENOUGH_LINES = 50, LONGEST_NAME = 64 };

/* UTF-16 without its mark: of pairs of bytes, most have a zero on the one side and few on the
 * other. */
static bool is_utf16(const char *head, size_t size)
{
    size_t pairs = size / 2, zeros[2] = {0};
    if (pairs > 512)
        pairs = 512;
    for (size_t i = 0; i < 2 * pairs; i++)
        zeros[i % 2] += head[i] == 0;
    size_t most = zeros[0] > zeros[1] ? zeros[0] : zeros[1];
    size_t least = zeros[0] > zeros[1] ? zeros[1] : zeros[0];
    return pairs > 1 && 2 * most >= pairs && 8 * least <= pairs;
}

/* Text has hardly any control characters besides blanks. */
static bool is_text(const char *head, size_t size)
{
    size_t odd = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)head[i];
        if (!byte)
            return false;
        odd += (byte < 0x20 && (byte < '\t' || byte > '\r') && byte != 0x1b) || byte == 0x7f;
    }
    return odd * 20 <= size;
}

static bool begins(const char *head, size_t size, const char *with)
{
    size_t length = strlen(with);
    return size >= length && strncasecmp(head, with, length) == 0;
}

/* A caption may begin with "<person>". */
static enum nc_kind markup_kind(const char *head, size_t size)
{
    static const char *const html[] = {"<!doctype html", "<html", "<head", "<body", "<script",
                                       "<title"};
    if (begins(head, size, "<svg"))
        return NC_KIND_SVG;
    for (size_t i = 0; i < sizeof html / sizeof *html; i++)
        if (begins(head, size, html[i]))
            return NC_KIND_HTML;
    if (!begins(head, size, "<?xml") && !begins(head, size, "<!--") &&
        !begins(head, size, "<!doctype"))
        return NC_KIND_TEXT;
    size_t near = size < 4096 ? size : 4096;
    return memmem(head, near, "<svg", 4)                                   ? NC_KIND_SVG
           : memmem(head, near, "<html", 5) || memmem(head, near, "<HTML", 5) ? NC_KIND_HTML
                                                                              : NC_KIND_XML;
}

/* ---- Lines ------------------------------------------------------------------------------- */

struct head {
    const char *at, *end;
    bool whole;
};

/* The next line that is not blank, without its end; false when there is no whole one. */
static bool next_line(struct head *head, const char **line, size_t *length)
{
    while (head->at < head->end) {
        *line = head->at;
        while (head->at < head->end && *head->at != '\n' && *head->at != '\r')
            head->at++;
        *length = (size_t)(head->at - *line);
        if (head->at == head->end && !head->whole)
            return false;
        while (head->at < head->end && (*head->at == '\n' || *head->at == '\r'))
            head->at++;
        for (size_t i = 0; i < *length; i++)
            if ((*line)[i] != ' ' && (*line)[i] != '\t')
                return true;
    }
    return false;
}

/* Whether the brackets outside strings close where the line ends. */
static bool is_whole_object(const char *line, size_t length)
{
    size_t depth = 0, i = 0;
    bool quoted = false;
    for (; i < length; i++) {
        char byte = line[i];
        if (quoted) {
            i += byte == '\\';
            quoted = byte != '"';
        } else if (byte == '"') {
            quoted = true;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if ((byte == '}' || byte == ']') && depth-- <= 1) {
            break;
        }
    }
    for (i++; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return false;
    return !quoted && depth == 0;
}

/* A bracket and what may stand behind it: "[UNK] a dog" is a caption. */
static bool begins_json(const char *at, size_t size)
{
    size_t next = 1;
    while (next < size && strchr(" \t\r\n", at[next]) && at[next])
        next++;
    if (*at == '{')
        return next == size || at[next] == '"' || at[next] == '}';
    return *at == '[' && (next == size || (strchr("{[]\"-0123456789", at[next]) && at[next]));
}

static enum nc_kind json_kind(struct head head)
{
    const char *line;
    size_t length;
    if (!next_line(&head, &line, &length) || *line != '{' || !is_whole_object(line, length))
        return NC_KIND_JSON;
    /* One object alone is both: the file that JSON's readers expect. */
    while (head.at < head.end && strchr(" \t\r\n", *head.at))
        head.at++;
    return head.at < head.end ? NC_KIND_JSONL : NC_KIND_JSON;
}

static size_t count_tabs(const char *line, size_t length)
{
    size_t tabs = 0;
    for (size_t i = 0; i < length; i++)
        tabs += line[i] == '\t';
    return tabs;
}

static bool is_tsv(struct head head)
{
    const char *line;
    size_t length, tabs = 0, lines = 0;
    for (; lines < ENOUGH_LINES && next_line(&head, &line, &length); lines++) {
        size_t own = count_tabs(line, length);
        if (!own || (lines && own != tabs))
            return false;
        tabs = own;
    }
    return lines > 0;
}

/* Passes over a record; its number of fields, 0 where it is no whole record. `names`: and all its
 * fields look as columns' names do. */
static size_t csv_fields(struct head *head, bool *names)
{
    size_t fields = 0;
    const char *at = head->at;
    for (bool more = true; more; fields++) {
        const char *start = at;
        size_t length;
        if (at < head->end && *at == '"') {
            for (at++; at < head->end && (*at != '"' || (at + 1 < head->end && at[1] == '"'));)
                at += *at == '"' ? 2 : 1;
            if (at >= head->end)
                return 0;
            length = (size_t)(at - ++start);
            at++;
            if (at < head->end && *at != ',' && *at != '\n' && *at != '\r')
                return 0;
        } else {
            while (at < head->end && *at != ',' && *at != '\n' && *at != '\r')
                at++;
            length = (size_t)(at - start);
        }
        if (length > LONGEST_NAME || (length && (*start == ' ' || start[length - 1] == ' ')) ||
            (!length && fields) || memchr(start, '\n', length)) /* pandas' index has no name */
            *names = false;
        more = at < head->end && *at == ',';
        at += more;
    }
    if (at == head->end && !head->whole)
        return 0;
    while (at < head->end && (*at == '\n' || *at == '\r'))
        at++;
    head->at = at;
    return fields;
}

static bool is_csv(struct head head)
{
    bool names = true, ignored;
    size_t fields = csv_fields(&head, &names), records = 1;
    if (fields < 2 || !names)
        return false;
    for (; records < ENOUGH_LINES && head.at < head.end; records++) {
        size_t own = csv_fields(&head, &ignored);
        if (!own && !head.whole)
            break; /* cut off by the head's end */
        if (own != fields)
            return false;
    }
    return records > 1;
}

enum nc_kind nc_text_kind(const char *bytes, size_t size, bool whole)
{
    size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (is_utf16(bytes, size))
        return NC_KIND_UTF16;
    if (!is_text(bytes, size))
        return NC_KIND_UNKNOWN;
    struct head head = {bytes + mark, bytes + size, whole};
    while (head.at < head.end && strchr(" \t\r\n", *head.at))
        head.at++;
    size_t left = (size_t)(head.end - head.at);
    if (left && *head.at == '<') {
        enum nc_kind kind = markup_kind(head.at, left);
        if (kind != NC_KIND_TEXT)
            return kind;
    }
    if (left && begins_json(head.at, left))
        return json_kind(head);
    return is_tsv(head) ? NC_KIND_TSV : is_csv(head) ? NC_KIND_CSV : NC_KIND_TEXT;
}
