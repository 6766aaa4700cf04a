/* The values, the stack and the memo of a pickle's machine. */
#include "pickle_machine.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 1 << 20 };

typedef struct nc_pickle_value value;

int nc_pickle_damaged(const struct nc_pickle_machine *m, const char *what)
{
    return nc_error(NC_BAD_INPUT,
                    "%s: its pickle is damaged: %s at byte %zu of it; get the file "
                    "anew",
                    m->path, what, m->opcode);
}

int nc_pickle_no_memory(const struct nc_pickle_machine *m)
{
    return nc_error(NC_FAILED, "%s: no memory for its list of tensors", m->path);
}

/* ---- Values ---- */

int nc_pickle_make(struct nc_pickle_machine *m, enum nc_pickle_kind kind, value **made)
{
    struct nc_pickle *pickle = m->pickle;
    if (pickle->values == MOST_VALUES)
        return nc_error(NC_BAD_INPUT,
                        "%s: its pickle holds more than %d values, which no state dict needs; save "
                        "model.state_dict() alone",
                        m->path, MOST_VALUES);
    if (!pickle->blocks || pickle->used == NC_PICKLE_VALUES_A_BLOCK) {
        struct nc_pickle_block *block = malloc(sizeof *block);
        if (!block)
            return nc_pickle_no_memory(m);
        block->next = pickle->blocks;
        pickle->blocks = block;
        pickle->used = 0;
    }
    *made = &pickle->blocks->values[pickle->used++];
    pickle->values++;
    **made = (value){.kind = kind};
    return NC_OK;
}

int nc_pickle_push(struct nc_pickle_machine *m, value *item)
{
    if (m->depth == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 256;
        value **larger = reallocarray(m->stack, capacity, sizeof *larger);
        if (!larger)
            return nc_pickle_no_memory(m);
        m->stack = larger;
        m->capacity = capacity;
    }
    m->stack[m->depth++] = item;
    return NC_OK;
}

/* Takes the uppermost value; NULL, with the error set, when there is none. */
value *nc_pickle_pop(struct nc_pickle_machine *m)
{
    if (!m->depth || m->stack[m->depth - 1] == &m->mark) {
        nc_pickle_damaged(m, "it takes a value from an empty stack");
        return NULL;
    }
    return m->stack[--m->depth];
}

/* The uppermost value, which stays; of `kind`. NULL, with the error set, otherwise. */
static value *top(struct nc_pickle_machine *m, enum nc_pickle_kind kind)
{
    if (m->depth && m->stack[m->depth - 1]->kind == kind && m->stack[m->depth - 1] != &m->mark)
        return m->stack[m->depth - 1];
    nc_pickle_damaged(m, "it fills something else than a list or dictionary");
    return NULL;
}

/* The first value above the last mark. */
int nc_pickle_find_mark(const struct nc_pickle_machine *m, size_t *first)
{
    *first = 0;
    for (size_t i = m->depth; i > 0; i--) {
        if (m->stack[i - 1] == &m->mark) {
            *first = i;
            return NC_OK;
        }
    }
    return nc_pickle_damaged(m, "a mark is missing");
}

int nc_pickle_append(struct nc_pickle_machine *m, value *list, value *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        value **larger = reallocarray(list->items, capacity, sizeof *larger);
        if (!larger)
            return nc_pickle_no_memory(m);
        list->items = larger;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return NC_OK;
}

/* ---- The memo ---- */

int nc_pickle_memoize(struct nc_pickle_machine *m, uint64_t index)
{
    if (!m->depth || m->stack[m->depth - 1] == &m->mark)
        return nc_pickle_damaged(m, "it keeps a value of an empty stack");
    if (index >= m->size)
        return nc_pickle_damaged(m, "it keeps more values than it has bytes");
    if (index >= m->memo_capacity) {
        size_t capacity = m->memo_capacity ? m->memo_capacity : 256;
        while (capacity <= index)
            capacity *= 2;
        value **larger = reallocarray(m->memo, capacity, sizeof *larger);
        if (!larger)
            return nc_pickle_no_memory(m);
        memset(larger + m->memo_capacity, 0, (capacity - m->memo_capacity) * sizeof *larger);
        m->memo = larger;
        m->memo_capacity = capacity;
    }
    m->memo[index] = m->stack[m->depth - 1];
    m->memoized++;
    return NC_OK;
}

int nc_pickle_recall(struct nc_pickle_machine *m, uint64_t index)
{
    if (index >= m->memo_capacity || !m->memo[index])
        return nc_pickle_damaged(m, "it asks for a value that it never kept");
    return nc_pickle_push(m, m->memo[index]);
}

/* ---- Lists and dictionaries ---- */

static int push_list(struct nc_pickle_machine *m, size_t first)
{
    value *list;
    int status = nc_pickle_make(m, NC_PICKLE_LIST, &list);
    for (size_t i = first; i < m->depth && status == NC_OK; i++)
        status = nc_pickle_append(m, list, m->stack[i]);
    if (status != NC_OK)
        return status;
    m->depth = first;
    return nc_pickle_push(m, list);
}

/* The values above the last mark, as a list in its place. */
int nc_pickle_push_marked(struct nc_pickle_machine *m, enum nc_pickle_kind kind)
{
    size_t first;
    int status = nc_pickle_find_mark(m, &first);
    if (status == NC_OK)
        status = push_list(m, first);
    if (status != NC_OK)
        return status;
    value *list = m->stack[m->depth - 1];
    list->kind = kind;
    m->depth -= 2;
    if (kind == NC_PICKLE_DICT && list->count % 2)
        return nc_pickle_damaged(m, "a dictionary has a key without a value");
    return nc_pickle_push(m, list);
}

/* The last `count` values. */
int nc_pickle_push_tuple(struct nc_pickle_machine *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (m->depth <= i || m->stack[m->depth - 1 - i] == &m->mark)
            return nc_pickle_damaged(m, "it takes a value from an empty stack");
    return push_list(m, m->depth - count);
}

/* Into the list or dictionary below the last mark go the values above it. */
int nc_pickle_fill_marked(struct nc_pickle_machine *m, enum nc_pickle_kind kind)
{
    size_t first, depth = m->depth;
    int status = nc_pickle_find_mark(m, &first);
    if (status != NC_OK)
        return status;
    if (kind == NC_PICKLE_DICT && (depth - first) % 2)
        return nc_pickle_damaged(m, "a dictionary has a key without a value");
    m->depth = first - 1;
    value *into = top(m, kind);
    if (!into)
        return NC_BAD_INPUT;
    for (size_t i = first; i < depth && status == NC_OK; i++)
        status = nc_pickle_append(m, into, m->stack[i]);
    return status;
}

/* The last one or two values go into what is below them. */
int nc_pickle_fill(struct nc_pickle_machine *m, enum nc_pickle_kind kind)
{
    value *second = kind == NC_PICKLE_DICT ? nc_pickle_pop(m) : NULL;
    value *first = kind == NC_PICKLE_DICT && !second ? NULL : nc_pickle_pop(m);
    value *into = first ? top(m, kind) : NULL;
    if (!into)
        return NC_BAD_INPUT;
    int status = nc_pickle_append(m, into, first);
    return status == NC_OK && second ? nc_pickle_append(m, into, second) : status;
}
