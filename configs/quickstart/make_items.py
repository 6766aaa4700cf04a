"""Makes items.json: what `nclip evaluate choices` asks in the quick start.

    python3 make_items.py DATA [items.json]

DATA is the folder `data` of the package easy-vqa 1.0. Only its test split is read. What a picture
shows is known from its questions alone: "what color is the shape?" "red", or "is there a circle?"
"yes". A picture counts only where both its colour and its shape are known (880 of 1,000).

Four groups, chance in brackets:

plain     [1/4]  a phrase without negation, four pictures, one of which it fits.
negation  [1/4]  a phrase that denies one thing; three of the four pictures show that very thing.
                 Who overhears the "not" picks one of the three: far below chance.
mixed     [1/4]  a phrase that names one thing and denies another ("a circle that is not blue").
                 The pictures are the four cells of a table: named or not, denied or not. Who
                 overhears the "not" picks the blue circle.
twin      [1/2]  one picture, a true caption and its negated twin; in half of the items the true
                 one is the one with the negation.

"negation/held-out phrasing" uses sentences that the fine-tuning never saw. In "negation/held-out
pair" at least one of the four pictures shows a colour and a shape that never came together in
fine-tuning, the right one or a wrong one. "mixed" alike; there the phrase may also name the pair.
The other items have neither. See held_out.json. Needs nothing but Python's standard library; the
same input gives the same file.
"""
import json
import os
import random
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = ("circle", "rectangle", "triangle")

COUNTS = {
    "plain": 500,
    "negation": 500,
    "negation/held-out phrasing": 150,
    "negation/held-out pair": 150,
    "mixed": 300,
    "mixed/held-out phrasing": 150,
    "mixed/held-out pair": 150,
    "twin": 500,
}

# {thing}: "red shape", "circle".  {quality}: "red", "a circle".  {known}: what is named instead.
PLAIN = (
    "{a thing}",
    "there is {a thing}",
    "there is {a thing} in the picture",
    "the picture contains {a thing}",
    "the image shows {a thing}",
    "{a thing} is present",
    "a picture of {a thing}",
    "a picture with {a thing}",
)
NEGATION = (
    "there is no {thing}",
    "there is no {thing} in the picture",
    "there is not {a thing} in the picture",
    "the picture does not contain {a thing}",
    "the image does not show {a thing}",
    "no {thing} is present",
    "a picture without {a thing}",
    "a picture with no {thing}",
    "not {a thing}",
    "{a subject} that is not {quality}",
    "the {subject} is not {quality}",
)
MIXED = (
    "{a known} that is not {quality}",
    "{a known}, not {quality}",
    "{a known}, but not {quality}",
    "there is {a known} but no {thing}",
)
# A statement and the statement that is true where it is not.
TWINS = (
    ("{a subject} that is {quality}", "{a subject} that is not {quality}"),
    ("there is {a thing} in the picture", "there is no {thing} in the picture"),
    ("the picture contains {a thing}", "the picture does not contain {a thing}"),
    ("{a thing} is present", "no {thing} is present"),
    ("a picture with {a thing}", "a picture without {a thing}"),
    ("{a thing}", "not {a thing}"),
)


def facts(questions):
    """{image id: (colour, shape)} of the pictures whose questions tell both."""
    colour, shape = {}, {}
    for question, answer, image in questions:
        words = question.rstrip("?").split()
        if answer in ("yes", "no"):
            if (answer == "yes") == ("not" in words or "no" in words):
                continue
        elif answer in SHAPES:
            shape[image] = answer
        else:
            colour[image] = answer
        for word in words:
            if word in SHAPES:
                shape[image] = word
        match = re.search(r"(\w+) shape", question)
        if match and match[1] not in ("the", "what"):
            colour[image] = match[1]
    return {image: (colour[image], shape[image]) for image in sorted(colour) if image in shape}


def fill(phrasing, denied, known=None):
    thing = denied if denied in SHAPES else denied + " shape"
    quality = "a " + denied if denied in SHAPES else denied
    if known and known not in SHAPES:
        known += " shape"
    for name, value in (
        ("{a thing}", "a " + thing),
        ("{thing}", thing),
        ("{quality}", quality),
        ("{a subject}", "a shape"),
        ("{subject}", "shape"),
        ("{a known}", "a %s" % known),
    ):
        phrasing = phrasing.replace(name, value)
    return phrasing


def main():
    data = sys.argv[1]
    output = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "items.json")
    with open(os.path.join(data, "test", "questions.json")) as file:
        shown = facts(json.load(file))
    with open(os.path.join(HERE, "held_out.json")) as file:
        held_out = json.load(file)
    held_phrasings = set(held_out["phrasings"])
    held_pairs = {tuple(pair) for pair in held_out["pairs"]}
    colours = sorted({colour for colour, _ in shown.values()})
    words = colours + list(SHAPES)
    rng = random.Random(3)

    def pick(count, wanted):
        return rng.sample([image for image, fact in shown.items() if wanted(fact)], count)

    def plain():
        if rng.random() < 1 / 3:  # both words: "a red circle"
            pair = rng.choice(sorted(set(shown.values())))
            right = pick(1, lambda fact: fact == pair)
            # One shares the colour, one the shape, one neither.
            wrong = pick(1, lambda fact: fact[0] == pair[0] and fact[1] != pair[1])
            wrong += pick(1, lambda fact: fact[0] != pair[0] and fact[1] == pair[1])
            wrong += pick(1, lambda fact: fact[0] != pair[0] and fact[1] != pair[1])
            thing = " ".join(pair)
            return rng.choice(PLAIN).replace("{a thing}", "a " + thing), right, wrong
        word = rng.choice(words)
        right = pick(1, lambda fact: word in fact)
        wrong = pick(3, lambda fact: word not in fact)
        return fill(rng.choice(PLAIN), word), right, wrong

    def negation():
        word, phrasing = rng.choice(words), rng.choice(NEGATION)
        right = pick(1, lambda fact: word not in fact)
        return phrasing, fill(phrasing, word), right, pick(3, lambda fact: word in fact), False

    def mixed():
        named, denied = rng.choice(colours), rng.choice(SHAPES)
        pair = (named, denied) in held_pairs
        if rng.random() < 0.5:
            named, denied = denied, named
        phrasing = rng.choice(MIXED)
        right = pick(1, lambda fact: named in fact and denied not in fact)
        wrong = pick(1, lambda fact: named in fact and denied in fact)
        wrong += pick(1, lambda fact: named not in fact and denied in fact)
        wrong += pick(1, lambda fact: named not in fact and denied not in fact)
        return phrasing, fill(phrasing, denied, named), right, wrong, pair

    def of_kind(make, kind):
        """An item with what is held out where the kind says so, and with nothing of it elsewhere."""
        while True:
            phrasing, phrase, right, wrong, pair = make()
            pair = pair or any(shown[picture] in held_pairs for picture in right + wrong)
            if (phrasing in held_phrasings) == (kind == "held-out phrasing") and pair == (
                kind == "held-out pair"
            ):
                return phrase, right, wrong

    items, seen = [], set()
    for group, count in COUNTS.items():
        name, _, kind = group.partition("/")
        made = 0
        while made < count:
            if name == "twin":
                image = rng.choice(list(shown))
                affirmed, denied = rng.choice(TWINS)
                if made % 2:
                    word = rng.choice([word for word in words if word not in shown[image]])
                    phrases = [fill(denied, word), fill(affirmed, word)]
                else:
                    word = rng.choice(shown[image])
                    phrases = [fill(affirmed, word), fill(denied, word)]
                answer = rng.randrange(2)  # a tie must not favour the true one
                if answer:
                    phrases.reverse()
                item = {"image": "test/images/%d.png" % image, "phrases": phrases}
            else:
                phrase, right, wrong = plain() if name == "plain" else of_kind(
                    negation if name == "negation" else mixed, kind)
                pictures = right + wrong
                rng.shuffle(pictures)
                answer = pictures.index(right[0])
                item = {
                    "phrase": phrase,
                    "images": ["test/images/%d.png" % picture for picture in pictures],
                }
            key = json.dumps(item)
            if key in seen:
                continue
            seen.add(key)
            item["answer"] = answer
            item["group"] = group
            items.append(item)
            made += 1

    with open(output, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")


if __name__ == "__main__":
    main()
