/* Numbers as text that reads back as the same number. */
#ifndef NCLIP_SUPPORT_NUMBER_H
#define NCLIP_SUPPORT_NUMBER_H

#include <stdbool.h>

enum { NC_NUMBER_SIZE = 32 };

/* The fewest digits that strtod turns back into exactly `value`: "0.1", "1e-06", "512". Not
 * finite: "nan", "inf", "-inf". Returns `text`. */
const char *nc_number_text(double value, char text[NC_NUMBER_SIZE]);

/* The same for a float: the fewest digits that are this float and no other ("1e-05", not
 * "9.99999974737875e-06"). */
const char *nc_float_text(float value, char text[NC_NUMBER_SIZE]);

/* nc_number_text for YAML: "1e-06" is a string to readers of YAML 1.1, "1.0e-06" a number to all. */
const char *nc_number_yaml(double value, char text[NC_NUMBER_SIZE]);

/* The whole of a text as a finite number, by strtod and without white space before it. */
bool nc_number_read(const char *text, double *value);

#endif
