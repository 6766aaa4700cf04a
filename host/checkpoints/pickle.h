/* Python's pickle, read by a machine that can only rebuild what a state dict is made of.
 *
 * A pickle is a program that may call any function of Python. This machine has the opcodes of
 * protocols 2 to 5 that build values, and a short list of names (pickle_names.c): ordered
 * dictionaries, tensors, parameters, storages, and the modules of TorchScript, whose attributes
 * alone are kept. Every other name is refused, and named. Nothing is called, nothing runs.
 *
 * Source: CPython's Lib/pickletools.py; PyTorch's torch/_utils.py and torch/serialization.py.
 */
#ifndef NCLIP_HOST_CHECKPOINTS_PICKLE_H
#define NCLIP_HOST_CHECKPOINTS_PICKLE_H

#include "nclip/checkpoints/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nc_pickle_kind {
    NC_PICKLE_OTHER,  /* None, or something that is of no interest here: a set, bytes, a type */
    NC_PICKLE_NUMBER, /* whole; True and False too */
    NC_PICKLE_REAL,
    NC_PICKLE_TEXT,
    NC_PICKLE_LIST,    /* tuples too */
    NC_PICKLE_DICT,    /* ordered or not */
    NC_PICKLE_STORAGE, /* numbers in a member of the archive */
    NC_PICKLE_TENSOR,
    NC_PICKLE_MODULE, /* of TorchScript */
    NC_PICKLE_NAME,   /* a function or a type of the list */
};

struct nc_pickle_storage {
    const char *type_name;    /* "F32", as in nc_tensor */
    const char *key;          /* the member's name behind "data/", key_length bytes */
    size_t key_length, count; /* elements */
};

struct nc_pickle_tensor {
    const struct nc_pickle_storage *of;
    size_t offset, rank, shape[NC_TENSOR_RANK], stride[NC_TENSOR_RANK]; /* in elements */
};

struct nc_pickle_value {
    enum nc_pickle_kind kind;
    union {
        long long number;
        struct {
            const char *text; /* UTF-8 as it stands in the pickle, no zero behind it */
            size_t length;
        };
        struct {
            struct nc_pickle_value **items; /* of a dict: key, value, key, value, ... */
            size_t count, capacity;
        };
        struct nc_pickle_storage storage;
        struct nc_pickle_tensor *tensor;
        const struct nc_pickle_value *attributes; /* a module's: a dict, or NULL */
        const struct nc_pickle_name *name;
    };
};

/* Reads the pickle; *root is its value. A value may be part of several others, and even
 * of itself: who walks down bounds the depth and the steps. All belong to *pickle, and point into
 * `bytes`. `path` is for messages. NC_BAD_INPUT: another opcode or name, damaged, or more than a
 * state dict needs. */
struct nc_pickle;
int nc_pickle_read(const char *path, const uint8_t *bytes, size_t size, struct nc_pickle **pickle,
                   const struct nc_pickle_value **root);
void nc_pickle_free(struct nc_pickle *pickle); /* NULL is allowed */

/* ---- Names (pickle_names.c) ---- */

enum nc_pickle_role {
    NC_PICKLE_IS_TYPE,         /* stands for itself: never called */
    NC_PICKLE_MAKES_DICT,      /* from nothing, or a list of pairs */
    NC_PICKLE_MAKES_LIST,      /* from a list */
    NC_PICKLE_MAKES_TENSOR,    /* (storage, offset, shape, stride, ...) */
    NC_PICKLE_MAKES_FIRST,     /* its first argument */
    NC_PICKLE_MAKES_SUBCLASS,  /* (function, type, arguments, state): what the function makes */
    NC_PICKLE_MAKES_MODULE,    /* TorchScript's own types */
    NC_PICKLE_MAKES_OTHER,     /* something that is passed over */
    NC_PICKLE_IS_STORAGE_TYPE, /* of elements of `type_name` */
};

struct nc_pickle_name {
    const char *module, *name; /* name NULL: all of the module and of those below it */
    enum nc_pickle_role role;
    const char *type_name;
};

/* NULL for a name that is not on the list. */
const struct nc_pickle_name *nc_pickle_find_name(const char *module, size_t module_length,
                                                 const char *name, size_t name_length);

#endif
