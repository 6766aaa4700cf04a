/* Finds the end of a table's record, and its fields. */
#include "nclip/formats/csv.h"

#include <stdint.h>
#include <string.h>

/* A line that opens a quote in TSV is joined to no more than this behind it. */
enum { JOINED = 1 << 16 };

static const char too_few[] = "too few columns", too_many[] = "too many columns (a comma or quote "
                                                              "that is not quoted?)",
                         not_closed[] = "a quote is never closed",
                         behind_quote[] = "text behind a closing quote";

struct scan { /* of one record */
    const char *at, *end;
    bool whole;
    char delimiter;
    size_t first, count, fields;
    struct nc_csv_field *out;
};

static void add(struct scan *scan, const char *text, size_t length, bool doubled)
{
    if (scan->fields >= scan->first && scan->fields - scan->first < scan->count)
        scan->out[scan->fields - scan->first] = (struct nc_csv_field){text, length, doubled};
    scan->fields++;
}

static inline bool ends_line(char byte)
{
    return byte == '\n' || byte == '\r';
}

/* Behind the line's end at `at`; NULL: it may go on behind the end. */
static const char *behind_line_end(const struct scan *scan, const char *at)
{
    if (at == scan->end)
        return scan->whole ? at : NULL;
    if (*at == '\n')
        return at + 1;
    if (at + 1 == scan->end)
        return scan->whole ? at + 1 : NULL;
    return at + 1 + (at[1] == '\n');
}

static const char *find_line_end(const char *at, const char *end)
{
    while (at < end && !ends_line(*at))
        at++;
    return at;
}

/* The quote that closes the one before `at`, or NULL; *doubled: some in between stand for one. */
static const char *closing_quote(const char *at, const char *end, bool *doubled)
{
    *doubled = false;
    while (at < end && (at = memchr(at, '"', (size_t)(end - at)))) {
        if (at + 1 == end || at[1] != '"')
            return at;
        *doubled = true;
        at += 2;
    }
    return NULL;
}

/* ---- Quotes as RFC 4180 has them --------------------------------------------------------- */

enum outcome { DONE, MORE, WRONG };

static enum outcome read_quoted(struct scan *scan, struct nc_csv_record *record)
{
    const char *at = scan->at, *end = scan->end;
    for (;;) {
        const char *start = at;
        if (at < end && *at == '"') {
            bool doubled;
            const char *quote = closing_quote(at + 1, end, &doubled);
            if (!scan->whole && (!quote || quote + 1 == end))
                return MORE;
            record->wrong = not_closed;
            if (!quote)
                return WRONG;
            at = quote + 1;
            record->wrong = behind_quote;
            if (at < end && *at != scan->delimiter && !ends_line(*at))
                return WRONG;
            record->wrong = NULL;
            add(scan, start + 1, (size_t)(quote - start - 1), doubled);
        } else {
            while (at < end && *at != scan->delimiter && !ends_line(*at))
                at++;
            add(scan, start, (size_t)(at - start), false);
        }
        if (at == end || ends_line(*at))
            break;
        at++;
    }
    record->end = behind_line_end(scan, at);
    return record->end ? DONE : MORE;
}

/* ---- Quotes that are characters ---------------------------------------------------------- */

/* One line, cut at its delimiters. *open: a cell begins with a quote and does not end with its
 * closing one. `strip`: cells that are quoted from end to end lose their quotes. */
static bool read_plain(struct scan *scan, bool strip, bool *open, struct nc_csv_record *record)
{
    const char *at = scan->at, *end = scan->end;
    *open = false;
    for (;; at++) {
        const char *start = at;
        while (at < end && *at != scan->delimiter && !ends_line(*at))
            at++;
        bool doubled = false, quoted = strip && at > start && *start == '"';
        const char *quote = quoted ? closing_quote(start + 1, at, &doubled) : NULL;
        if (quote && quote + 1 == at)
            add(scan, start + 1, (size_t)(quote - start - 1), doubled);
        else
            add(scan, start, (size_t)(at - start), false);
        *open |= quoted && !quote;
        if (at == end || ends_line(*at))
            break;
    }
    record->end = behind_line_end(scan, at);
    return record->end != NULL;
}

static size_t count_fields(const char *at, const char *end, char delimiter)
{
    size_t fields = 1;
    while (at < end && (at = memchr(at, delimiter, (size_t)(end - at)))) {
        fields++;
        at++;
    }
    return fields;
}

/* Whether a line between `at` and `end` is a record by itself. `whole`: so is the last one, though
 * no line end is behind it. */
static bool holds_record(const char *at, const char *end, bool whole,
                         const struct nc_csv_form *form)
{
    while (at < end) {
        const char *line = at, *stop = find_line_end(at, end);
        if (stop == end && !whole)
            return false;
        if (stop > line && count_fields(line, stop, form->delimiter) == form->columns)
            return true;
        at = stop + (stop < end);
    }
    return false;
}

/* A line with an open quote: the record may go on behind it. */
static enum outcome join(const struct nc_csv_form *form, struct scan *scan,
                         struct nc_csv_record *record)
{
    const char *line_end = find_line_end(scan->at, scan->end), *end = scan->end;
    bool whole = scan->whole;
    if (end - line_end > JOINED) {
        scan->end = line_end + JOINED;
        scan->whole = true; /* what ends there is not joined */
    }
    size_t fields = scan->fields;
    scan->fields = 0;
    enum outcome outcome = read_quoted(scan, record);
    if (outcome == MORE && !holds_record(line_end, scan->end, false, form))
        return MORE;
    bool cut = scan->end != end && record->end == scan->end;
    scan->end = end;
    scan->whole = whole;
    if (outcome == DONE && !cut && (!form->columns || scan->fields == form->columns) &&
        (form->columns ? !holds_record(line_end, record->end, true, form)
                       : record->end <= line_end + 2))
        return DONE;
    scan->fields = fields;
    return WRONG;
}

static bool read_fitting(const struct nc_csv_form *form, struct scan *scan,
                         struct nc_csv_record *record)
{
    bool open;
    if (!read_plain(scan, true, &open, record))
        return false;
    if (open && form->columns != 1) {
        enum outcome outcome = join(form, scan, record);
        if (outcome != WRONG)
            return outcome == DONE;
        record->wrong = NULL;
        scan->fields = 0;
        read_plain(scan, true, &open, record);
    }
    return true;
}

/* ---- Records ----------------------------------------------------------------------------- */

bool nc_csv_next(const struct nc_csv_form *form, const char *at, const char *end, bool whole,
                 size_t first, struct nc_csv_field *fields, size_t count,
                 struct nc_csv_record *record)
{
    struct scan scan = {at, end, whole, form->delimiter, first, count, 0, fields};
    *record = (struct nc_csv_record){0};
    bool complete = true, open;
    if (form->quotes == NC_CSV_QUOTED) {
        enum outcome outcome = read_quoted(&scan, record);
        complete = outcome != MORE;
        if (outcome == WRONG) { /* the next line is read for itself */
            const char *stop = find_line_end(at, end);
            record->end = behind_line_end(&scan, stop);
            record->fields = 0;
            return record->end != NULL;
        }
    } else if (form->quotes == NC_CSV_FITTING) {
        complete = read_fitting(form, &scan, record);
    } else {
        complete = read_plain(&scan, false, &open, record);
    }
    record->fields = scan.fields;
    if (complete && form->columns && scan.fields != form->columns)
        record->wrong = scan.fields < form->columns ? too_few : too_many;
    return complete;
}

size_t nc_csv_unquote(const struct nc_csv_field *field, char *to)
{
    size_t used = 0;
    if (!field->doubled) {
        if (field->length)
            memmove(to, field->text, field->length);
        return field->length;
    }
    for (size_t i = 0; i < field->length; i++) {
        to[used++] = field->text[i];
        i += field->text[i] == '"' && i + 1 < field->length && field->text[i + 1] == '"';
    }
    return used;
}
