/* What captions affirm and deny, and captions that are not split. */
#include "nclip/negation/split.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Caption; affirmed; denied. "": nothing. */
static const char *const captions[][3] = {
    {"a street with no cars on it", "a street", "cars"},
    {"a man who is not wearing a hat", "a man", "a man wearing a hat"},
    {"a man not wearing a hat", "a man", "a man wearing a hat"},
    {"a man wearing no hat", "a man", "wearing hat"},
    {"a shape that is not red", "a shape", "a red shape"},
    {"a picture of a shape that is not red", "a picture of a shape", "a picture of a red shape"},
    {"a shape that isn't orange", "a shape", "an orange shape"},
    {"a red ball, not a cube", "a red ball", "a cube"},
    {"a red ball but not a cube", "a red ball", "a cube"},
    {"There is no dog, but a cat.", "a cat", "dog"},
    {"There is no dog", "", "dog"},
    {"This is not a kitchen", "", "a kitchen"},
    {"The man isn&#39;t wearing a hat", "The man", "The man wearing a hat"},
    {"a picture without a red shape", "", "a red shape"},
    {"a picture that is not of a circle", "", "a picture of a circle"},
    {"the picture does not contain a circle", "", "a circle"},
    {"This image features a car, but does not include a person.", "This image features a car",
     "a person"},
    {"A chair is not included in this image.", "", "A chair"},
    {"A handbag is present in this image, but a skateboard is not.",
     "A handbag is present in this image", "a skateboard"},
    {"This image features a chair, but no train is present.", "This image features a chair",
     "train"},
    {"No car can be seen in the image; a man rides a wave.", "a man rides a wave", "car"},
    {"No chair is in sight as a canoe crosses a lake.", "a canoe crosses a lake", "chair"},
    {"This image features a book, but there's no TV.", "This image features a book", "TV"},
    {"a table, without the presence of any cups in the image", "a table", "cups"},
    {"a wide street without a single car in sight", "a wide street", "car"},
    {"a bird that can't fly", "a bird", "a bird can fly"},
    {"a table with no plates and a lamp", "a table and a lamp", "plates"},
    {"a table without plates and a lamp", "a table", "plates and a lamp"},
    {"a clear sky with no clouds, no birds and no planes", "a clear sky",
     "clouds and birds and planes"},
    {"a bench with nobody on it", "a bench", "a person on it"},
    {"a couch with neither pillows nor a blanket", "a couch", "pillows and a blanket"},
    {"no one is sitting on the bench", "", "a person is sitting on the bench"},
    {"a sky that lacks clouds", "a sky", "clouds"},
    {"the absence of people in a city", "", "people in a city"},
    {"A dog on the grass that is not brown", "A dog on the grass", "a brown dog on the grass"},
    {"A dining table near a kitchen, but there is no cup in the picture.",
     "A dining table near a kitchen", "cup"},
    {"This image shows a chair, with no handbag in sight.", "This image shows a chair", "handbag"},
    {"woman in red who does not have an umbrella", "woman in red", "woman in red with an umbrella"},
    {"a No. 5 bus with no driver", "a No. 5 bus", "driver"},
    {"a person wearing a red shirt, with no sunglasses, in a city",
     "a person wearing a red shirt, in a city", "sunglasses"},
    {"the zebra that is standing on grass not eating", "the zebra that is standing on grass",
     "the zebra that is standing on grass eating"},
    {"a dog", "a dog", ""},
    {"not only a dog but a cat", "not only a dog but a cat", ""},
    {"", "", ""},
};

static void splits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof captions / sizeof *captions; i++) {
        struct nc_negation_split split;
        assert_int_equal(nc_negation_split(captions[i][0], &split), NC_OK);
        const char *affirmed = split.affirmed ? split.affirmed : "";
        const char *denied = split.denied ? split.denied : "";
        if (strcmp(affirmed, captions[i][1]) != 0 || strcmp(denied, captions[i][2]) != 0)
            fail_msg("%s: \"%s\" and \"%s\"", captions[i][0], affirmed, denied);
        nc_negation_split_free(&split);
    }
}

/* Whatever is split: what denies something has a denied part or is left whole; no stray access
 * (AddressSanitizer watches). */
static void survives_anything(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "no",   "not",   "n't",     "isn't",  "that",         "is",    "with",    "without",
        "and",  ",",     ".",       "a",      "the",          "red",   "dog",     "but",
        "any",  "lack",  "of",      "never",  "\xe2\x80\x99", "\xff",  "neither", "nor",
        "none", "there", "wearing", "cannot", "in",           "sight", "(",       "don"};
    uint64_t random = 3;
    size_t denied = 0;
    for (int round = 0; round < 100000; round++) {
        char text[512] = "";
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        for (size_t left = random >> 60; left > 0; left--) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            strcat(text, parts[(random >> 33) % (sizeof parts / sizeof *parts)]);
            if (random >> 62)
                strcat(text, " ");
        }
        struct nc_negation_split split;
        assert_int_equal(nc_negation_split(text, &split), NC_OK);
        denied += split.denied != NULL;
        nc_negation_split_free(&split);
    }
    assert_true(denied > 10000);
    /* Longer than what is looked at. */
    size_t size = 6000;
    char *text = calloc(1, 6 * size);
    for (size_t i = 0; i < size; i++)
        strcat(text + 5 * i, "no a ");
    struct nc_negation_split split;
    assert_int_equal(nc_negation_split(text, &split), NC_OK);
    nc_negation_split_free(&split);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),
        cmocka_unit_test(survives_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
