/* Numbers as text that reads back as the same number. */
#ifndef NCLIP_NUMBER_H
#define NCLIP_NUMBER_H

enum { NC_NUMBER_SIZE = 32 };

/* The fewest digits that strtod turns back into exactly `value`: "0.1", "1e-06", "512". Not
 * finite: "nan", "inf", "-inf". Returns `text`. */
const char *nc_number_text(double value, char text[NC_NUMBER_SIZE]);

#endif
