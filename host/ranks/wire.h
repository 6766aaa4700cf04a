/* The messages that the watches of a run's ranks send each other over TCP. They are small, and no
 * call waits for the other side. */
#ifndef NCLIP_HOST_RANKS_WIRE_H
#define NCLIP_HOST_RANKS_WIRE_H

#include "watch.h"

enum wire_kind {
    WIRE_HELLO = 0x6e636c31, /* `number` is the token, `text` the host */
    WIRE_BEAT,               /* `status` is 1 to ask for patience, `text` what the rank waits in */
    WIRE_FAIL,               /* the status, and as `text` the message */
    WIRE_END,                /* the status with which to end */
    WIRE_SPOKEN,             /* rank 0 has printed the message; WIRE_END will follow */
    WIRE_BYE,                /* this rank has finished its work */
};

/* In the machines' byte order: all of a cluster have the same. */
struct wire_head {
    uint32_t kind, rank, status, length; /* length: of the text behind */
    uint64_t number;                     /* a hello's token; a beat's last ticket started */
    uint64_t completed, blocked, activity, ticks;
};

enum { WIRE_TEXT = 2047 };

struct wire_message {
    struct wire_head head;
    char text[WIRE_TEXT + 1];
};

struct wire {
    int fd;      /* -1: closed */
    size_t have; /* bytes of the next message */
    char buffer[sizeof(struct wire_head) + WIRE_TEXT];
};

/* A listener on any address; fills port and addresses of *place. */
int wire_listen(struct nc_watch_place *place, int *fd);
/* Tries each address, this host first; the listener proves itself by sending back a HELLO
 * with the same token. */
int wire_connect(struct wire *wire, const struct nc_watch_place *place,
                 const struct wire_message *hello);

/* False when the connection is gone, which it then closes. */
bool wire_send(struct wire *wire, const struct wire_message *message);
enum wire_result { WIRE_NOTHING, WIRE_MESSAGE, WIRE_GONE };
enum wire_result wire_receive(struct wire *wire, struct wire_message *message);
void wire_close(struct wire *wire);

#endif
