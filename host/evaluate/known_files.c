/* Entries and hashes of the files that benchmarks have published. */
#include "known_files.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Entries of the file (before any are left out), and XXH3 (64 bits, seed 0) of its bytes; 0: the
 * bytes differ between the places that offer it. */
static const struct known_file {
    const char *name;
    size_t entries;
    uint64_t hash;
} files[] = {
    {"NegRefCOCOg.json", 440, 0x963b5f7420ad9a04},
    /* VALSE: github.com/Heidelberg-NLP/VALSE, data/ */
    {"existence.json", 534, 0x37fc5358a94f02cd},
    {"plurals.json", 1000, 0x3a0e35ab64072e0e},
    {"counting-hard.json", 1000, 0xafd3c3f52af95e4d},
    {"counting-small-quant.json", 1000, 0x9dc8fa887c381335},
    {"counting-adversarial.json", 756, 0x1ed58f3137cb9d9e},
    {"relations.json", 614, 0x0cd19bb8d2babb56},
    {"action-replacement.json", 779, 0x1a702bdca2e2ffa8},
    {"actant-swap.json", 1042, 0x1ac460bdd04a831e},
    {"coreference-standard.json", 916, 0x37bb43eae127bc5f},
    {"coreference-hard.json", 141, 0xd2cd9f11604bcf5e},
    {"foil-it.json", 1000, 0xf99fe5e3096d44cc},
    /* SugarCrepe: github.com/RAIVNLab/sugar-crepe, data/ */
    {"add_att.json", 692, 0xe6e72c68dba45120},
    {"add_obj.json", 2062, 0x20ee61f5c2fcd16a},
    {"replace_att.json", 788, 0x3e570ebe03e1897e},
    {"replace_obj.json", 1652, 0x9b5f38f857aeeb9e},
    {"replace_rel.json", 1406, 0x7832cd54bf46ffc0},
    {"swap_att.json", 666, 0x757a462e062bd8fd},
    {"swap_obj.json", 245, 0xfa2719de0c8790a7},
    /* Karpathy and Fei-Fei 2015: the pictures of the test split */
    {"dataset_coco.json", 5000, 0},
    {"dataset_flickr30k.json", 1000, 0},
    /* CelebA (Liu et al. 2015): the pictures of the test partition */
    {"list_attr_celeba.txt", 19962, 0},
    /* CC-Neg (Singh et al. 2025): the pairs that its evaluation uses */
    {"ccneg.json", 40000, 0},
};

void known_file_check(const char *path, const char *name, size_t count)
{
    const char *slash = strrchr(path, '/');
    if (!name)
        name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const struct known_file *known = &files[i];
        if (strcmp(known->name, name) != 0)
            continue;
        struct nc_mapping file;
        if (count != known->entries) {
            fprintf(stderr, "warning: %s: has %zu entries, the published %s has %zu: %s\n", path,
                    count, name, known->entries,
                    count < known->entries ? "the score is that of a part"
                                           : "it is another file, whose score compares to none");
        } else if (known->hash && strcmp(path, "-") != 0 && nc_file_map(path, &file) == NC_OK) {
            uint64_t hash = XXH3_64bits(file.data, file.size);
            if (hash != known->hash)
                fprintf(stderr,
                        "warning: %s: differs from the published %s (XXH3 %016" PRIx64
                        ", expected %016" PRIx64 ")\n",
                        path, name, hash, known->hash);
            nc_file_unmap(&file);
        }
    }
}
