/* Whether text looks as if it had been decoded with the wrong encoding: the
 * heuristic of ftfy 6.3 (ftfy/badness.py), whose classes of characters are in
 * charset_table.c. Written from the behaviour of the original, which is
 * by Robyn Speer, https://github.com/rspeer/python-ftfy, Apache 2.0.
 */
#include "parts.h"

#include <uchar.h>

static uint32_t classes_of(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' ? NC_CONTINUATION : 0;
    return (uint32_t)nc_code_range_find(nc_mojibake_classes, nc_mojibake_classes_count, code, 0);
}

static bool among(uint32_t code, const char32_t *set)
{
    for (; *set; set++)
        if (*set == code)
            return true;
    return false;
}

static bool ascii_lower(uint32_t code)
{
    return code >= 'a' && code <= 'z';
}

static bool ascii_letter(uint32_t code)
{
    return ascii_lower(code) || (code >= 'A' && code <= 'Z');
}

/* The characters from one place on, the first four with their classes; 0 past the
 * end (`left` tells it from a zero byte). */
enum { WINDOW = 7 };
struct window {
    uint32_t code[WINDOW], classes[4];
    size_t left;
};

/* Pairs and triples that are unlikely by their categories. */
static bool bad_by_category(const struct window *w)
{
    enum {
        ACCENTED = NC_LOWER_ACCENTED | NC_UPPER_ACCENTED,
        PUNCTUATION = NC_START_PUNCTUATION | NC_END_PUNCTUATION,
        SYMBOLS = ACCENTED | NC_BOX | PUNCTUATION | NC_CURRENCY | NC_NUMERIC | NC_LAW,
    };
    uint32_t a = w->classes[0], b = w->classes[1], c = w->classes[2];
    uint32_t first = w->code[0];
    if (a & NC_C1)
        return true;
    if ((a & (SYMBOLS | NC_BAD)) && (b & NC_BAD))
        return true;
    if (ascii_letter(first) && (b & (NC_LOWER_COMMON | NC_UPPER_COMMON)) && (c & NC_BAD))
        return true;
    if ((a & NC_BAD) && (b & SYMBOLS))
        return true;
    if ((a & (NC_LOWER_ACCENTED | NC_LOWER_COMMON | NC_BOX | NC_END_PUNCTUATION | NC_CURRENCY |
              NC_NUMERIC)) &&
        (b & NC_UPPER_ACCENTED))
        return true;
    if ((a & (NC_BOX | NC_END_PUNCTUATION | NC_CURRENCY | NC_NUMERIC)) && (b & NC_LOWER_ACCENTED))
        return true;
    if ((a & (NC_LOWER_ACCENTED | NC_BOX | NC_END_PUNCTUATION)) && (b & NC_CURRENCY))
        return true;
    if ((b & NC_UPPER_ACCENTED) && (c & NC_CURRENCY) && nc_python_space(first))
        return true;
    if ((a & (NC_UPPER_ACCENTED | NC_BOX)) && (b & (NC_NUMERIC | NC_LAW)))
        return true;
    if ((a & (ACCENTED | NC_BOX | NC_CURRENCY | NC_END_PUNCTUATION)) &&
        (b & NC_START_PUNCTUATION) && (c & NC_NUMERIC))
        return true;
    if ((a & (ACCENTED | NC_CURRENCY | NC_NUMERIC | NC_BOX | NC_LAW)) && (b & NC_END_PUNCTUATION) &&
        (c & NC_START_PUNCTUATION))
        return true;
    if ((a & (NC_CURRENCY | NC_NUMERIC | NC_BOX)) && (b & NC_START_PUNCTUATION))
        return true;
    if (ascii_lower(first) && (b & NC_UPPER_ACCENTED) && (c & (NC_START_PUNCTUATION | NC_CURRENCY)))
        return true;
    if ((a & NC_BOX) && (b & (NC_KAOMOJI | NC_END_PUNCTUATION)))
        return true;
    if ((a & (SYMBOLS & ~(uint32_t)NC_BOX)) && (b & NC_BOX))
        return true;
    return (a & ACCENTED) && (b & PUNCTUATION) && w->left > 2 && nc_python_word(w->code[2]);
}

/* One of the pair that Arabic makes in Windows-1252. */
static bool arabic_pair(const struct window *w, size_t i)
{
    return among(w->code[i], U"ØÙ") && ((w->classes[i + 1] & (NC_COMMON | NC_CURRENCY | NC_BAD |
                                                              NC_NUMERIC | NC_START_PUNCTUATION)) ||
                                        among(w->code[i + 1], U"ŸŠ®°µ»"));
}

/* Sequences that particular encodings make, spelled out. */
static bool bad_by_spelling(const struct window *w, bool at_start)
{
    enum { PUNCTUATION = NC_START_PUNCTUATION | NC_END_PUNCTUATION };
    const uint32_t *code = w->code, *classes = w->classes;
    uint32_t marks = NC_C1 | NC_BAD | PUNCTUATION | NC_CURRENCY;
    if (ascii_lower(code[0])) {
        /* [a-z]\s?[ÃÂ][ ] */
        if ((among(code[1], U"ÃÂ") && code[2] == ' ') ||
            (nc_python_space(code[1]) && among(code[2], U"ÃÂ") && code[3] == ' '))
            return true;
    }
    if ((ascii_lower(code[0]) || among(code[0], U".,?!") || (classes[0] & NC_END_PUNCTUATION)) &&
        code[1] == U'Â' && (code[2] == ' ' || (classes[2] & PUNCTUATION)))
        return true;

    switch (code[0]) {
    case U'Œ':
    case U'œ':
        return w->left > 1 && !ascii_letter(code[1]);
    case U'×':
        return among(code[1], U"²³");
    case U'Ø':
    case U'Ù':
        if (arabic_pair(w, 0) && arabic_pair(w, 2))
            return true;
        break;
    case U'à':
        return among(code[1], U"²µ¹¼½¾");
    case U'√':
        return among(code[1], U"±∂†≠®™´≤≥¥µø");
    case U'≈':
        return among(code[1], U"°¢");
    case U'‚':
        return (code[1] == U'Ä' && among(code[2], U"ìîïòôúùû†°¢π")) ||
               (among(code[1], U"âó") && among(code[2], U"àä°ê"));
    case U'в':
        return code[1] == U'Ђ';
    case U'В':
    case U'Г':
    case U'Р':
    case U'С':
        if (((classes[1] & marks) || among(code[1], U"°µ")) && among(code[2], U"ВГРС"))
            return true;
        /* ГўВЂВ.[A-Za-z ] */
        return code[0] == U'Г' && code[1] == U'ў' && code[2] == U'В' && code[3] == U'Ђ' &&
               code[4] == U'В' && code[5] != '\n' && (ascii_letter(code[6]) || code[6] == ' ');
    case U'β':
        return code[1] == U'€' && among(code[2], U"™\u00a0Ά\u00ad®°");
    case U'Β':
    case U'Γ':
    case U'Ξ':
    case U'Ο':
        return ((classes[1] & marks) || code[1] == U'°') && among(code[2], U"ΒΓΞΟ");
    case U'ā':
        return code[1] == U'€';
    default:
        break;
    }
    if ((classes[0] & NC_UPPER_ACCENTED) && code[1] == U'°')
        return true;
    if (among(code[0], U"ÂÃÎÐ") &&
        ((classes[1] & PUNCTUATION) || among(code[1], U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´")))
        return true;
    if (code[0] == U'Ã' && among(code[1], U"\u00a0¡"))
        return true;
    return at_start && among(code[0], U"ÃÂ") && code[1] == ' ';
}

bool nc_mojibake_is_bad(const uint32_t *text, size_t count)
{
    struct window w;
    for (size_t i = 0; i < count; i++) {
        w.left = count - i;
        for (size_t k = 0; k < WINDOW; k++)
            w.code[k] = k < w.left ? text[i + k] : 0;
        if (w.code[0] < 0x80 && w.code[1] < 0x80 && w.code[2] < 0x80)
            continue; /* every rule has something beyond ASCII in its first three */
        for (size_t k = 0; k < 4; k++)
            w.classes[k] = classes_of(w.code[k]);
        if (bad_by_category(&w) || bad_by_spelling(&w, i == 0))
            return true;
    }
    return false;
}
