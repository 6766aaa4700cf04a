/* The best columns of each row and the best rows of each column of a matrix of cosines, without
 * keeping the whole matrix. */
#ifndef NCLIP_HOST_EVALUATE_RANKING_H
#define NCLIP_HOST_EVALUATE_RANKING_H

#include "nclip/ops.h"

enum { RANKED = 10 };

/* The highest scores, highest first; of equals the lower index comes first. */
struct ranking {
    float score[RANKED];
    size_t index[RANKED];
    size_t count; /* RANKED, or as many as there are */
};

/* by_row[row_count] and by_column[column_count] (or NULL) of rows[row_count, width] times
 * columns[column_count, width] transposed, in fp32 through `ops`. */
int ranking_compute(struct nc_ops *ops, const float *rows, size_t row_count, const float *columns,
                    size_t column_count, size_t width, struct ranking *by_row,
                    struct ranking *by_column);

#endif
