/* What models write for themselves is no part of their answers, and needs tokens of its own. */
#include "../../host/chat/parts.h"
#include "talk.h"

/* ---- Blocks in the answer --------------------------------------------------------------- */

static void test_blocks(void **context)
{
    (void)context;
    static const struct {
        const char *written, *answer;
        bool open;
    } cases[] = {
        {"umbrella", "umbrella", false},
        {" umbrella\n", " umbrella\n", false},
        {"<think>\n\n</think>\n\numbrella", "umbrella", false},
        {"<think>Okay, there is no way</think>umbrella", "umbrella", false},
        {"\n<THINK>a\nb</THINK>\numbrella\n", "umbrella\n", false},
        {"<thinking>a</thinking> umbrella", "umbrella", false},
        {"<thought>a < b</thought>umbrella", "umbrella", false},
        {"<seed:think>a</seed:think>umbrella", "umbrella", false},
        {"<reasoning>a</reasoning>umbrella", "umbrella", false},
        {"<think duration=\"3\">a</think>umbrella", "umbrella", false},
        {"<details type=\"reasoning\" done=\"true\"><summary>x</summary>a</details>umbrella",
         "umbrella", false},
        {"[THINK]a[/THINK]umbrella", "umbrella", false},
        {"<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>umbrella<|END_RESPONSE|>",
         "umbrella", false},
        {"<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>umbrella"
         "<|end_of_solution|>",
         "umbrella", false},
        {"\xe2\x97\x81think\xe2\x96\xb7" "a\xe2\x97\x81/think\xe2\x96\xb7umbrella", "umbrella",
         false},
        {"<unused94>thought\na<unused95>umbrella", "umbrella", false},
        {"<think>a</think><answer>umbrella</answer>", "umbrella", false},
        {"<think>a</think>\n<|begin_of_box|>umbrella<|end_of_box|>", "umbrella", false},
        /* The first mark stood in the prompt. */
        {"Okay, the user wants one word.\n</think>\n\numbrella", "umbrella", false},
        /* Several, and one inside of another. */
        {"<think>a</think><think>b</think>umbrella", "umbrella", false},
        {"<thinking>a<reflection>b</reflection>c</thinking>umbrella", "umbrella", false},
        {"<think><think>a</think>b</think>umbrella", "umbrella", false},
        {"umbrella<think>behind</think>", "umbrella", false},
        /* It never ended. */
        {"<think>", "", true},
        {"<think>\nOkay, the user", "", true},
        {"<think>a</think><think>b", "", true},
        {"<|START_THINKING|>a", "", true},
        {"umbrella <think>is it", "umbrella ", true},
        /* Harmony, with its marks and without. */
        {"<|channel|>analysis<|message|>We need<|end|><|start|>assistant<|channel|>final"
         "<|message|>umbrella<|return|>",
         "umbrella", false},
        {"analysis<|message|>We need<|end|><|start|>assistant<|channel|>final<|message|>umbrella",
         "umbrella", false},
        {"<|channel|>final <|constrain|>text<|message|>umbrella", "umbrella", false},
        {"<|channel|>analysis<|message|>We need to", "", true},
        {"analysisWe need one word.assistantfinalumbrella", "umbrella", false},
        {"analysisWe need one", "", true},
        /* Nothing of the kind. */
        {"analysis", "analysis", false},
        {"a <b>dog</b> [think] 3 < 4", "a <b>dog</b> [think] 3 < 4", false},
        {"a dog on a couch with no thinker", "a dog on a couch with no thinker", false},
        {"<", "<", false},
        {"</", "</", false},
        {"<|", "<|", false},
        {"\xe2\x97\x81", "\xe2\x97\x81", false},
        {"", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int twice = 0; twice < 2; twice++) {
            char *text = strdup(twice ? cases[i].answer : cases[i].written);
            struct chat_reasoning removed = chat_reasoning_remove(text);
            if (strcmp(text, cases[i].answer) != 0)
                fail_msg("%s: \"%s\"", cases[i].written, text);
            if (!twice && removed.open != cases[i].open)
                fail_msg("%s: open %d", cases[i].written, removed.open);
            free(text);
        }
    }
}

/* ---- Room ---------------------------------------------------------------------------------- */

enum style { IN_FIELD, IN_TEXT, COUNTED, NO_CONTENT, NO_SIGN };
static enum style style;
static int needed;

static size_t most_tokens(const char *body)
{
    const char *found = strstr(body, "\"max_tokens\":");
    return found ? strtoul(found + 13, NULL, 10) : 0;
}

/* A model that takes `needed` tokens before it answers with what it was sent. */
static void reason(void *context, const struct server_request *request, struct server_reply *reply)
{
    static const char *const cut[] = {
        [IN_FIELD] = "{\"content\": null, \"reasoning_content\": \"Okay, the\"}",
        [IN_TEXT] = "{\"content\": \"<think>\\nOkay, the\"}",
        [COUNTED] = "{\"content\": \"\"}",
        [NO_CONTENT] = "{\"role\": \"assistant\"}",
        [NO_SIGN] = "{\"content\": \"Okay, the\"}",
    };
    static const char *const whole[] = {
        [IN_FIELD] = "{\"content\": %s, \"reasoning\": \"Okay, the secret\"}",
        [COUNTED] = "{\"content\": %s}",
        [NO_CONTENT] = "{\"content\": [{\"type\": \"thinking\", \"thinking\": \"secret\"}, "
                       "{\"type\": \"text\", \"text\": %s}]}",
        [NO_SIGN] = "{\"content\": %s}",
    };
    (void)context;
    bool enough = most_tokens(request->body) >= (size_t)needed && !strstr(request->body, "\"stop\"");
    char *message = NULL, *answer = NULL, text[64];
    snprintf(text, sizeof text, "\"%s, of %zu\"", enough ? "done" : "", most_tokens(request->body));
    if (enough && style == IN_TEXT) {
        if (asprintf(&message, "{\"content\": \"<think>\\nOkay, the secret\\n</think>\\n\\n%s}",
                     text + 1) < 0)
            abort();
    } else if (asprintf(&message, enough ? whole[style] : cut[style], text) < 0) {
        abort();
    }
    if (asprintf(&answer,
                 "{\"choices\": [{\"message\": %s, \"finish_reason\": \"%s\"}], \"usage\": "
                 "{\"prompt_tokens\": 1, \"completion_tokens\": 9, \"completion_tokens_details\": "
                 "{\"reasoning_tokens\": %d}}}",
                 message, enough ? "stop" : "length", style == COUNTED ? 5 : 0) < 0)
        abort();
    free(message);
    reply->body = answer;
}

static void test_room(void **context)
{
    (void)context;
    needed = 1000;
    for (style = IN_FIELD; style <= NO_CONTENT; style++) {
        struct talk *talk = talk_begin(reason, 6);
        talk->options.concurrency = 1;
        talk->one_line = true; /* where reasoning has lines, no line feed ends the answer */
        assert_ok(talk_run(talk));
        for (size_t i = 0; i < 6; i++) {
            assert_string_equal(talk->answers[i].text, "done, of 4101");
            assert_false(talk->answers[i].cut);
        }
        assert_int_equal(talk->counts.sent, 7); /* the first one twice */
        assert_int_equal(talk->counts.reasoned, 6);
        char *journal = talk_journal(talk);
        assert_null(strstr(journal, "secret"));
        assert_non_null(strstr(journal, "\"room\":4096"));
        free(journal);
        assert_ok(talk_run(talk));
        assert_int_equal(talk->counts.sent, 0);
        assert_string_equal(talk->answers[0].text, "done, of 4101");
        talk_finish(talk);
    }
}

static void test_room_as_an_option(void **context)
{
    (void)context;
    style = NO_SIGN; /* nothing tells that the model reasons */
    needed = 1000;
    struct talk *talk = talk_begin(reason, 2);
    assert_ok(talk_run(talk));
    assert_true(talk->answers[0].cut);
    assert_int_equal(talk->counts.sent, 2);
    talk_finish(talk);

    talk = talk_begin(reason, 2);
    talk->options.reasoning_tokens = 2000;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "done, of 2005");
    assert_int_equal(talk->counts.sent, 2);
    talk_finish(talk);

    /* None: a cut answer is one. Room given later brings the question back, and only then. */
    style = IN_FIELD;
    talk = talk_begin(reason, 2);
    talk->options.reasoning_tokens = 0;
    assert_ok(talk_run(talk));
    assert_true(talk->answers[0].cut);
    assert_string_equal(talk->answers[0].text, "");
    assert_int_equal(talk->counts.sent, 2);
    assert_ok(talk_run(talk));
    assert_int_equal(talk->counts.sent, 0);
    talk->options.reasoning_tokens = 3000;
    talk->options.most_requests = 0;
    assert_ok(talk_run(talk)); /* nothing may be sent: it is the answer that there is */
    assert_true(talk->answers[0].cut);
    talk->options.most_requests = SIZE_MAX;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "done, of 3005");
    assert_int_equal(talk->counts.sent, 2);
    assert_ok(talk_run(talk));
    assert_int_equal(talk->counts.sent, 0);
    assert_string_equal(talk->answers[1].text, "done, of 3005");
    talk_finish(talk);

    /* Never enough: a cut answer, and an end. */
    needed = 1 << 20;
    talk = talk_begin(reason, 3);
    assert_ok(talk_run(talk));
    assert_true(talk->answers[2].cut);
    assert_true(talk->counts.sent <= 6);
    talk_finish(talk);
}

/* The context holds no more than 500 tokens. */
static void small_context(void *context, const struct server_request *request,
                          struct server_reply *reply)
{
    size_t asked = most_tokens(request->body);
    if (asked <= 500) {
        reason(context, request, reply);
        return;
    }
    reply->status = 400;
    if (asprintf(&reply->body,
                 "{\"object\": \"error\", \"message\": \"'max_tokens' or 'max_completion_tokens' is "
                 "too large: %zu. This model's maximum context length is 600 tokens and your "
                 "request has 100 input tokens (%zu > 600 - 100).\", \"code\": 400}",
                 asked, asked) < 0)
        abort();
}

static void test_room_that_does_not_fit(void **context)
{
    (void)context;
    style = IN_TEXT;
    needed = 100;
    struct talk *talk = talk_begin(small_context, 8);
    talk->options.concurrency = 1;
    assert_ok(talk_run(talk));
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(talk->answers[i].text, "done, of 261"); /* 4096 halved to 256 */
    assert_int_equal(talk->counts.sent, 1 + 5 + 7);
    talk_finish(talk);
}

/* ---- Records of before -------------------------------------------------------------------- */

static void test_old_records(void **context)
{
    (void)context;
    cJSON *record = cJSON_Parse("{\"answer\": \"<think>\\n\\n</think>\\n\\numbrella\", "
                                "\"finish\": \"stop\"}");
    assert_false(chat_answer_starved(record, 4096));
    assert_string_equal(chat_answer_of(record).text, "umbrella");
    cJSON_Delete(record);
    record = cJSON_Parse("{\"answer\": \"<think>\\nOkay\", \"finish\": \"length\"}");
    assert_true(chat_answer_starved(record, 4096));
    assert_false(chat_answer_starved(record, 0));
    assert_true(chat_answer_of(record).cut);
    assert_string_equal(chat_answer_of(record).text, "");
    cJSON_Delete(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_room_as_an_option),
        cmocka_unit_test(test_room_that_does_not_fit),
        cmocka_unit_test(test_old_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
