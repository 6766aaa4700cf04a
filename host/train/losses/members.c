/* Reads and writes the terms of a loss. */
#include "members.h"

#include "losses.h"
#include "nclip/support/error.h"
#include "nclip/support/nearest.h"
#include "nclip/support/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[NC_TERM_KINDS] = {
    [NC_TERM_INFONCE] = "infonce",           [NC_TERM_SIGMOID] = "sigmoid",
    [NC_TERM_CHOICE] = "choice",
    [NC_TERM_HINGE_PICTURE] = "hinge_picture", [NC_TERM_HINGE_TEXT] = "hinge_text",
    [NC_TERM_HINGE_APART] = "hinge_apart",   [NC_TERM_ALIKE] = "alike",
    [NC_TERM_UNLIKE] = "unlike",             [NC_TERM_KEEP] = "keep"};
static const char *const pictures[NC_PICTURE_ROLES] = {[NC_PICTURE_IMAGE] = "image",
                                                       [NC_PICTURE_DISTRACTOR] = "distractor"};

enum {
    ALL = (1 << NC_TERM_KINDS) - 1,
    INFONCE = 1 << NC_TERM_INFONCE,
    GRIDS = INFONCE | 1 << NC_TERM_SIGMOID,
    BANDS = 1 << NC_TERM_HINGE_PICTURE | 1 << NC_TERM_HINGE_TEXT,
    OWN_TEXTS = 1 << NC_TERM_CHOICE | BANDS | 1 << NC_TERM_HINGE_APART | 1 << NC_TERM_ALIKE |
                1 << NC_TERM_UNLIKE,
};

enum kind { WORD, ROLE, NUMBER, COUNT, TEXTS, PICTURES, NUMBERS };

#define AT(member) offsetof(struct nc_loss_term, member)

static const struct member {
    const char *name;
    enum kind kind;
    unsigned of; /* a mask of the terms that have it */
    size_t offset, count_offset; /* in struct nc_loss_term; of a list: its numbers, how many */
    double least, most;
} members[NC_TERM_MEMBERS] = {
    [NC_MEMBER_TERM] = {"term", WORD, ALL, AT(kind), 0, 0, 0},
    [NC_MEMBER_TEXTS] = {"texts", TEXTS, GRIDS | OWN_TEXTS, AT(text), AT(texts), 0, 0},
    [NC_MEMBER_PICTURES] = {"pictures", PICTURES, GRIDS, AT(picture), AT(pictures), 0, 0},
    [NC_MEMBER_ROWS] = {"rows", NUMBERS, INFONCE, AT(row), AT(texts), 0, 1e6},
    [NC_MEMBER_COLUMNS] = {"columns", NUMBERS, INFONCE, AT(column), AT(pictures), 0, 1e6},
    [NC_MEMBER_HARD] = {"hard", ROLE, GRIDS, AT(hard), 0, 0, 0},
    [NC_MEMBER_LOW] = {"low", NUMBER, BANDS, AT(low), 0, -2, 2},
    [NC_MEMBER_HIGH] = {"high", NUMBER, BANDS, AT(high), 0, -2, 2},
    [NC_MEMBER_MARGIN] = {"margin", NUMBER, 1 << NC_TERM_HINGE_APART, AT(margin), 0, -1, 1},
    [NC_MEMBER_WEIGHT] = {"weight", NUMBER, ALL, AT(weight), 0, 0, 1e6},
    [NC_MEMBER_SOURCE] = {"source", COUNT, ALL, AT(source), 0, 1, NC_MOST_SOURCES},
};

const char *nc_term_name(enum nc_term_kind kind)
{
    return kinds[kind];
}

static bool is_list(const struct member *member)
{
    return member->kind >= TEXTS;
}

/* ---- The schema ------------------------------------------------------------------------------ */

void nc_term_make_schema(struct nc_term_schema *schema)
{
    *schema = (struct nc_term_schema){
        .item = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct nc_term_layer, schema->fields)},
        .string = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 255)},
    };
    for (size_t i = 0; i < NC_TERM_MEMBERS; i++) {
        size_t at = offsetof(struct nc_term_layer, members) + i * sizeof(struct nc_member_layer);
        cyaml_schema_field_t *field = &schema->fields[i];
        field->key = members[i].name;
        if (!is_list(&members[i])) {
            field->data_offset = (uint32_t)(at + offsetof(struct nc_member_layer, value));
            field->value = (cyaml_schema_value_t){
                CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char, 0, 255)};
            continue;
        }
        field->data_offset = (uint32_t)(at + offsetof(struct nc_member_layer, list));
        field->count_offset = (uint32_t)(at + offsetof(struct nc_member_layer, list_count));
        field->count_size = sizeof(unsigned);
        field->value = (cyaml_schema_value_t){CYAML_VALUE_SEQUENCE(
            CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, &schema->string, 1, 16)};
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* "a, b, c" */
static const char *listed(const char *const *names, size_t count, char *list, size_t size)
{
    size_t used = 0;
    *list = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        int length = snprintf(list + used, size - used, "%s%s", i ? ", " : "", names[i]);
        used += length < 0 ? 0 : (size_t)length;
    }
    return list;
}

static int unknown(const char *where, const char *what, const char *name, const char *const *names,
                   size_t count)
{
    char list[256];
    const char *nearest = nc_nearest(name, names, count);
    return nc_error(NC_BAD_INPUT, "%s: no %s \"%s\"%s%s%s (there are %s)", where, what, name,
                    nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "",
                    listed(names, count, list, sizeof list));
}

int nc_term_member_unknown(const char *where, const char *name)
{
    const char *names[NC_TERM_MEMBERS];
    for (size_t i = 0; i < NC_TERM_MEMBERS; i++)
        names[i] = members[i].name;
    return unknown(where, "member of a term", name, names, NC_TERM_MEMBERS);
}

static int read_word(const char *where, const char *what, const char *text,
                     const char *const *names, size_t count, int *value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0) {
            *value = (int)i;
            return NC_OK;
        }
    return unknown(where, what, text, names, count);
}

static int read_role(const char *where, const char *text, int *role)
{
    const char *names[NC_TEXT_ROLES];
    for (int i = 0; i < NC_TEXT_ROLES; i++)
        names[i] = nc_text_role_name(i);
    return read_word(where, "role of a text", text, names, NC_TEXT_ROLES, role);
}

static int read_number(const char *where, const struct member *member, const char *text,
                       double *value)
{
    char least[NC_NUMBER_SIZE], most[NC_NUMBER_SIZE];
    if (!nc_number_read(text, value))
        return nc_error(NC_BAD_INPUT, "%s: %s holds \"%s\": it must be a number, as 0.5", where,
                        member->name, text);
    if (*value < member->least || *value > member->most)
        return nc_error(NC_BAD_INPUT, "%s: %s holds %s: it must be at least %s and at most %s",
                        where, member->name, text, nc_number_text(member->least, least),
                        nc_number_text(member->most, most));
    return NC_OK;
}

static int read_count(const char *where, const struct member *member, const char *text,
                      unsigned *value)
{
    double number;
    int status = read_number(where, member, text, &number);
    if (status == NC_OK && number != floor(number))
        return nc_error(NC_BAD_INPUT, "%s: %s holds %s: it must be a whole number", where,
                        member->name, text);
    *value = status == NC_OK ? (unsigned)number : 0;
    return status;
}

static unsigned most_of(const struct member *member)
{
    return member->count_offset == AT(pictures) ? NC_PICTURE_ROLES : NC_TEXT_ROLES;
}

static int read_list(const char *where, const struct member *member,
                     const struct nc_member_layer *from, struct nc_loss_term *term)
{
    unsigned *count = (unsigned *)((char *)term + member->count_offset);
    char *to = (char *)term + member->offset;
    if (member->kind == NUMBERS && from->list_count != *count)
        return nc_error(NC_BAD_INPUT, "%s: %s has %u numbers: it must have %u, one for each of %s",
                        where, member->name, from->list_count, *count,
                        member->count_offset == AT(pictures) ? "pictures" : "texts");
    if (from->list_count > most_of(member))
        return nc_error(NC_BAD_INPUT, "%s: %s has %u roles, and there are %u", where, member->name,
                        from->list_count, most_of(member));
    int status = NC_OK;
    for (unsigned i = 0; i < from->list_count && status == NC_OK; i++) {
        if (member->kind == NUMBERS)
            status = read_number(where, member, from->list[i], (double *)(void *)to + i);
        else if (member->kind == TEXTS)
            status = read_role(where, from->list[i], (int *)(void *)to + i);
        else
            status = read_word(where, "role of a picture", from->list[i], pictures,
                               NC_PICTURE_ROLES, (int *)(void *)to + i);
        for (unsigned k = 0; k < i && status == NC_OK && member->kind != NUMBERS; k++)
            if (strcmp(from->list[k], from->list[i]) == 0)
                status = nc_error(NC_BAD_INPUT, "%s: %s names %s twice", where, member->name,
                                  from->list[i]);
    }
    if (member->kind != NUMBERS)
        *count = from->list_count;
    return status;
}

/* Roles and kinds are stored through an int. */
_Static_assert(sizeof(enum nc_term_kind) == sizeof(int) &&
                   sizeof(enum nc_text_role) == sizeof(int) &&
                   sizeof(enum nc_picture_role) == sizeof(int),
               "enums are as large as int");

static int read_member(const char *where, enum nc_term_member i, const struct nc_member_layer *from,
                       struct nc_loss_term *term)
{
    const struct member *member = &members[i];
    void *to = (char *)term + member->offset;
    if (!from->value && !from->list)
        return NC_OK;
    if (!(member->of & 1u << term->kind))
        return nc_error(NC_BAD_INPUT, "%s: %s has no %s", where, kinds[term->kind], member->name);
    switch (member->kind) {
    case WORD:
        return NC_OK; /* the kind was read first */
    case ROLE:
        return read_role(where, from->value, to);
    case NUMBER:
        return read_number(where, member, from->value, to);
    case COUNT:
        return read_count(where, member, from->value, to);
    case TEXTS:
    case PICTURES:
    case NUMBERS:
        return read_list(where, member, from, term);
    }
    return nc_error(NC_FAILED, "%s: a member of no known kind", where);
}

/* What a term is that says nothing else. The margins are those of the keys in default.yaml. */
static struct nc_loss_term plain(enum nc_term_kind kind)
{
    struct nc_loss_term term = {.kind = kind, .weight = 1, .hard = NC_NO_ROLE, .texts = 1,
                                .text = {GRIDS & 1 << kind ? NC_TEXT_CAPTION
                                                           : NC_TEXT_CONTRADICTION}};
    if (GRIDS & 1 << kind)
        term.pictures = 1;
    if (kind == NC_TERM_KEEP)
        term.texts = 0;
    if (kind == NC_TERM_ALIKE)
        term.text[0] = NC_TEXT_PARAPHRASE;
    if (kind == NC_TERM_HINGE_PICTURE || kind == NC_TERM_HINGE_TEXT) {
        term.low = 0.1;
        term.high = kind == NC_TERM_HINGE_PICTURE ? 0.6 : 0.3;
    }
    if (kind == NC_TERM_HINGE_APART)
        term.margin = 0.9;
    return term;
}

int nc_term_read(const char *where, const struct nc_term_layer *layer, struct nc_loss_term *term)
{
    const struct nc_member_layer *m = layer->members;
    int kind = 0;
    if (!m[NC_MEMBER_TERM].value)
        return nc_error(NC_BAD_INPUT, "%s: it does not say which term it is, as term: infonce",
                        where);
    int status = read_word(where, "term", m[NC_MEMBER_TERM].value, kinds, NC_TERM_KINDS, &kind);
    if (status != NC_OK)
        return status;
    *term = plain((enum nc_term_kind)kind);
    for (int i = 0; i < NC_TERM_MEMBERS && status == NC_OK; i++) {
        if (i == NC_MEMBER_ROWS && kind == NC_TERM_INFONCE) /* texts and pictures are known */
            for (unsigned k = 0; k < NC_TEXT_ROLES; k++)
                term->row[k] = k == 0;
        if (i == NC_MEMBER_COLUMNS && kind == NC_TERM_INFONCE)
            for (unsigned k = 0; k < term->pictures; k++)
                term->column[k] = 1;
        status = read_member(where, (enum nc_term_member)i, &m[i], term);
    }
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void print_number(double value, FILE *out)
{
    char number[NC_NUMBER_SIZE];
    fputs(nc_number_yaml(value, number), out);
}

static void print_list(const struct member *member, const struct nc_loss_term *term, FILE *out)
{
    unsigned count = *(const unsigned *)(const void *)((const char *)term + member->count_offset);
    const char *from = (const char *)term + member->offset;
    for (unsigned i = 0; i < count; i++) {
        fputs(i ? ", " : "[", out);
        if (member->kind == NUMBERS)
            print_number(((const double *)(const void *)from)[i], out);
        else
            fputs(member->kind == TEXTS ? nc_text_role_name(term->text[i])
                                        : pictures[term->picture[i]], out);
    }
    fputs("]", out);
}

void nc_term_print(const struct nc_loss_term *term, FILE *out)
{
    for (int i = 0; i < NC_TERM_MEMBERS; i++) {
        const struct member *member = &members[i];
        if (!(member->of & 1u << term->kind) || (member->kind == ROLE && term->hard == NC_NO_ROLE) ||
            (member->kind == COUNT && !term->source))
            continue;
        fprintf(out, "%s%s: ", i ? ", " : "{", member->name);
        if (member->kind == WORD)
            fputs(kinds[term->kind], out);
        else if (member->kind == ROLE)
            fputs(nc_text_role_name((enum nc_text_role)term->hard), out);
        else if (member->kind == COUNT)
            fprintf(out, "%u", term->source);
        else if (member->kind == NUMBER)
            print_number(*(const double *)(const void *)((const char *)term + member->offset), out);
        else
            print_list(member, term, out);
    }
    fputs("}", out);
}
