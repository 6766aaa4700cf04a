/* Counts damaged and unreadable pictures, and names the first of each. */
#include "nclip/pictures/damage.h"

#include "nclip/support/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void nc_damage_note(struct nc_damage *damage, const char *picture, const char *what)
{
    /* Without memory it is counted, and not named. */
    if (damage->count < NC_DAMAGE_NAMED &&
        asprintf(&damage->named[damage->count], "%s: %s", picture, what) < 0)
        damage->named[damage->count] = NULL;
    damage->count++;
}

void nc_damage_free(struct nc_damage *damage)
{
    for (size_t i = 0; i < NC_DAMAGE_NAMED; i++)
        free(damage->named[i]);
    *damage = (struct nc_damage){0};
}

void nc_damage_tell(const struct nc_damage *damage, const char *what)
{
    if (!damage->count)
        return;
    fprintf(stderr, "%zu %s: ", damage->count, what);
    size_t named = 0;
    for (size_t i = 0; i < NC_DAMAGE_NAMED; i++) {
        if (!damage->named[i])
            continue;
        fputs(named++ ? "; " : "", stderr);
        nc_terminal_print(stderr, damage->named[i]);
    }
    if (named < damage->count)
        fprintf(stderr, "%s%zu more", named ? "; and " : "", damage->count - named);
    fputc('\n', stderr);
}
