/* The machine behind pickle.h: its stack, and what its files call of each other.
 *
 *   pickle_machine.c   values, the stack, the memo, lists and dictionaries
 *   pickle_make.c      names, and what is made of them: tensors, storages, modules
 *   pickle_names.c     the list of names
 *   pickle.c           the opcodes
 */
#ifndef NCLIP_HOST_CHECKPOINTS_PICKLE_MACHINE_H
#define NCLIP_HOST_CHECKPOINTS_PICKLE_MACHINE_H

#include "pickle.h"

enum { NC_PICKLE_VALUES_A_BLOCK = 1024 };

/* Values in blocks that stay where they are. */
struct nc_pickle_block {
    struct nc_pickle_block *next;
    struct nc_pickle_value values[NC_PICKLE_VALUES_A_BLOCK];
};

struct nc_pickle {
    struct nc_pickle_block *blocks;
    size_t used;                          /* of the first block */
    size_t values;                        /* of all */
    struct nc_pickle_value none, yes, no; /* shared by all that are alike */
};

struct nc_pickle_machine {
    const char *path;
    const uint8_t *bytes;
    size_t size, at;
    size_t opcode; /* where the one being carried out is */
    struct nc_pickle *pickle;
    struct nc_pickle_value **stack;
    size_t depth, capacity;
    struct nc_pickle_value **memo; /* NULL where nothing is kept */
    size_t memo_capacity, memoized;
    struct nc_pickle_value mark; /* stands in the stack; never part of a value */
};

/* Records that the pickle is damaged, and where. */
int nc_pickle_damaged(const struct nc_pickle_machine *m, const char *what);
int nc_pickle_no_memory(const struct nc_pickle_machine *m);

int nc_pickle_make(struct nc_pickle_machine *m, enum nc_pickle_kind kind,
                   struct nc_pickle_value **made);
int nc_pickle_append(struct nc_pickle_machine *m, struct nc_pickle_value *list,
                     struct nc_pickle_value *item);

int nc_pickle_push(struct nc_pickle_machine *m, struct nc_pickle_value *item);
/* Takes the uppermost value; NULL, with the error set, when there is none. */
struct nc_pickle_value *nc_pickle_pop(struct nc_pickle_machine *m);
/* The first value above the last mark. */
int nc_pickle_find_mark(const struct nc_pickle_machine *m, size_t *first);

/* The uppermost value is kept as number `index`; that number's value is pushed. */
int nc_pickle_memoize(struct nc_pickle_machine *m, uint64_t index);
int nc_pickle_recall(struct nc_pickle_machine *m, uint64_t index);

/* The values above the last mark, as a list or dictionary in its place; the last `count` values as
 * a list. */
int nc_pickle_push_marked(struct nc_pickle_machine *m, enum nc_pickle_kind kind);
int nc_pickle_push_tuple(struct nc_pickle_machine *m, size_t count);
/* Into the list or dictionary below the last mark go the values above it; into what is below the
 * last one or two values go these. */
int nc_pickle_fill_marked(struct nc_pickle_machine *m, enum nc_pickle_kind kind);
int nc_pickle_fill(struct nc_pickle_machine *m, enum nc_pickle_kind kind);

/* ---- pickle_make.c ---- */

/* NC_BAD_INPUT, naming it, for a name that is not on the list. */
int nc_pickle_push_name(struct nc_pickle_machine *m, const char *module, size_t module_length,
                        const char *name, size_t name_length);
int nc_pickle_reduce(struct nc_pickle_machine *m);
int nc_pickle_build(struct nc_pickle_machine *m);
int nc_pickle_load_storage(struct nc_pickle_machine *m);

#endif
