/* Words that the grammar of questions knows, by what they can be. The lists hold what people ask
 * about in pictures; they are sorted, since they are searched by halves. */
#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char *const prepositions[] = {
    "about", "above", "across", "after", "against", "along", "amid", "among", "amongst", "around",
    "at", "atop", "before", "behind", "below", "beneath", "beside", "besides", "between", "beyond",
    "by", "down", "during", "for", "from", "in", "inside", "into", "near", "next", "of", "off",
    "on", "onto", "out", "over", "through", "to", "toward", "towards", "under", "underneath",
    "until", "up", "with",
};

static const char *const determiners[] = {
    "a", "an", "her", "his", "its", "my", "our", "that", "the", "their", "these", "this", "those",
    "your",
};

static const char *const adverbs[] = {
    "about", "actually", "all", "almost", "already", "also", "always", "as", "being", "both",
    "completely", "currently", "entirely", "equally", "ever", "fairly", "freshly", "fully", "just",
    "less", "mainly", "mid-air", "more", "mostly", "nearly", "only", "partially", "partly",
    "primarily", "properly", "quite", "rather", "really", "slightly", "so", "standing-up", "still",
    "together", "too", "totally", "usually", "very", "well",
};

static const char *const adjectives[] = {
    "abandoned", "able", "alert", "alive", "alone", "american", "ancient", "angry", "antique",
    "artificial", "asleep", "available", "awake", "backwards", "bad", "bald", "bare", "barefoot",
    "beautiful", "beige", "big", "black", "blank", "blond", "blonde", "blooming", "blue", "blurry",
    "bored", "brand-new", "bright", "broken", "brown", "brunette", "bumpy", "burnt", "busy",
    "calm", "carpeted", "casual", "caucasian", "chinese", "chocolate", "choppy", "circular",
    "clean", "clear", "close", "closed", "cloudy", "cold", "colored", "colorful", "comfortable",
    "complete", "concrete", "cooked", "cool", "crooked", "crowded", "curly", "curved", "cute",
    "damaged", "damp", "dangerous", "dark", "dead", "deep", "delicious", "different", "digital",
    "dirty", "domestic", "domesticated", "double-decker", "dry", "dusty", "early", "edible",
    "elderly", "electric", "electronic", "empty", "even", "excited", "expensive", "expired",
    "extinct", "faded", "fake", "fat", "female", "fenced", "ferocious", "fluffy", "foggy",
    "folded", "foreign", "formal", "frayed", "free", "fresh", "friendly", "frozen", "full",
    "funny", "furry", "fuzzy", "glass", "gold", "golden", "good", "gourmet", "grassy", "gray",
    "green", "grey", "grumpy", "hairless", "hairy", "half", "handmade", "handsome", "happy",
    "hard", "healthy", "heavy", "high", "hilly", "hollow", "homemade", "horizontal", "hot", "huge",
    "human", "hungry", "icy", "identical", "indoor", "indoors", "inside", "intact", "interested",
    "japanese", "jewish", "juicy", "large", "late", "lazy", "leafless", "left-handed", "legal",
    "level", "lit", "little", "lonely", "long", "loose", "loud", "low", "lush", "mad", "male",
    "married", "masculine", "mature", "meat", "medium", "messy", "metal", "missing", "modern",
    "muddy", "multicolored", "muscular", "nake", "naked", "narrow", "natural", "neat", "nervous",
    "new", "nice", "nude", "obese", "old", "open", "operational", "orange", "organic", "ornate",
    "outdoor", "outdoors", "outside", "overcast", "overweight", "paved", "peeled", "pink", "plaid",
    "plain", "plastic", "playful", "pointed", "pointy", "poor", "portable", "pregnant", "present",
    "pretty", "private", "professional", "public", "purple", "quiet", "raw", "ready", "real",
    "rectangular", "red", "religious", "right-handed", "ripe", "rocky", "rotten", "rough", "round",
    "rural", "rusty", "sad", "safe", "salty", "same", "sandy", "scared", "secure", "serious",
    "shaggy", "shallow", "sharp", "shiny", "shirtless", "short", "shy", "sick", "silver",
    "similar", "single", "skinny", "sleepy", "sliced", "slim", "slow", "small", "smooth", "sober",
    "soft", "sour", "spicy", "spotless", "spotted", "square", "stable", "stale", "steep", "stone",
    "straight", "strange", "striped", "strong", "sunny", "sweet", "symmetrical", "tall", "tame",
    "tan", "thick", "thin", "tidy", "tight", "tilted", "tiny", "tired", "toy", "traditional",
    "transparent", "tropical", "twins", "ugly", "unhappy", "unusual", "upright", "upset",
    "upside-down", "urban", "used", "vacant", "vegan", "vegetarian", "vertical", "vintage",
    "violent", "visible", "warm", "wavy", "wealthy", "weird", "wet", "white", "wide", "wild",
    "windy", "wood", "wooden", "wool", "wrinkled", "yellow", "young", "yummy",
};

static const char *const participles[] = {
    "been", "bent", "blown", "born", "broken", "brought", "built", "burnt", "caught", "cut",
    "done", "drawn", "driven", "drunk", "eaten", "fallen", "fed", "flown", "folded", "forgotten",
    "found", "frozen", "given", "gone", "grown", "held", "hidden", "hit", "hung", "hurt", "kept",
    "laid", "left", "lit", "locked", "lost", "made", "meant", "met", "paid", "painted", "put",
    "ridden", "run", "seen", "sent", "set", "shown", "shut", "sliced", "sold", "spoken", "spread",
    "stolen", "stuck", "sunk", "swept", "taken", "thrown", "tied", "told", "torn", "turned", "won",
    "worn", "woven", "written",
};

static const char *const nominal_ing[] = {
    "anything", "awning", "bedding", "being", "beings", "building", "buildings", "ceiling",
    "ceilings", "clothing", "dining", "dressing", "duckling", "earring", "earrings", "evening",
    "everything", "fencing", "filling", "flooring", "frosting", "icing", "king", "lighting",
    "lightning", "living", "morning", "necking", "nothing", "opening", "outing", "painting",
    "paintings", "parking", "ping", "railing", "railings", "ring", "rings", "seating", "sibling",
    "siblings", "siding", "sling", "something", "spring", "stocking", "string", "stuffing",
    "swing", "swings", "thing", "things", "topping", "toppings", "viking", "wedding", "wing",
    "wings",
};

static const char *const ing_of_compounds[] = {
    "baking", "cooking", "covering", "crossing", "cutting", "drawing", "flying", "landing",
    "running", "serving", "setting", "shopping", "sleeping", "swimming", "walking", "washing",
    "writing",
};

static const char *const compound_nouns[] = {
    "area", "areas", "bag", "bags", "basket", "board", "boards", "bridge", "cart", "carts",
    "center", "dish", "gear", "guard", "lane", "light", "machine", "machines", "meter", "meters",
    "pan", "path", "pit", "place", "plate", "pool", "pools", "pot", "room", "sheet", "shoes",
    "shorts", "sign", "signs", "stick", "strip", "table", "tank", "tray", "trunks", "utensils",
    "water", "zone",
};

static const char *const base_verbs[] = {
    "appear", "bark", "be", "bear", "begin", "belong", "bend", "bite", "blow", "bounce", "bring",
    "carry", "cast", "catch", "chase", "come", "compete", "contain", "contrast", "coordinate",
    "cover", "cross", "depict", "differ", "display", "drink", "drive", "eat", "enjoy", "extend",
    "face", "fall", "feed", "feel", "fight", "fit", "float", "fly", "get", "give", "go",
    "go-together", "grow", "hang", "have", "hear", "hide", "hit", "hold", "hurt", "include",
    "indicate", "indulge", "jump", "keep", "know", "land", "lay", "lead", "lean", "leave", "like",
    "live", "look", "love", "make", "match", "mean", "melt", "move", "need", "open", "overlook",
    "own", "pass", "point", "pose", "possess", "prefer", "pull", "reach", "read", "receive",
    "reflect", "remain", "represent", "require", "resemble", "rhyme", "ride", "roll", "run", "say",
    "see", "seem", "sell", "share", "show", "sing", "sit", "skate", "ski", "sleep", "slide",
    "smell", "smile", "smoke", "speak", "spell", "spin", "spray", "stand", "start", "stay",
    "stick", "stretch", "surf", "swim", "take", "talk", "taste", "tell", "throw", "touch",
    "travel", "try", "turn", "use", "walk", "want", "watch", "wear", "win", "work", "write",
};

static const char *const mass_nouns[] = {
    "art", "bacon", "baggage", "beef", "beer", "bread", "broccoli", "butter", "cake", "cereal",
    "cheese", "chicken", "chocolate", "clothing", "coffee", "concrete", "cream", "curry", "dirt",
    "dough", "dust", "electricity", "equipment", "everything", "fire", "fish", "fog", "food",
    "frosting", "fruit", "furniture", "garbage", "glass", "glassware", "graffiti", "grass",
    "gravel", "hair", "ham", "hay", "ice", "jewelry", "juice", "ketchup", "lace", "laundry",
    "lettuce", "light", "luggage", "mail", "makeup", "meat", "milk", "money", "moss", "mud",
    "music", "mustard", "paper", "pasta", "pepper", "pizza", "produce", "rain", "rice", "rust",
    "salad", "salt", "sand", "sauce", "seafood", "seaweed", "silverware", "smog", "smoke", "snow",
    "soup", "spaghetti", "steam", "stew", "sugar", "sunlight", "sunshine", "tap-water", "tea",
    "toast", "traffic", "trash", "vegetation", "water", "wine", "wood", "yogurt",
};

static const char *const plural_nouns[] = {
    "bison", "buffalo", "businessmen", "cattle", "children", "deer", "elk", "feet", "firemen",
    "fish", "fishermen", "geese", "men", "mice", "moose", "oxen", "people", "police", "policemen",
    "sheep", "skiers", "snowmen", "spectators", "sportsmen", "teeth", "women", "women's",
};

static const char *const singular_s[] = {
    "address", "asparagus", "atlas", "bass", "boss", "brass", "bus", "business", "cactus",
    "campus", "canvas", "christmas", "circus", "citrus", "class", "compass", "cross", "dress",
    "fortress", "gas", "glass", "grass", "harness", "his", "hummus", "its", "kiss", "lens",
    "mattress", "mess", "moss", "news", "octopus", "princess", "process", "series", "species",
    "tennis", "this", "virus", "waitress",
};

static const char *const counts[] = {
    "all", "another", "at", "both", "dozen", "each", "eight", "eleven", "enough", "equal", "every",
    "exactly", "few", "fewer", "five", "four", "half", "just", "least", "less", "lots", "many",
    "more", "most", "much", "multiple", "nine", "one", "only", "plenty", "seven", "several", "six",
    "ten", "three", "twelve", "two",
};

static const char *const amounts[] = {
    "bit", "bunch", "couple", "dozen", "few", "large-number", "little", "lot", "lots", "majority",
    "number", "variety",
};

/* clang-format on */

struct vqa_word_list {
    const char *const *words;
    size_t count;
};
#define LIST(name)                                                                                 \
    {                                                                                              \
        name, sizeof name / sizeof *name                                                           \
    }

static const struct vqa_word_list lists[] = {
    [VQA_PREPOSITION] = LIST(prepositions),
    [VQA_DETERMINER] = LIST(determiners),
    [VQA_ADVERB] = LIST(adverbs),
    [VQA_ADJECTIVE] = LIST(adjectives),
    [VQA_PARTICIPLE] = LIST(participles),
    [VQA_NOUN_IN_ING] = LIST(nominal_ing),
    [VQA_COMPOUND_ING] = LIST(ing_of_compounds),
    [VQA_COMPOUND_NOUN] = LIST(compound_nouns),
    [VQA_VERB] = LIST(base_verbs),
    [VQA_MASS_NOUN] = LIST(mass_nouns),
    [VQA_PLURAL_NOUN] = LIST(plural_nouns),
    [VQA_SINGULAR_IN_S] = LIST(singular_s),
    [VQA_COUNT] = LIST(counts),
    [VQA_AMOUNT] = LIST(amounts),
};

const char *const *vqa_lexicon_words(enum vqa_class class, size_t *count)
{
    *count = lists[class].count;
    return lists[class].words;
}

static int compare(const void *key, const void *entry)
{
    return strcmp(key, *(const char *const *)entry);
}

bool vqa_is(const char *word, enum vqa_class class)
{
    return bsearch(word, lists[class].words, lists[class].count, sizeof *lists[class].words,
                   compare) != NULL;
}

static bool ends_in(const char *word, const char *ending, size_t stem)
{
    size_t length = strlen(word), tail = strlen(ending);
    return length >= stem + tail && strcmp(word + length - tail, ending) == 0;
}

bool vqa_is_ing(const char *word)
{
    return ends_in(word, "ing", 2) && !vqa_is(word, VQA_NOUN_IN_ING);
}

bool vqa_is_compound(const char *word, const char *next)
{
    return vqa_is(word, VQA_COMPOUND_ING) && vqa_is(next, VQA_COMPOUND_NOUN);
}

bool vqa_is_participle(const char *word)
{
    return vqa_is(word, VQA_PARTICIPLE) ||
           (ends_in(word, "ed", 2) && !ends_in(word, "eed", 1) && strcmp(word, "shed") != 0);
}

bool vqa_is_adjective(const char *word)
{
    return vqa_is(word, VQA_ADJECTIVE);
}

bool vqa_is_plural(const char *word)
{
    if (vqa_is(word, VQA_PLURAL_NOUN))
        return true;
    return ends_in(word, "s", 2) && !ends_in(word, "ss", 0) && !ends_in(word, "us", 0) &&
           !ends_in(word, "'s", 0) && !vqa_is(word, VQA_SINGULAR_IN_S);
}

bool vqa_is_number(const char *word)
{
    static const char *const numbers[] = {"two",   "three", "four", "five",   "six",   "seven",
                                          "eight", "nine",  "ten",  "eleven", "twelve"};
    if (*word && word[strspn(word, "0123456789")] == 0)
        return true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(word, numbers[i]) == 0)
            return true;
    return false;
}
