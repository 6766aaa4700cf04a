/* Adds an item with one right caption and its foils. */
#include "items.h"

#include "nclip/support/error.h"

int foils_add(struct nc_choice_items *items, const char *where, const char *group, bool strict,
              const char *image, const double *box, const char *caption, const char *const *foils,
              size_t foil_count)
{
    struct nc_choice_item item = {
        .phrases_vary = true, .strict = strict, .first = items->option_count};
    size_t index;
    int status = *image ? choice_items_view(items, image, box, &item.fixed)
                        : nc_error(NC_BAD_INPUT, "%s: the picture's name is empty", where);
    for (size_t i = 0; i <= foil_count && status == NC_OK; i++) {
        status = choice_items_phrase(items, i ? foils[i - 1] : caption, &index);
        if (status == NC_OK)
            status = choice_items_option(items, index);
    }
    return status == NC_OK ? choice_items_add(items, where, group, &item) : status;
}
