/* Rebuilds tensors, storages and modules from the names in a pickle. */
#include "pickle_machine.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

typedef struct nc_pickle_value value;

int nc_pickle_push_name(struct nc_pickle_machine *m, const char *module, size_t module_length,
                        const char *name, size_t name_length)
{
    value *item;
    const struct nc_pickle_name *found =
        nc_pickle_find_name(module, module_length, name, name_length);
    if (!found)
        return nc_error(NC_BAD_INPUT,
                        "%s: its pickle asks for %.*s.%.*s, which is no part of a state dict (it "
                        "was not run); in Python, torch.save(model.state_dict(), \"weights.pt\") "
                        "or safetensors.torch.save_file() writes one without",
                        m->path, (int)(module_length < 100 ? module_length : 100), module,
                        (int)(name_length < 100 ? name_length : 100), name);
    int status = nc_pickle_make(m, NC_PICKLE_NAME, &item);
    if (status != NC_OK)
        return status;
    item->name = found;
    return nc_pickle_push(m, item);
}

/* A list of sizes, none below 0. */
static bool read_sizes(const value *list, size_t *rank, size_t sizes[NC_TENSOR_RANK])
{
    if (list->kind != NC_PICKLE_LIST || list->count > NC_TENSOR_RANK)
        return false;
    *rank = list->count;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != NC_PICKLE_NUMBER || list->items[i]->number < 0)
            return false;
        sizes[i] = (size_t)list->items[i]->number;
    }
    return true;
}

static int make_tensor(struct nc_pickle_machine *m, const value *arguments, value **made)
{
    size_t strides;
    if (arguments->count < 4 || arguments->items[0]->kind != NC_PICKLE_STORAGE ||
        arguments->items[1]->kind != NC_PICKLE_NUMBER || arguments->items[1]->number < 0)
        return nc_pickle_damaged(m, "a tensor without its storage");
    int status = nc_pickle_make(m, NC_PICKLE_TENSOR, made);
    if (status != NC_OK)
        return status;
    struct nc_pickle_tensor *tensor = (*made)->tensor = calloc(1, sizeof *tensor);
    if (!tensor)
        return nc_pickle_no_memory(m);
    tensor->of = &arguments->items[0]->storage;
    tensor->offset = (size_t)arguments->items[1]->number;
    if (!read_sizes(arguments->items[2], &tensor->rank, tensor->shape) ||
        !read_sizes(arguments->items[3], &strides, tensor->stride) || strides != tensor->rank)
        return nc_pickle_damaged(
            m, "a tensor whose shape and strides are not whole numbers, or too many");
    return NC_OK;
}

/* Of nothing, or of one list of pairs. */
static int make_dict(struct nc_pickle_machine *m, const value *arguments, value **made)
{
    const value *pairs = arguments->count ? arguments->items[0] : NULL;
    int status = nc_pickle_make(m, NC_PICKLE_DICT, made);
    if (status == NC_OK && pairs && (arguments->count > 1 || pairs->kind != NC_PICKLE_LIST))
        status = nc_pickle_damaged(m, "a dictionary of something else than pairs");
    for (size_t i = 0; status == NC_OK && pairs && i < pairs->count; i++) {
        const value *pair = pairs->items[i];
        if (pair->kind != NC_PICKLE_LIST || pair->count != 2)
            return nc_pickle_damaged(m, "a dictionary of something else than pairs");
        status = nc_pickle_append(m, *made, pair->items[0]);
        if (status == NC_OK)
            status = nc_pickle_append(m, *made, pair->items[1]);
    }
    return status;
}

/* What the function makes of its arguments. */
static int call(struct nc_pickle_machine *m, const value *function, const value *arguments,
                value **made)
{
    value *const *items = arguments->items;
    size_t count = arguments->count;
    if (function->kind != NC_PICKLE_NAME)
        return nc_pickle_damaged(m, "it calls what is no function");
    switch (function->name->role) {
    case NC_PICKLE_MAKES_DICT:
        return make_dict(m, arguments, made);
    case NC_PICKLE_MAKES_TENSOR:
        return make_tensor(m, arguments, made);
    case NC_PICKLE_MAKES_LIST:
    case NC_PICKLE_MAKES_FIRST:
        if (!count)
            return nc_pickle_damaged(m, "a function without arguments");
        *made = items[0];
        return NC_OK;
    case NC_PICKLE_MAKES_SUBCLASS:
        if (count < 3 || items[0]->kind != NC_PICKLE_NAME || items[2]->kind != NC_PICKLE_LIST ||
            items[0]->name->role != NC_PICKLE_MAKES_TENSOR)
            return nc_pickle_damaged(m, "a tensor that is made in no known way");
        return make_tensor(m, items[2], made);
    case NC_PICKLE_MAKES_MODULE:
        return nc_pickle_make(m, NC_PICKLE_MODULE, made);
    case NC_PICKLE_MAKES_OTHER:
        *made = &m->pickle->none;
        return NC_OK;
    default:
        return nc_pickle_damaged(m, "it calls what is no function");
    }
}

int nc_pickle_reduce(struct nc_pickle_machine *m)
{
    value *made, *arguments = nc_pickle_pop(m), *function = arguments ? nc_pickle_pop(m) : NULL;
    if (!function)
        return NC_BAD_INPUT;
    if (arguments->kind != NC_PICKLE_LIST)
        return nc_pickle_damaged(m, "a function's arguments are no tuple");
    int status = call(m, function, arguments, &made);
    return status == NC_OK ? nc_pickle_push(m, made) : status;
}

/* A module's attributes; what other things are given besides their content (an ordered
 * dictionary's _metadata) is passed over. */
int nc_pickle_build(struct nc_pickle_machine *m)
{
    value *state = nc_pickle_pop(m);
    if (!state)
        return NC_BAD_INPUT;
    if (!m->depth || m->stack[m->depth - 1] == &m->mark)
        return nc_pickle_damaged(m, "it takes a value from an empty stack");
    value *object = m->stack[m->depth - 1];
    if (object->kind == NC_PICKLE_MODULE && state->kind == NC_PICKLE_DICT)
        object->attributes = state;
    return NC_OK;
}

/* ("storage", type, key, device, elements) */
int nc_pickle_load_storage(struct nc_pickle_machine *m)
{
    value *made, *id = nc_pickle_pop(m);
    if (!id)
        return NC_BAD_INPUT;
    if (id->kind != NC_PICKLE_LIST || id->count < 5 || id->items[1]->kind != NC_PICKLE_NAME ||
        id->items[1]->name->role != NC_PICKLE_IS_STORAGE_TYPE ||
        id->items[2]->kind != NC_PICKLE_TEXT || id->items[4]->kind != NC_PICKLE_NUMBER ||
        id->items[4]->number < 0)
        return nc_pickle_damaged(m, "a storage without type, key or size");
    int status = nc_pickle_make(m, NC_PICKLE_STORAGE, &made);
    if (status != NC_OK)
        return status;
    made->storage = (struct nc_pickle_storage){
        .type_name = id->items[1]->name->type_name,
        .key = id->items[2]->text,
        .key_length = id->items[2]->length,
        .count = (size_t)id->items[4]->number,
    };
    return nc_pickle_push(m, made);
}
