/* Edit distances, and the known name that is nearest to a mistyped one. */
#include "nclip/support/nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 63 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t nc_edit_distance(const char *a, const char *b)
{
    size_t a_length = strnlen(a, LONGEST), b_length = strnlen(b, LONGEST);
    size_t rows[3][LONGEST + 1]; /* row i of the table is rows[i % 3] */

    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                row[j] = smaller(row[j], above_that[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *nc_nearest(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 1; /* a slip in a short word, a few in a long one */
    for (size_t i = 0; i < count; i++) {
        size_t distance = nc_edit_distance(word, names[i]);
        if (distance < least || (distance == least && !nearest)) {
            least = distance;
            nearest = names[i];
        }
    }
    if (nearest || strlen(word) < 3)
        return nearest;
    size_t starting = 0; /* a word that was cut short: "eval" */
    for (size_t i = 0; i < count; i++) {
        if (strncasecmp(names[i], word, strlen(word)) == 0) {
            nearest = names[i];
            starting++;
        }
    }
    return starting == 1 ? nearest : NULL;
}
