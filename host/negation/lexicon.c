/* Words that the grammar of questions knows, by what they can be. The lists hold what people ask
 * about in pictures; they are sorted, since they are searched by halves. */
#include "nclip/negation/lexicon.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char *const prepositions[] = {
    "aboard", "about", "above", "across", "after", "against", "along", "alongside", "amid",
    "amidst", "among", "amongst", "around", "at", "atop", "before", "behind", "below", "beneath",
    "beside", "besides", "between", "beyond", "by", "down", "during", "for", "from", "in", "inside",
    "into", "near", "next", "of", "off", "on", "onto", "opposite", "out", "outside", "over", "past",
    "through", "throughout", "to", "toward", "towards", "under", "underneath", "until", "up",
    "upon", "with", "within",
};

static const char *const determiners[] = {
    "a", "an", "her", "his", "its", "my", "our", "that", "the", "their", "these", "this", "those",
    "your",
};

static const char *const adverbs[] = {
    "about", "actually", "again", "all", "almost", "already", "also", "always", "anymore", "apart",
    "as", "away", "backward", "being", "both", "completely", "currently", "entirely", "equally",
    "even", "ever", "fairly", "forward", "freshly", "fully", "halfway", "here", "just", 
    "less", "likely", "mainly", "mid-air", "more", "mostly", "nearly", "now",
    "often", "once", "only", "partially", "partly", "perfectly", "primarily",
    "probably", "properly", "quite", "rather", "really", "slightly", "so", "somewhat", 
    "standing-up", "still", "there", "today", "together", "too", "totally", "upside-down",
    "usually", "very", "well", "yet",
};

static const char *const adjectives[] = {
    "abandoned", "able", "abstract", "active", "adorable", "adult", "advanced", "aerial",
    "affordable", "afraid", "african", "aged", "aggressive", "airborne", "ajar", "alert", "alike",
    "alive", "alone", "american", "ancient", "angry", "antique", "appropriate", "arched", "armed",
    "artificial", "asian", "asleep", "athletic", "australian", "authentic", "available", "average",
    "awake", "aware", "awkward", "backwards", "bad", "balanced", "bald", "bare", "barefoot",
    "basic", "beautiful", "beige", "big", "black", "blank", "blind", "blond", "blonde", "blooming",
    "blue", "blurred", "blurry", "bold", "bored", "bottled", "bowed", "boxed", "brand-new", "brave",
    "breakable", "brick", "bright", "brightly", "british", "broken", "brown", "brunette", "bulky",
    "bumpy", "burnt", "bushy", "busy", "calm", "canadian", "capable", "caramelized", "careful",
    "carpeted", "casual", "caucasian", "cheap", "checkered", "cheerful", "chilly", "chinese",
    "chocolate", "choppy", "chubby", "circular", "classic", "classy", "clean", "clean-shaven",
    "clear", "clear-cut", "close", "closed", "cloudy", "coastal", "cold", "colored", "colorful",
    "colourful", "comfortable", "common", "complete", "complicated", "concerned", "concrete",
    "confused", "contemporary", "content", "cooked", "cool", "coordinated", "crispy", "crooked",
    "crowded", "crunchy", "curious", "curly", "current", "cursive", "curved", "cute", "damaged",
    "damp", "dangerous", "dark", "dead", "decorative", "deep", "defensive", "delicious", "dense",
    "different", "digital", "dim", "dirty", "disabled", "distant", "domestic", "domesticated",
    "double-decker", "dressy", "drinkable", "drowsy", "drunk", "dry", "dual", "dull", "dusty",
    "eager", "early", "east", "edible", "elderly", "electric", "electronic", "elegant", "empty",
    "endangered", "english", "enormous", "european", "even", "evergreen", "excited", "exotic",
    "expensive", "expired", "extinct", "extra", "faded", "fake", "false", "familiar", "famous",
    "fancy", "fashionable", "fast", "fat", "female", "feminine", "fenced", "ferocious", "fictional",
    "fictitious", "filthy", "fit", "flat", "flexible", "floral", "fluffy", "foamy", "focused",
    "foggy", "folded", "fond", "foreign", "formal", "fragile", "frayed", "free", "freezing",
    "french", "fresh", "friendly", "frightened", "frosty", "frozen", "full", "functional", "funny",
    "furnished", "furry", "fuzzy", "german", "giant", "glad", "glass", "gloomy", "glossy",
    "gluten-free", "gold", "golden", "good", "gourmet", "grassy", "gray", "greasy", "green",
    "green-eyed", "grey", "gross", "grumpy", "hairless", "hairy", "half", "handheld", "handmade",
    "handsome", "handy", "happy", "hard", "harmful", "hazy", "healthful", "healthy", "heavy",
    "heavyset", "high", "hilarious", "hilly", "hispanic", "historic", "hollow", "homemade",
    "horizontal", "horned", "hostile", "hot", "huge", "human", "humid", "hungry", "icy",
    "identical", "identifiable", "ill", "inappropriate", "indian", "indoor", "indoors",
    "industrial", "inedible", "inflatable", "innocent", "inside", "intact", "intense",
    "intentional", "interested", "italian", "japanese", "jealous", "jewish", "joyful", "juicy",
    "knit", "kosher", "lame", "large", "late", "latino", "lazy", "leafless", "leather",
    "left-handed", "legal", "lengthy", "level", "lifelike", "light", "lightweight", "liquid", "lit",
    "little", "lively", "local", "lonely", "long", "loose", "lopsided", "lost", "loud", "lovely",
    "low", "lucky", "lukewarm", "lush", "mad", "mainstream", "male", "manual", "married",
    "masculine", "massive", "mature", "mean", "meat", "mechanical", "medium", "messy", "metal",
    "mexican", "military", "minimal", "mint", "missing", "mixed", "modern", "moist", "motorized",
    "mountainous", "muddy", "multi-colored", "multicolored", "muscular", "mute", "nake", "naked",
    "narrow", "natural", "nearby", "neat", "nervous", "neutral", "new", "nice", "noisy", "nonfat",
    "normal", "northern", "nude", "nutritious", "obese", "obvious", "odd", "off-white", "official",
    "okay", "old", "old-fashioned", "one-way", "opaque", "open", "operational", "optimistic",
    "orange", "ordinary", "organic", "oriental", "original", "ornate", "outdoor", "outdoors",
    "outgoing", "outside", "oval", "overcast", "overcooked", "overgrown", "overhead", "overripe", "overweight",
    "pale", "parallel", "patient", "paved", "peaceful", "peeled", "perfect", "permanent",
    "perpendicular", "personal", "pink", "plaid", "plain", "plastic", "playful", "pleased",
    "pointed", "pointy", "polite", "poor", "popular", "portable", "positive", "powerful",
    "precious", "pregnant", "prepared", "present", "presentable", "pretty", "previous", "primitive",
    "princess-like", "printed", "private", "productive", "professional", "proper", "proud",
    "public", "puffy", "pure", "purple", "pushy", "quick", "quiet", "rainy", "random", "rare",
    "raw", "ready", "real", "realistic", "recent", "rectangular", "recyclable", "red", "reflective",
    "related", "relaxed", "religious", "residential", "responsible", "rested", "retired", "retro",
    "rich", "ridiculous", "right", "right-handed", "ripe", "ripped", "rocky", "romantic", "rotten",
    "rough", "round", "royal", "rude", "rural", "rustic", "rusty", "sad", "safe", "safe-looking",
    "salty", "same", "sandy", "scared", "scary", "scenic", "scruffy", "seasonal", "secluded",
    "secure", "see-through", "semi-circular", "separate", "serious", "shady", "shaggy", "shaky",
    "shallow", "sharp", "shaven", "sheer", "shiny", "shirtless", "shocked", "short", "shy", "sick",
    "silent", "silly", "silver", "similar", "simple", "single", "skilled", "skinny", "slanted",
    "sleek", "sleepy", "slender", "sliced", "slick", "slim", "slippery", "sloped", "sloppy", "slow",
    "small", "smart", "smelly", "smoky", "smooth", "snowy", "snug", "sober", "sociable", "soft",
    "soggy", "solar", "sold-out", "solid", "sour", "southern", "spacious", "spanish", "sparkling",
    "special", "specific", "spicy", "spiky", "spiral", "splashy", "sporty", "spotless", "spotted",
    "square", "stable", "stacked", "staged", "stale", "standard", "starry", "stationary", "steep",
    "sticky", "stiff", "stone", "stormy", "straight", "strange", "striped", "stripy", "strong",
    "stuffed", "sturdy", "stylish", "sudden", "suitable", "sunburned", "sunk", "sunlit", "sunny",
    "super", "sure", "surprised", "suspicious", "swampy", "sweet", "symmetrical", "tacky",
    "talkative", "tall", "tame", "tan", "tangled", "tasty", "teal", "tender", "tense", "thick",
    "thin", "tidal", "tidy", "tight", "tilted", "tiny", "tired", "topless", "tough", "toxic", "toy",
    "traditional", "transparent", "triangular", "tricky", "tropical", "true", "turquoise", "twin",
    "twins", "two-story", "typical", "ugly", "unattended", "unaware", "unbuttoned", "uncomfortable",
    "uncooked", "underage", "underdone", "underwater", "underweight", "undressed", "uneven",
    "unfinished", "unfriendly", "unhappy", "unhealthy", "uniform", "unique", "unkempt", "unlit",
    "unmade", "unoccupied", "unpaved", "unripe", "unsafe", "untidy", "unusual", "upcoming",
    "upright", "upscale", "upset", "upside-down", "urban", "used", "useful", "useless", "usual",
    "vacant", "vast", "vegan", "vegetarian", "vertical", "vibrant", "vicious", "vintage", "violent",
    "violet", "visible", "warm", "wary", "watchful", "waterproof", "watery", "wavy", "weak",
    "wealthy", "weathered", "weird", "well-behaved", "well-done", "well-dressed", "well-kept",
    "well-lit", "well-maintained", "western", "wet", "white", "whole", "wicked", "wide", "wild",
    "willing", "winding", "windy", "wise", "wood", "wooden", "wool", "worn", "worn-out", "worried",
    "worthy", "wrinkled", "wrong", "yellow", "young", "younger", "yummy",
};

static const char *const participles[] = {
    "been", "begun", "bent", "blown", "born", "bound", "bred", "broken", "brought", "built",
    "burnt", "caught", "chosen", "cut", "dealt", "done", "drawn", "driven", "drunk", "dug", "eaten",
    "fallen", "fed", "flown", "folded", "forbidden", "forgiven", "forgotten", "fought", "found",
    "froze", "frozen", "given", "gone", "grown", "heard", "held", "hidden", "hit", "hung", "hurt",
    "kept", "knit", "laid", "lain", "leant", "led", "left", "lent", "lit", "locked", "lost", "made",
    "meant", "met", "mown", "paid", "painted", "proven", "put", "read", "ridden", "run", "rung",
    "said", "seated", "seen", "sent", "set", "sewn", "shaved", "shaven", "shorn", "shot", "shown",
    "shut", "slept", "sliced", "slid", "sold", "spent", "split", "spoken", "spread", "spun",
    "stolen", "stood", "struck", "strung", "stuck", "sunk", "swept", "swollen", "sworn", "swung",
    "taken", "taught", "thought", "thrown", "tied", "told", "torn", "turned", "understood", "upset",
    "woken", "won", "worn", "wound", "woven", "written",
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

static const char *const compound_modifiers[] = {
    "adult", "air", "airplane", "airport", "alarm", "animal", "apartment", "apple", "arm", "baby",
    "back", "background", "ball", "banana", "baseball", "basket", "basketball", "bath", "bathroom",
    "beach", "bear", "bed", "bedroom", "beer", "bike", "bird", "birthday", "board", "boat", "book",
    "bow", "bread", "breakfast", "brick", "bus", "business", "butter", "cable", "cake", "camera",
    "candle", "car", "card", "cat", "ceiling", "cell", "cereal", "chair", "chicken", "chocolate",
    "christmas", "church", "city", "clock", "clothes", "coffee", "college", "computer", "cooking",
    "copy", "corn", "cow", "cowboy", "cream", "credit", "crib", "cricket", "cross", "curtain",
    "cutting", "deck", "desk", "dessert", "dining", "dinner", "dirt", "dish", "display", "dog",
    "donut", "door", "dress", "drum", "egg", "electric", "end", "entertainment", "exit", "eye",
    "face", "family", "farm", "fast", "fence", "file", "fire", "fish", "flag", "flat", "floor",
    "flower", "food", "foot", "football", "forest", "frisbee", "front", "fruit", "game", "garage",
    "garbage", "garden", "gas", "glass", "golf", "grocery", "guard", "guest", "guitar", "hair",
    "hand", "handicap", "hat", "head", "high", "highway", "hockey", "home", "horse", "hospital",
    "hot", "hotel", "house", "ice", "ironing", "jet", "key", "keyboard", "kid", "kitchen", "kite",
    "lab", "lamp", "lane", "laptop", "laundry", "leather", "license", "life", "light", "living",
    "lounge", "luggage", "lunch", "magazine", "mail", "market", "meal", "meat", "metal",
    "microwave", "milk", "mirror", "money", "monitor", "motor", "mountain", "mouse", "movie",
    "music", "name", "navy", "neck", "news", "night", "office", "oil", "orange", "oven", "paddle",
    "palm", "panel", "paper", "parade", "park", "parking", "party", "passenger", "pedestrian",
    "pepper", "pepperoni", "photo", "picnic", "picture", "pizza", "plastic", "plate", "play",
    "pocket", "polar", "police", "polo", "pond", "pool", "porch", "potato", "power", "racing",
    "racket", "radio", "rail", "railroad", "railway", "rain", "recreation", "red", "remote", "rest",
    "restaurant", "rice", "ride", "ring", "river", "road", "rock", "rocking", "roller", "room",
    "rose", "safety", "sail", "salad", "sand", "sandwich", "school", "screen", "sea", "seat",
    "service", "sewing", "shark", "shipping", "shoe", "shop", "shopping", "shoulder", "shower",
    "side", "sidewalk", "sign", "skate", "skateboard", "skateboarding", "skating", "ski", "skiing",
    "sleeping", "snow", "snowboard", "soap", "soccer", "sofa", "soup", "space", "speed", "spinach",
    "sports", "spot", "stair", "steam", "steering", "stop", "storage", "store", "stove",
    "strawberry", "street", "stuffed", "subway", "sugar", "suit", "sun", "surf", "surfing", "swim",
    "swimming", "swing", "table", "tail", "tank", "tattoo", "tea", "team", "teddy", "telephone",
    "television", "tennis", "ticket", "time", "toaster", "toilet", "tomato", "tool", "tooth",
    "tour", "tow", "toy", "track", "tractor", "traffic", "trailer", "train", "trash", "tree",
    "trolley", "truck", "turkey", "tv", "umbrella", "utility", "vegetable", "vending", "video",
    "volleyball", "wall", "washing", "waste", "watch", "water", "wedding", "weight", "wet", "wheel",
    "wii", "wind", "window", "wine", "winter", "wood", "wool", "work", "yard", "zebra", "zoo",
};

static const char *const compound_heads[] = {
    "area", "areas", "bag", "bags", "ball", "balls", "band", "bar", "bars", "basket", "bat",
    "bathroom", "bats", "bear", "bears", "bed", "beds", "belt", "bench", "benches", "bike", "bikes",
    "bin", "bins", "blade", "board", "boards", "boat", "boats", "book", "books", "bottle",
    "bottles", "bowl", "bowls", "box", "boxes", "branch", "branches", "bridge", "building",
    "buildings", "bus", "buses", "button", "cabinet", "cabinets", "cake", "cakes", "camera", "can",
    "cans", "cap", "caps", "car", "cards", "cart", "carts", "case", "center", "chain", "chair",
    "chairs", "children", "circle", "class", "clock", "cloth", "club", "clubs", "coat", "collar",
    "control", "controller", "controllers", "cooler", "corner", "counter", "counters", "court",
    "courts", "cover", "cream", "cross", "crossing", "cub", "cup", "cups", "curtain", "curtains",
    "day", "deck", "desk", "diamond", "dish", "dispenser", "dog", "dogs", "door", "doors", "drawer",
    "drawers", "dress", "drink", "driver", "drivers", "dryer", "end", "engine", "engines", "escape",
    "event", "exit", "extinguisher", "fan", "fans", "farm", "fence", "field", "fields", "fighter",
    "fire", "fixture", "flag", "floor", "frame", "frames", "fries", "game", "games", "garage",
    "gate", "gear", "girl", "glass", "glasses", "glove", "gloves", "ground", "guard", "guards",
    "gun", "handle", "hanger", "hat", "hats", "head", "heads", "helmet", "hill", "holder", "hole",
    "hook", "horse", "hose", "house", "houses", "hut", "hydrant", "hydrants", "island", "jacket",
    "jackets", "jersey", "juice", "jump", "keeper", "key", "keys", "kit", "knife", "lace", "lamp",
    "lamps", "land", "lane", "lanes", "leaf", "leash", "letter", "lid", "lift", "light", "lights",
    "line", "lines", "list", "lot", "lots", "machine", "machines", "man", "market", "mat", "match",
    "matches", "mate", "men", "meter", "meters", "mirror", "mirrors", "mitt", "mouse", "mower",
    "opener", "outfit", "oven", "pack", "pad", "page", "paint", "pan", "pants", "paper", "papers",
    "park", "party", "paste", "path", "patrol", "people", "person", "phone", "phones", "picker",
    "picture", "pillow", "pit", "pitcher", "pizza", "place", "plan", "plane", "plate", "plates",
    "player", "players", "pole", "poles", "pool", "post", "poster", "pot", "rack", "racket",
    "rackets", "rail", "rails", "ramp", "range", "receiver", "remote", "rider", "riders", "road",
    "roll", "roof", "room", "rooms", "rope", "ruler", "runner", "runway", "sauce", "scene",
    "school", "screen", "screens", "seat", "seats", "service", "shade", "shaker", "sheet", "sheets",
    "shelf", "ship", "shirt", "shirts", "shoe", "shoes", "shop", "shore", "shorts", "shot", "side",
    "sign", "signal", "signals", "signs", "sill", "sink", "skin", "slide", "slip", "slope",
    "slopes", "spot", "spray", "spread", "stack", "stand", "stands", "station", "stations", "stick",
    "sticks", "stone", "stop", "stops", "store", "stove", "strap", "street", "strip", "suit",
    "suits", "surface", "system", "table", "tables", "tag", "tail", "tank", "tape", "team",
    "tennis", "tent", "tie", "tile", "tiles", "top", "towel", "towels", "tower", "towers", "town",
    "toy", "toys", "track", "tracks", "trail", "train", "trains", "tray", "tree", "trees", "trip",
    "truck", "trucks", "trunk", "tub", "tube", "turf", "unit", "vase", "vehicle", "vendor", "vest",
    "view", "village", "wagon", "walk", "walker", "wall", "wash", "watch", "water", "wave", "way",
    "wear", "wheel", "wheels", "window", "windows", "wing", "wings", "wire", "wires", "woman",
    "women", "wood", "worker", "workers", "yard", "zone",
};

static const char *const noun_adjectives[] = {
    "adult", "african", "american", "asian", "blond", "blonde", "brick", "brunette", "chocolate",
    "concrete", "criminal", "double", "elderly", "european", "fat", "female", "giant", "glass",
    "gold", "human", "indian", "individual", "inside", "japanese", "leather", "light", "liquid",
    "local", "male", "meat", "medium", "metal", "mexican", "native", "orange", "original",
    "outside", "oval", "patient", "plastic", "poor", "professional", "rich", "round", "royal",
    "silver", "sparkling", "special", "spiral", "square", "stone", "teal", "toy", "twin", "twins",
    "vegan", "vegetarian", "whole", "wood", "wool", "young",
};

static const char *const not_adverbs[] = {
    "assembly", "belly", "bubbly", "bully", "butterfly", "chilly", "cuddly", "curly", "daily",
    "dragonfly", "early", "elderly", "family", "firefly", "fly", "friendly", "grizzly", "hilly",
    "holy", "italy", "jelly", "july", "likely", "lily", "lively", "lonely", "lovely", "monopoly",
    "oily", "only", "paisley", "prickly", "reply", "silly", "smelly", "supply", "trolley", "ugly",
    "wobbly", "woolly", "wooly", "wrinkly",
};

static const char *const base_verbs[] = {
    "act", "add", "agree", "allow", "answer", "appear", "approach", "argue", "arrive", "ask",
    "attach", "attack", "attend", "avoid", "bake", "balance", "bark", "base", "bathe", "be", "bear",
    "beat", "begin", "belong", "bend", "bite", "block", "blow", "board", "bounce", "break",
    "breathe", "bring", "brush", "build", "burn", "buy", "call", "care", "carry", "cast", "catch",
    "celebrate", "change", "charge", "chase", "cheer", "chew", "clean", "climb", "close", "collect",
    "comb", "come", "compare", "compete", "complement", "concern", "connect", "contain", "continue",
    "contrast", "cook", "coordinate", "cost", "count", "cover", "crash", "crawl", "create", "cross",
    "cry", "curl", "curve", "cut", "dance", "depend", "depict", "deserve", "differ", "dig", "dip",
    "disappear", "discuss", "display", "dive", "divide", "dominate", "doubt", "drag", "draw",
    "dress", "drink", "drive", "drop", "dry", "eat", "end", "enjoy", "enter", "escape", "examine",
    "exceed", "exercise", "exist", "expect", "explain", "explode", "express", "extend", "face",
    "fade", "fall", "feed", "feel", "fight", "fill", "find", "finish", "fit", "fix", "flap",
    "float", "flow", "fly", "focus", "fold", "follow", "forget", "form", "frighten", "frown",
    "function", "gather", "get", "give", "glow", "go", "go-together", "grab", "graze", "greet",
    "grill", "grind", "groom", "grow", "hand", "handle", "hang", "happen", "hate", "have", "head",
    "hear", "heat", "help", "hide", "hike", "hit", "hold", "hug", "hunt", "hurt", "imply",
    "include", "indicate", "indulge", "interact", "interest", "invite", "itch", "join", "juggle",
    "jump", "keep", "kick", "kill", "kiss", "kneel", "knit", "knock", "know", "land", "last",
    "laugh", "lay", "lead", "lean", "learn", "leave", "let", "lick", "lie", "lift", "light", "like",
    "line", "list", "listen", "litter", "live", "lock", "look", "lose", "love", "lower", "make",
    "mark", "marry", "match", "mean", "measure", "meet", "melt", "mention", "miss", "mix", "mount",
    "move", "mow", "need", "observe", "occupy", "offer", "open", "operate", "order", "overlap",
    "overlook", "own", "pack", "paint", "park", "participate", "pass", "pay", "peek", "peel",
    "perform", "pet", "pick", "place", "plan", "plant", "play", "point", "poke", "pop", "pose",
    "possess", "pour", "practice", "prefer", "prepare", "present", "preserve", "prevent", "print",
    "produce", "promote", "protect", "provide", "pull", "push", "put", "race", "rain", "raise",
    "reach", "react", "read", "realize", "receive", "recognize", "recommend", "reflect", "relate",
    "relax", "remain", "remember", "remind", "remove", "repair", "repeat", "replace", "represent",
    "require", "resemble", "rest", "return", "rhyme", "ride", "rise", "roam", "roll", "rub", "rule",
    "run", "sail", "save", "say", "seat", "see", "seem", "select", "sell", "send", "separate",
    "serve", "set", "shake", "share", "shave", "shine", "shop", "shout", "show", "shut", "signal",
    "sing", "sink", "sit", "skate", "skateboard", "ski", "sleep", "slide", "smash", "smell",
    "smile", "smoke", "snow", "solve", "sound", "speak", "spell", "spin", "split", "spray",
    "spread", "squat", "stack", "stand", "stare", "start", "stay", "steal", "step", "stick", "stop",
    "store", "stretch", "study", "suffer", "suggest", "suit", "support", "suppose", "surf",
    "surround", "swallow", "sweep", "swim", "swing", "switch", "take", "talk", "taste", "tell",
    "throw", "tie", "tilt", "tip", "touch", "tow", "train", "travel", "trust", "try", "turn",
    "type", "understand", "unfold", "use", "wag", "wait", "wake", "walk", "want", "wash", "waste",
    "watch", "water", "wave", "wear", "weigh", "win", "wipe", "wish", "wonder", "work", "worry",
    "wrap", "write", "yawn", "yell",
};

static const char *const mass_nouns[] = {
    "alcohol", "art", "asphalt", "bacon", "baggage", "bamboo", "barbecue", "bark", "batter", "beef",
    "beer", "blood", "brass", "bread", "breakfast", "broccoli", "bubble-wrap", "butter", "cake",
    "cardboard", "carpet", "cash", "celery", "cereal", "champagne", "charcoal", "cheese", "chicken",
    "chili", "china", "chocolate", "cinnamon", "clay", "cloth", "clothing", "coal", "coffee",
    "concrete", "cork", "corn", "cotton", "couscous", "cream", "curry", "cutlery", "denim",
    "dessert", "dinner", "dirt", "dough", "dressing", "duct-tape", "dust", "electricity",
    "equipment", "everything", "fabric", "family", "fiber", "fire", "fish", "flour", "foam", "fog",
    "foil", "foliage", "food", "footage", "frosting", "fruit", "fur", "furniture", "garbage",
    "gasoline", "glass", "glassware", "graffiti", "granite", "granola", "grass", "gravel",
    "guacamole", "gum", "hair", "ham", "hay", "homework", "honey", "hummus", "ice", "ink", "iron",
    "ivory", "jam", "jelly", "jewelry", "juice", "ketchup", "khaki", "lace", "lamb", "land",
    "laundry", "lava", "leather", "lettuce", "light", "linen", "linoleum", "liquor", "luggage",
    "lunch", "mail", "makeup", "marble", "mayonnaise", "meat", "metal", "milk", "mold", "money",
    "moss", "mud", "mulch", "music", "mustard", "oatmeal", "oil", "paint", "paper", "parsley",
    "pasta", "pavement", "peanut-butter", "pepper", "pizza", "plastic", "plywood", "pollution",
    "popcorn", "porcelain", "pork", "poultry", "powder", "produce", "pudding", "quinoa", "rain",
    "relish", "rice", "rubber", "rust", "salad", "salmon", "salsa", "salt", "sand", "sauce",
    "scenery", "seafood", "seasoning", "seating", "seaweed", "shade", "shrimp", "silk", "silver",
    "silverware", "smog", "smoke", "snow", "soap", "soda", "soil", "soup", "spaghetti", "spinach",
    "sports", "steak", "steam", "steel", "stew", "stone", "straw", "stuffing", "sugar", "sunlight",
    "sunshine", "sushi", "syrup", "tap-water", "tape", "tar", "tea", "tile", "tinsel", "toast",
    "tofu", "traffic", "trash", "tuna", "turkey", "vegetation", "velvet", "vinegar", "vinyl",
    "wallpaper", "water", "wax", "weather", "wheat", "whiskey", "wicker", "wine", "wood", "wool",
    "yarn", "yogurt", "zucchini",
};

static const char *const plural_nouns[] = {
    "binoculars", "bison", "buffalo", "businessmen", "calves", "cattle", "children", "clothes",
    "crew", "deer", "elk", "feet", "firefighters", "firemen", "fish", "fishermen", "geese",
    "gentlemen", "glasses", "goggles", "halves", "jeans", "knives", "leaves", "loaves", "men",
    "mice", "moose", "oxen", "pajamas", "pants", "people", "police", "policemen", "salesmen",
    "scarves", "scissors", "servicemen", "sheep", "shelves", "shorts", "skiers", "snowboarders",
    "snowmen", "spectators", "sportsmen", "sunglasses", "teeth", "trousers", "wives", "wolves",
    "women", "women's",
};

static const char *const singular_s[] = {
    "abacus", "access", "across", "actress", "address", "always", "asparagus", "atlas", "bass",
    "bias", "bliss", "boss", "brass", "bus", "business", "cactus", "campus", "canvas", "chaos",
    "cheerless", "chess", "christmas", "circumference", "circus", "citrus", "class", "compass",
    "cosmos", "crocus", "cross", "dallas", "darkness", "discus", "dress", "eucalyptus", "fitness",
    "fortress", "fungus", "gas", "genius", "gladiolus", "glass", "goddess", "grass", "guess",
    "gymnastics", "harness", "headdress", "hers", "hibiscus", "hippopotamus", "his", "hostess",
    "hummus", "illness", "iris", "its", "kiss", "las", "lens", "loss", "lotus", "mantis",
    "mathematics", "mattress", "mess", "minibus", "moss", "news", "octopus", "omnibus", "ours",
    "papyrus", "paris", "pass", "perhaps", "physics", "platypus", "politics", "press", "princess",
    "process", "progress", "ross", "seamstress", "series", "sinus", "species", "sphinx", "sports",
    "status", "stress", "stylus", "success", "sundress", "swiss", "tennis", "tetris", "texas",
    "this", "us", "usa", "vegas", "virus", "waitress", "walrus", "wilderness", "yours",
};

static const char *const counts[] = {
    "all", "another", "at", "both", "dozen", "each", "eight", "eleven", "enough", "equal", "every",
    "exactly", "few", "fewer", "five", "four", "half", "just", "least", "less", "lots", "many",
    "more", "most", "much", "multiple", "nine", "one", "only", "plenty", "seven", "several", "six", "sufficient",
    "ten", "three", "twelve", "two",
};

static const char *const amounts[] = {
    "amount", "bit", "bunch", "couple", "deal", "dozen", "few", "handful", "large-number", "little", "lot", "lots", "majority",
    "number", "quantity", "variety",
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
    [NC_PREPOSITION] = LIST(prepositions),
    [NC_DETERMINER] = LIST(determiners),
    [NC_ADVERB] = LIST(adverbs),
    [NC_ADJECTIVE] = LIST(adjectives),
    [NC_PARTICIPLE] = LIST(participles),
    [NC_NOUN_IN_ING] = LIST(nominal_ing),
    [NC_COMPOUND_ING] = LIST(ing_of_compounds),
    [NC_COMPOUND_NOUN] = LIST(compound_nouns),
    [NC_VERB] = LIST(base_verbs),
    [NC_MASS_NOUN] = LIST(mass_nouns),
    [NC_PLURAL_NOUN] = LIST(plural_nouns),
    [NC_SINGULAR_IN_S] = LIST(singular_s),
    [NC_COMPOUND_MODIFIER] = LIST(compound_modifiers),
    [NC_COMPOUND_HEAD] = LIST(compound_heads),
    [NC_NOUN_ADJECTIVE] = LIST(noun_adjectives),
    [NC_NO_ADVERB] = LIST(not_adverbs),
    [NC_COUNT_WORD] = LIST(counts),
    [NC_AMOUNT_WORD] = LIST(amounts),
};

const char *const *nc_lexicon_words(enum nc_word_class class, size_t *count)
{
    *count = lists[class].count;
    return lists[class].words;
}

static int compare(const void *key, const void *entry)
{
    return strcmp(key, *(const char *const *)entry);
}

bool nc_word_is(const char *word, enum nc_word_class class)
{
    return bsearch(word, lists[class].words, lists[class].count, sizeof *lists[class].words,
                   compare) != NULL;
}

static bool ends_in(const char *word, const char *ending, size_t stem)
{
    size_t length = strlen(word), tail = strlen(ending);
    return length >= stem + tail && strcmp(word + length - tail, ending) == 0;
}

bool nc_word_is_ing(const char *word)
{
    return ends_in(word, "ing", 2) && !nc_word_is(word, NC_NOUN_IN_ING) &&
           !nc_word_is(word, NC_PREPOSITION);
}

bool nc_word_is_compound(const char *word, const char *next)
{
    return nc_word_is(word, NC_COMPOUND_ING) && nc_word_is(next, NC_COMPOUND_NOUN);
}

bool nc_word_is_participle(const char *word)
{
    return nc_word_is(word, NC_PARTICIPLE) ||
           (ends_in(word, "ed", 2) && !ends_in(word, "eed", 1) && strcmp(word, "shed") != 0);
}

/* "taller", "nicer", "bigger", "happiest" */
static bool is_comparative(const char *word)
{
    static const char *const nouns[] = {"cooler", "dryer", "cleaner", "smoker", "counter", "loser"};
    char base[32];
    size_t length = strlen(word), tail = ends_in(word, "er", 3)    ? 2
                                         : ends_in(word, "est", 3) ? 3
                                                                   : 0;
    if (!tail || length >= sizeof base)
        return false;
    for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++)
        if (strcmp(word, nouns[i]) == 0)
            return false;
    size_t stem = length - tail;
    memcpy(base, word, stem);
    base[stem] = 0;
    if (nc_word_is(base, NC_ADJECTIVE))
        return true;
    base[stem] = 'e';
    base[stem + 1] = 0;
    if (nc_word_is(base, NC_ADJECTIVE))
        return true;
    base[stem] = 0;
    if (base[stem - 1] == 'i')
        base[stem - 1] = 'y';
    else if (base[stem - 1] == base[stem - 2])
        base[stem - 1] = 0;
    else
        return false;
    return nc_word_is(base, NC_ADJECTIVE);
}

bool nc_word_is_adjective(const char *word)
{
    return nc_word_is(word, NC_ADJECTIVE) || is_comparative(word);
}

bool nc_word_looks_adjective(const char *word)
{
    static const char *const endings[] = {"ional", "ical", "ive",  "ous", "ful", "less", "ible",
                                          "able",  "onal", "ular", "ese", "ish", "like", "proof"};
    static const char *const nouns[] = {"table",  "vegetable", "cable",   "fish",  "dish",
                                        "stable", "cheese",    "house",   "mouse", "olive",
                                        "blouse", "drive",     "archive", "glove", NULL};
    for (size_t i = 0; nouns[i]; i++)
        if (strcmp(word, nouns[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_in(word, endings[i], 2))
            return true;
    return false;
}

bool nc_word_is_adverb(const char *word)
{
    return nc_word_is(word, NC_ADVERB) ||
           (ends_in(word, "ly", 3) && !nc_word_is(word, NC_NO_ADVERB) &&
            !nc_word_is_adjective(word));
}

bool nc_word_is_plural(const char *word)
{
    if (nc_word_is(word, NC_PLURAL_NOUN))
        return true;
    return ends_in(word, "s", 2) && !ends_in(word, "ss", 0) && !ends_in(word, "us", 0) &&
           !ends_in(word, "'s", 0) && !nc_word_is(word, NC_SINGULAR_IN_S);
}

bool nc_word_is_number(const char *word)
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
