/* A "language model" for tests: answers the built-in prompts by rule, the same question always in
 * the same way. */
#ifndef TESTS_GENERATE_RULE_MODEL_H
#define TESTS_GENERATE_RULE_MODEL_H

#include "chat_server.h"

struct rule_model {
    unsigned long seed;
    unsigned wrong;  /* of 100 answers, so many are refusals, ramble, and so on */
    unsigned faults; /* of 100 first tries, so many fail; later tries likewise, up to the third */
};

/* A server_handler; the context is a struct rule_model. */
void rule_model_answer(void *context, const struct server_request *request,
                       struct server_reply *reply);

#endif
