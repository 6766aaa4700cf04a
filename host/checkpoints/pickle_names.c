/* The names that a pickle of weights may hold. */
#include "pickle.h"

#include <stdbool.h>

#include <string.h>

static const struct nc_pickle_name names[] = {
    {"collections", "OrderedDict", NC_PICKLE_MAKES_DICT},
    {"collections", "defaultdict", NC_PICKLE_MAKES_OTHER}, /* in optimizers' states */
    {"torch", "Size", NC_PICKLE_MAKES_LIST},
    {"torch", "device", NC_PICKLE_MAKES_OTHER},
    {"torch._utils", "_rebuild_tensor_v2", NC_PICKLE_MAKES_TENSOR},
    {"torch._utils", "_rebuild_parameter", NC_PICKLE_MAKES_FIRST},
    {"torch._utils", "_rebuild_parameter_with_state", NC_PICKLE_MAKES_FIRST},
    {"torch._tensor", "_rebuild_from_type_v2", NC_PICKLE_MAKES_SUBCLASS},
    {"torch", "Tensor", NC_PICKLE_IS_TYPE},
    {"torch.nn.parameter", "Parameter", NC_PICKLE_IS_TYPE},
    {"torch", "FloatStorage", NC_PICKLE_IS_STORAGE_TYPE, "F32"},
    {"torch", "HalfStorage", NC_PICKLE_IS_STORAGE_TYPE, "F16"},
    {"torch", "BFloat16Storage", NC_PICKLE_IS_STORAGE_TYPE, "BF16"},
    {"torch", "DoubleStorage", NC_PICKLE_IS_STORAGE_TYPE, "F64"},
    {"torch", "LongStorage", NC_PICKLE_IS_STORAGE_TYPE, "I64"},
    {"torch", "IntStorage", NC_PICKLE_IS_STORAGE_TYPE, "I32"},
    {"torch", "ShortStorage", NC_PICKLE_IS_STORAGE_TYPE, "I16"},
    {"torch", "CharStorage", NC_PICKLE_IS_STORAGE_TYPE, "I8"},
    {"torch", "ByteStorage", NC_PICKLE_IS_STORAGE_TYPE, "U8"},
    {"torch", "BoolStorage", NC_PICKLE_IS_STORAGE_TYPE, "BOOL"},
    {"torch", "float32", NC_PICKLE_IS_TYPE},
    {"torch", "float16", NC_PICKLE_IS_TYPE},
    {"torch", "bfloat16", NC_PICKLE_IS_TYPE},
    {"torch", "float64", NC_PICKLE_IS_TYPE},
    {"torch", "int64", NC_PICKLE_IS_TYPE},
    /* TorchScript */
    {"__torch__", NULL, NC_PICKLE_MAKES_MODULE},
    {"torch.jit._pickle", "build_intlist", NC_PICKLE_MAKES_FIRST},
    {"torch.jit._pickle", "build_doublelist", NC_PICKLE_MAKES_FIRST},
    {"torch.jit._pickle", "build_boollist", NC_PICKLE_MAKES_FIRST},
    {"torch.jit._pickle", "build_tensorlist", NC_PICKLE_MAKES_FIRST},
    {"torch.jit._pickle", "restore_type_tag", NC_PICKLE_MAKES_FIRST},
};

static bool equal(const char *known, const char *text, size_t length)
{
    return strlen(known) == length && memcmp(known, text, length) == 0;
}

const struct nc_pickle_name *nc_pickle_find_name(const char *module, size_t module_length,
                                                 const char *name, size_t name_length)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i].module);
        bool below = !names[i].name && module_length > length && module[length] == '.' &&
                     memcmp(names[i].module, module, length) == 0;
        if (below || (equal(names[i].module, module, module_length) &&
                      (!names[i].name || equal(names[i].name, name, name_length))))
            return &names[i];
    }
    return NULL;
}
