/* Writes a number with the fewest digits that read back as the same number; reads one. */
#include "nclip/support/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *nc_number_text(double value, char text[NC_NUMBER_SIZE])
{
    if (isnan(value)) {
        snprintf(text, NC_NUMBER_SIZE, "nan"); /* never "-nan" */
        return text;
    }
    if (fabs(value) <= 0x1p53 && value == floor(value)) {
        snprintf(text, NC_NUMBER_SIZE, "%.0f", value); /* 1000, not 1e+03 */
        return text;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, NC_NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

const char *nc_float_text(float value, char text[NC_NUMBER_SIZE])
{
    if (!isfinite(value))
        return nc_number_text((double)value, text);
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, NC_NUMBER_SIZE, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return text;
}

const char *nc_number_yaml(double value, char text[NC_NUMBER_SIZE])
{
    char *exponent = strchr(nc_number_text(value, text), 'e');
    if (exponent && !strchr(text, '.')) {
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        memcpy(exponent, ".0", 2);
    }
    return text;
}

bool nc_number_read(const char *text, double *value)
{
    char *end = NULL;
    *value = *text && strchr(" \t\n\r", *text) ? 0 : strtod(text, &end);
    return end && end != text && !*end && isfinite(*value);
}
