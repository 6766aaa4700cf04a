/* The forms of help by their names. */
#include "help.h"

#include <string.h>

nc_help_printer *nc_help_in_form(const char *name)
{
    static const struct {
        const char *name;
        nc_help_printer *print;
    } forms[] = {
        {"man", nc_help_print_man},
        {"bash", nc_help_print_bash},
        {"zsh", nc_help_print_zsh},
        {"fish", nc_help_print_fish},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, name) == 0)
            return forms[i].print;
    return NULL;
}
