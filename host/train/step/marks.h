/* The numbers of the backend's marks (ops.h) that a step uses, so that no two uses collide. */
#ifndef NCLIP_HOST_TRAIN_STEP_MARKS_H
#define NCLIP_HOST_TRAIN_STEP_MARKS_H

enum nc_train_mark {
    NC_MARK_OVER = 0,   /* a piece has arrived in the backend's memory; one for each block */
    NC_MARK_PLACED = 2, /* its block is free again */
    NC_MARK_RESULT = 4, /* a step's results have arrived; one for each step in flight */
    NC_MARK_RANKS = 8,  /* what all ranks' captions belong to has arrived; one for each block */
};

#endif
