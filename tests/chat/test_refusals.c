/* A server that refuses a parameter says what it wants: that is sent from then on. The sentences
 * are those of servers and of the libraries in front of them. */
#include "../../host/chat/refusal.h"
#include "talk.h"

#include <math.h>

struct rule {
    const char *trigger; /* refused while the body holds it; NULL: always */
    int status;
    const char *answer;
};

static const struct rule *rules; /* ends with an answer of NULL */

static void refuse(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    for (const struct rule *rule = rules; rule->answer; rule++) {
        if (rule->trigger && !strstr(request->body, rule->trigger))
            continue;
        reply->status = rule->status;
        reply->body = strdup(rule->answer);
        return;
    }
    reply->body = server_completion(request->body, "stop");
}

#define OPENAI(message, param)                                                                     \
    "{\"error\": {\"message\": \"" message "\", \"type\": \"invalid_request_error\", \"param\": "   \
    param ", \"code\": \"unsupported_parameter\"}}"

static const struct {
    const char *name;
    struct rule rules[4];
    const char *sent;    /* a piece of the body that is accepted */
    const char *refused; /* as nc_chat_refused() tells it */
    size_t requests;     /* for two questions, one after the other */
} cases[] = {
    {"gpt-5",
     {{"\"max_tokens\"", 400,
       OPENAI("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
              "'max_completion_tokens' instead.",
              "\"max_tokens\"")}},
     "\"max_completion_tokens\":5",
     "max_tokens (max_completion_tokens is sent)",
     3},
    {"gpt-5, all at once",
     {{"\"max_tokens\"", 400,
       OPENAI("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
              "'max_completion_tokens' instead.",
              "null")},
      {"\"temperature\"", 400,
       OPENAI("Unsupported value: 'temperature' does not support 0.6 with this model. Only the "
              "default (1) value is supported.",
              "\"temperature\"")},
      {"\"top_p\"", 400,
       OPENAI("Unsupported parameter: 'top_p' is not supported with this model.", "null")}},
     "\"seed\":11,\"stream\":false,\"max_completion_tokens\":5}",
     "max_tokens (max_completion_tokens is sent), temperature (left out), top_p (left out)",
     5},
    {"the other way round",
     {{"\"max_tokens\"", 400, "{\"error\": \"unknown field `max_tokens`, expected one of `model`, "
                              "`messages`, `max_new_tokens`\"}"}},
     "\"max_new_tokens\":5",
     "max_tokens (max_new_tokens is sent)",
     3},
    {"a limit without a hint, and its other name refused too",
     {{"\"max_tokens\"", 400, "{\"message\": \"Unrecognized request argument supplied: max_tokens\"}"},
      {"\"max_completion_tokens\"", 400,
       "{\"message\": \"Unrecognized request argument supplied: max_completion_tokens\"}"}},
     "\"seed\":11,\"stream\":false}",
     "max_tokens (max_completion_tokens is sent), max_completion_tokens (left out)",
     4},
    {"Kimi",
     {{"\"temperature\":0.6", 400,
       "{\"error\": {\"message\": \"invalid temperature: only 1 is allowed for this model\", "
       "\"type\": \"invalid_request_error\"}}"}},
     "\"temperature\":1,",
     "temperature (1 is sent)",
     3},
    {"TGI",
     {{"\"top_p\":0.9,", 422,
       "{\"error\": \"Input validation error: `top_p` must be > 0.0 and < 0.5\", \"error_type\": "
       "\"validation\"}"}},
     "\"top_p\":0.49,",
     "top_p (0.01 to 0.49 is sent)",
     3},
    {"a bound on the tokens",
     {{"\"max_tokens\":5,", 400,
       OPENAI("Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 5 "
              "instead.",
              "\"max_tokens\"")}},
     "\"max_tokens\":16,",
     "max_tokens (16 or more is sent)",
     3},
    {"FastAPI",
     {{"\"seed\"", 422,
       "{\"detail\": [{\"type\": \"extra_forbidden\", \"loc\": [\"body\", \"seed\"], \"msg\": "
       "\"Extra inputs are not permitted\", \"input\": 11}]}"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"Mistral",
     {{"\"seed\"", 422,
       "{\"object\": \"error\", \"message\": {\"detail\": [{\"type\": \"extra_forbidden\", "
       "\"loc\": [\"body\", \"seed\"], \"msg\": \"Extra inputs are not permitted\"}]}, \"code\": "
       "null}"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"Gemini",
     {{"\"seed\"", 400,
       "[{\"error\": {\"code\": 400, \"message\": \"Invalid JSON payload received. Unknown name "
       "\\\"seed\\\": Cannot find field.\", \"status\": \"INVALID_ARGUMENT\"}}]"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"LiteLLM",
     {{"\"seed\"", 400,
       "{\"error\": {\"message\": \"litellm.UnsupportedParamsError: bedrock does not support "
       "parameters: ['seed'], for model=m. To drop these, set `litellm.drop_params=True`\", "
       "\"type\": \"None\", \"param\": \"None\", \"code\": \"400\"}}"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"Anthropic",
     {{"\"top_p\"", 400,
       "{\"type\": \"error\", \"error\": {\"type\": \"invalid_request_error\", \"message\": "
       "\"`temperature` and `top_p` cannot both be specified for this model. Please use only "
       "one.\"}}"}},
     "\"temperature\":0.6,\"seed\":11",
     "top_p (left out)",
     3},
    {"a traceback",
     {{"\"seed\"", 500, "Internal error: generate() got an unexpected keyword argument 'seed'"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"in an answer with status 200",
     {{"\"seed\"", 200, "{\"error\": {\"message\": \"Unknown parameter: seed\"}}"}},
     "\"top_p\":0.9,\"max_tokens\":5",
     "seed (left out)",
     3},
    {"a stream is wanted",
     {{"\"stream\":false", 400,
       "{\"error\": {\"message\": \"This model only support stream mode, please enable the stream "
       "parameter to access the model.\", \"type\": \"invalid_request_error\"}}"}},
     "\"stream\":true",
     "stream (asked for)",
     3},
    {"no system",
     {{"\"role\":\"system\"", 400,
       "{\"object\": \"error\", \"message\": \"System role not supported\", \"code\": 400}"}},
     "\"messages\":[{\"role\":\"user\",\"content\":\"be \\\"brief\\\"\\n\\nquestion 0\"}]",
     "the role \"system\" (it stands before what the user says)",
     3},
    {"no system, o1",
     {{"\"role\":\"system\"", 400,
       OPENAI("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
              "\"messages[0].role\"")}},
     "\"messages\":[{\"role\":\"user\",\"content\":\"be \\\"brief\\\"\\n\\nquestion 0\"}]",
     "the role \"system\" (it stands before what the user says)",
     3},
};

static void test_what_it_wants(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rules = cases[i].rules;
        struct talk *talk = talk_begin(refuse, 2);
        talk->options.concurrency = 1;
        if (talk_run(talk) != NC_OK)
            fail_msg("%s: %s", cases[i].name, nc_error_message());
        if (!talk->answers[0].text || !strstr(talk->answers[0].text, cases[i].sent))
            fail_msg("%s: %s", cases[i].name, talk->answers[0].text);
        if (strcmp(talk->refused, cases[i].refused) != 0)
            fail_msg("%s: told as \"%s\"", cases[i].name, talk->refused);
        if (talk->counts.sent != cases[i].requests)
            fail_msg("%s: %zu requests", cases[i].name, talk->counts.sent);
        /* The question is the same: what was answered is remembered. */
        char *journal = talk_journal(talk);
        assert_non_null(strstr(journal, "\"refused_by_server\":"));
        free(journal);
        assert_ok(talk_run(talk));
        assert_int_equal(talk->counts.sent, 0);
        talk_finish(talk);
    }
}

/* Sixteen are refused at once; each is sent again, and none is lost. */
static void test_many_at_once(void **context)
{
    (void)context;
    rules = cases[1].rules;
    struct talk *talk = talk_begin(refuse, 40);
    talk->options.tries = 2;
    assert_ok(talk_run(talk));
    for (size_t i = 0; i < 40; i++)
        assert_non_null(strstr(talk->answers[i].text, cases[1].sent));
    assert_string_equal(talk->refused, cases[1].refused);
    assert_true(talk->counts.sent <= 40 + 3 * 32);
    talk_finish(talk);
}

static void test_stop(void **context)
{
    (void)context;
    static const struct rule stop[] = {
        {"\"stop\"", 400, OPENAI("Unsupported parameter: 'stop' is not supported with this model.",
                                 "\"stop\"")},
        {0}};
    rules = stop;
    struct talk *talk = talk_begin(refuse, 1);
    talk->one_line = true;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->refused, "stop (left out)");
    talk_finish(talk);
}

/* ---- What is no refusal of a parameter --------------------------------------------------------- */

static void test_other_refusals(void **context)
{
    (void)context;
    static const struct rule others[][2] = {
        {{NULL, 400, "{\"error\": {\"message\": \"Invalid image. (max_tokens=5, temperature=0.6)\"}}"}},
        {{NULL, 400, "{\"error\": {\"message\": \"please stop sending unsupported pictures\"}}"}},
        {{NULL, 404, "{\"error\": {\"message\": \"The model 'm' does not exist\"}}"}},
        {{NULL, 400, "{\"message\": \"This model's maximum context length is 3 tokens\"}"}},
        {{NULL, 400, ""}},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        rules = others[i];
        struct talk *talk = talk_begin(refuse, 1);
        assert_int_equal(talk_run(talk), NC_FAILED);
        assert_int_equal(talk->counts.sent, 1);
        assert_string_equal(talk->refused, "");
        talk_finish(talk);
    }
    /* Left out, and refused all the same: it was about something else. The run ends. */
    static const struct rule stubborn[] = {
        {NULL, 400, "{\"error\": {\"message\": \"'seed' is not supported\"}}"}, {0}};
    rules = stubborn;
    struct talk *talk = talk_begin(refuse, 1);
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_true(talk->counts.sent <= 3);
    assert_string_equal(talk->refused, "");
    talk_finish(talk);
}

static void test_bounds(void **context)
{
    (void)context;
    static const struct {
        const char *sentence;
        double least, most;
    } bounds[] = {
        {"`temperature` must be strictly positive", 0.01, INFINITY},
        {"temperature must be in the range (0, 1]", 0.01, 1},
        {"Input should be greater than or equal to 16", 16, INFINITY},
        {"temperature must be between 0 and 2", 0, 2},
        {"must be at least 0.1 and at most 0.7", 0.1, 0.7},
        {"This model supports at most 1000 completion tokens", -INFINITY, 1000},
        {"max_tokens must not be greater than 400", -INFINITY, 400},
        {"top_p must be \xe2\x89\xa5 0.2", 0.2, INFINITY},
        {"only 0.95 is allowed", 0.95, 0.95},
        {"must be 1", 1, 1},
    };
    static const char *const none[] = {"", "nothing of the kind", "between us", "(a, b)", "[1, 2",
                                       "at least one", ">= ", "must be a number"};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        double least, most;
        if (!chat_refusal_bounds(bounds[i].sentence, 0.01, &least, &most) ||
            least != bounds[i].least || most != bounds[i].most)
            fail_msg("%s: %g to %g", bounds[i].sentence, least, most);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        double least, most;
        if (chat_refusal_bounds(none[i], 0.01, &least, &most))
            fail_msg("%s: %g to %g", none[i], least, most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_wants),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_other_refusals),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
