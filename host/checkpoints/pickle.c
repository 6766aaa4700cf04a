/* The opcodes of a pickle. */
#include "pickle_machine.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_PICKLE = 64 << 20 }; /* a model of 10,000 tensors takes 2 MB */

typedef struct nc_pickle_value value;

/* ---- Numbers and texts of the pickle ---- */

static int take(struct nc_pickle_machine *m, uint64_t count, const uint8_t **bytes)
{
    *bytes = m->bytes;
    if (count > m->size - m->at)
        return nc_pickle_damaged(m, "it ends in the middle of a value");
    *bytes = m->bytes + m->at;
    m->at += count;
    return NC_OK;
}

static int take_number(struct nc_pickle_machine *m, size_t count, uint64_t *number)
{
    const uint8_t *bytes;
    int status = take(m, count, &bytes);
    *number = 0;
    while (status == NC_OK && count--)
        *number = *number << 8 | bytes[count];
    return status;
}

/* A line of text; the pointer moves behind its end. */
static int take_line(struct nc_pickle_machine *m, const char **text, size_t *length)
{
    const uint8_t *start = m->bytes + m->at, *end = memchr(start, '\n', m->size - m->at);
    *text = "";
    *length = 0;
    if (!end)
        return nc_pickle_damaged(m, "it ends in the middle of a line");
    *text = (const char *)start;
    *length = (size_t)(end - start);
    m->at += *length + 1;
    return NC_OK;
}

static int push_number(struct nc_pickle_machine *m, long long number)
{
    value *item;
    int status = nc_pickle_make(m, NC_PICKLE_NUMBER, &item);
    if (status != NC_OK)
        return status;
    item->number = number;
    return nc_pickle_push(m, item);
}

/* Two's complement, little-endian, of any length; what is too long for a number here is a value
 * that nothing asks for. */
static int push_long(struct nc_pickle_machine *m, uint64_t count)
{
    const uint8_t *bytes;
    int status = take(m, count, &bytes);
    if (status != NC_OK)
        return status;
    if (count > 8)
        return nc_pickle_push(m, &m->pickle->none);
    uint64_t number = count && bytes[count - 1] & 0x80 ? UINT64_MAX : 0;
    while (count--)
        number = number << 8 | bytes[count];
    return push_number(m, (long long)number);
}

/* A text, or bytes, whose length is a number of `width` bytes. */
static int push_text(struct nc_pickle_machine *m, size_t width, enum nc_pickle_kind kind)
{
    uint64_t length;
    const uint8_t *bytes = NULL;
    value *item;
    int status = take_number(m, width, &length);
    if (status == NC_OK)
        status = take(m, length, &bytes);
    if (status == NC_OK && kind == NC_PICKLE_OTHER)
        return nc_pickle_push(m, &m->pickle->none);
    if (status == NC_OK)
        status = nc_pickle_make(m, kind, &item);
    if (status != NC_OK)
        return status;
    item->text = (const char *)bytes;
    item->length = (size_t)length;
    return nc_pickle_push(m, item);
}

/* ---- Opcodes ---- */

static int push_empty(struct nc_pickle_machine *m, enum nc_pickle_kind kind)
{
    value *item;
    int status = nc_pickle_make(m, kind, &item);
    return status == NC_OK ? nc_pickle_push(m, item) : status;
}

/* Old-style decimal: "12", "12L", "01" (True). */
static int push_decimal(struct nc_pickle_machine *m)
{
    const char *text;
    char copy[24] = "", *end;
    size_t length;
    int status = take_line(m, &text, &length);
    if (status != NC_OK)
        return status;
    memcpy(copy, text, length < sizeof copy - 1 ? length : sizeof copy - 1);
    long long number = strtoll(copy, &end, 10);
    if (end == copy || length >= sizeof copy - 1)
        return nc_pickle_damaged(m, "no number");
    return push_number(m, number);
}

static int skip_frame(struct nc_pickle_machine *m)
{
    uint64_t length;
    return take_number(m, 8, &length);
}

static int protocol(struct nc_pickle_machine *m)
{
    uint64_t number;
    int status = take_number(m, 1, &number);
    if (status == NC_OK && (number < 2 || number > 5))
        return nc_pickle_damaged(m, "a protocol that is not 2 to 5");
    return status;
}

static int push_real(struct nc_pickle_machine *m)
{
    const uint8_t *bytes;
    int status = take(m, 8, &bytes);
    return status == NC_OK ? push_empty(m, NC_PICKLE_REAL) : status;
}

static int drop_to_mark(struct nc_pickle_machine *m)
{
    size_t first;
    int status = nc_pickle_find_mark(m, &first);
    if (status == NC_OK)
        m->depth = first - 1;
    return status;
}

/* The values above the mark, or the mark's place, become one that nobody looks into. */
static int push_other_marked(struct nc_pickle_machine *m)
{
    int status = drop_to_mark(m);
    return status == NC_OK ? nc_pickle_push(m, &m->pickle->none) : status;
}

static int drop(struct nc_pickle_machine *m)
{
    if (m->depth && m->stack[m->depth - 1] == &m->mark) {
        m->depth--;
        return NC_OK;
    }
    return nc_pickle_pop(m) ? NC_OK : NC_BAD_INPUT;
}

static int duplicate(struct nc_pickle_machine *m)
{
    value *item = nc_pickle_pop(m);
    int status = item ? nc_pickle_push(m, item) : NC_BAD_INPUT;
    return status == NC_OK ? nc_pickle_push(m, item) : status;
}

static int indexed(struct nc_pickle_machine *m, size_t width,
                   int (*act)(struct nc_pickle_machine *, uint64_t))
{
    uint64_t index;
    int status = take_number(m, width, &index);
    return status == NC_OK ? act(m, index) : status;
}

static int push_unsigned(struct nc_pickle_machine *m, size_t width)
{
    uint64_t number;
    int status = take_number(m, width, &number);
    return status == NC_OK ? push_number(m, width == 4 ? (int32_t)number : (long long)number)
                           : status;
}

static int counted_long(struct nc_pickle_machine *m, size_t width)
{
    uint64_t count;
    int status = take_number(m, width, &count);
    return status == NC_OK ? push_long(m, count) : status;
}

static int push_global(struct nc_pickle_machine *m)
{
    const char *module, *name;
    size_t module_length, name_length;
    int status = take_line(m, &module, &module_length);
    if (status == NC_OK)
        status = take_line(m, &name, &name_length);
    return status == NC_OK ? nc_pickle_push_name(m, module, module_length, name, name_length)
                           : status;
}

static int push_stack_global(struct nc_pickle_machine *m)
{
    value *name = nc_pickle_pop(m), *module = name ? nc_pickle_pop(m) : NULL;
    if (!module)
        return NC_BAD_INPUT;
    if (name->kind != NC_PICKLE_TEXT || module->kind != NC_PICKLE_TEXT)
        return nc_pickle_damaged(m, "a name is no text");
    return nc_pickle_push_name(m, module->text, module->length, name->text, name->length);
}

static int step(struct nc_pickle_machine *m, uint8_t opcode)
{
    switch (opcode) {
    case 0x80:
        return protocol(m);
    case 0x95:
        return skip_frame(m);
    case '(':
        return nc_pickle_push(m, &m->mark);
    case '0':
        return drop(m);
    case '1':
        return drop_to_mark(m);
    case '2':
        return duplicate(m);
    case 'N':
        return nc_pickle_push(m, &m->pickle->none);
    case 0x88:
        return nc_pickle_push(m, &m->pickle->yes);
    case 0x89:
        return nc_pickle_push(m, &m->pickle->no);
    case 'I':
        return push_decimal(m);
    case 'J':
        return push_unsigned(m, 4);
    case 'K':
        return push_unsigned(m, 1);
    case 'M':
        return push_unsigned(m, 2);
    case 0x8a:
        return counted_long(m, 1);
    case 0x8b:
        return counted_long(m, 4);
    case 'G':
        return push_real(m);
    case 'X':
        return push_text(m, 4, NC_PICKLE_TEXT);
    case 0x8c:
        return push_text(m, 1, NC_PICKLE_TEXT);
    case 0x8d:
        return push_text(m, 8, NC_PICKLE_TEXT);
    case 'U':
        return push_text(m, 1, NC_PICKLE_TEXT);
    case 'T':
        return push_text(m, 4, NC_PICKLE_TEXT);
    case 'C':
        return push_text(m, 1, NC_PICKLE_OTHER);
    case 'B':
        return push_text(m, 4, NC_PICKLE_OTHER);
    case 0x8e:
        return push_text(m, 8, NC_PICKLE_OTHER);
    case 0x96:
        return push_text(m, 8, NC_PICKLE_OTHER);
    case ')':
        return push_empty(m, NC_PICKLE_LIST);
    case ']':
        return push_empty(m, NC_PICKLE_LIST);
    case '}':
        return push_empty(m, NC_PICKLE_DICT);
    case 't':
        return nc_pickle_push_marked(m, NC_PICKLE_LIST);
    case 'l':
        return nc_pickle_push_marked(m, NC_PICKLE_LIST);
    case 'd':
        return nc_pickle_push_marked(m, NC_PICKLE_DICT);
    case 0x85:
        return nc_pickle_push_tuple(m, 1);
    case 0x86:
        return nc_pickle_push_tuple(m, 2);
    case 0x87:
        return nc_pickle_push_tuple(m, 3);
    case 'a':
        return nc_pickle_fill(m, NC_PICKLE_LIST);
    case 'e':
        return nc_pickle_fill_marked(m, NC_PICKLE_LIST);
    case 's':
        return nc_pickle_fill(m, NC_PICKLE_DICT);
    case 'u':
        return nc_pickle_fill_marked(m, NC_PICKLE_DICT);
    case 0x8f:
        return nc_pickle_push(m, &m->pickle->none); /* an empty set, */
    case 0x90:
        return drop_to_mark(m); /* what goes into it, */
    case 0x91:
        return push_other_marked(m); /* and a frozen one */
    case 'c':
        return push_global(m);
    case 0x93:
        return push_stack_global(m);
    case 'R':
        return nc_pickle_reduce(m);
    case 0x81:
        return nc_pickle_reduce(m); /* makes what calling the type makes */
    case 'b':
        return nc_pickle_build(m);
    case 'Q':
        return nc_pickle_load_storage(m);
    case 'h':
        return indexed(m, 1, nc_pickle_recall);
    case 'j':
        return indexed(m, 4, nc_pickle_recall);
    case 'q':
        return indexed(m, 1, nc_pickle_memoize);
    case 'r':
        return indexed(m, 4, nc_pickle_memoize);
    case 0x94:
        return nc_pickle_memoize(m, m->memoized);
    default:
        return nc_error(NC_BAD_INPUT,
                        "%s: its pickle holds the opcode 0x%02x at byte %zu, which no state dict "
                        "needs",
                        m->path, opcode, m->opcode);
    }
}

int nc_pickle_read(const char *path, const uint8_t *bytes, size_t size, struct nc_pickle **pickle,
                   const struct nc_pickle_value **root)
{
    *pickle = NULL;
    if (size > LARGEST_PICKLE)
        return nc_error(NC_BAD_INPUT,
                        "%s: its pickle has %zu bytes, and no state dict needs more than %d; save "
                        "model.state_dict() alone",
                        path, size, LARGEST_PICKLE);
    struct nc_pickle_machine m = {
        .path = path,
        .bytes = bytes,
        .size = size,
        .pickle = calloc(1, sizeof *m.pickle),
    };
    if (!m.pickle)
        return nc_pickle_no_memory(&m);
    m.pickle->yes = (value){.kind = NC_PICKLE_NUMBER, .number = 1};
    m.pickle->no = (value){.kind = NC_PICKLE_NUMBER};
    int status = NC_OK;
    bool stopped = false;
    while (status == NC_OK && !stopped) {
        const uint8_t *opcode;
        m.opcode = m.at;
        status = take(&m, 1, &opcode);
        stopped = status == NC_OK && *opcode == '.';
        if (status == NC_OK && !stopped)
            status = step(&m, *opcode);
    }
    value *result = status == NC_OK ? nc_pickle_pop(&m) : NULL;
    if (status == NC_OK && !result)
        status = NC_BAD_INPUT;
    free(m.stack);
    free(m.memo);
    if (status != NC_OK) {
        nc_pickle_free(m.pickle);
        return status;
    }
    *pickle = m.pickle;
    *root = result;
    return NC_OK;
}

void nc_pickle_free(struct nc_pickle *pickle)
{
    if (!pickle)
        return;
    while (pickle->blocks) {
        struct nc_pickle_block *block = pickle->blocks;
        for (size_t i = 0; i < pickle->used; i++) {
            value *item = &block->values[i];
            if (item->kind == NC_PICKLE_LIST || item->kind == NC_PICKLE_DICT)
                free(item->items);
            else if (item->kind == NC_PICKLE_TENSOR)
                free(item->tensor);
        }
        pickle->used = NC_PICKLE_VALUES_A_BLOCK;
        pickle->blocks = block->next;
        free(block);
    }
    free(pickle);
}
