/* Which of several texts does a picture show?
 *
 *   cc zero_shot.c $(pkg-config --cflags --libs nclip) -o zero_shot
 *   ./zero_shot MODEL PICTURE "a street with cars" "a street with no cars" */
#include <nclip/nclip.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: zero_shot MODEL PICTURE TEXT...\n");
        return NC_CLIP_USAGE;
    }
    const char *picture = argv[2];
    const char *const *texts = (const char *const *)argv + 3;
    size_t count = (size_t)argc - 3;

    nc_clip *clip;
    int status = nc_clip_open(argv[1], NC_CLIP_TEXT | NC_CLIP_IMAGES, &clip);
    if (status != NC_CLIP_OK) {
        fprintf(stderr, "zero_shot: %s\n", nc_clip_error());
        return status;
    }
    size_t dimension = nc_clip_dimension(clip);
    float *text_features = malloc(count * dimension * sizeof(float));
    float *image_feature = malloc(dimension * sizeof(float));
    float *scores = malloc(count * sizeof(float));

    status = nc_clip_encode_texts(clip, texts, count, text_features);
    if (status == NC_CLIP_OK)
        status = nc_clip_encode_image_files(clip, &picture, 1, image_feature);
    if (status == NC_CLIP_OK) {
        nc_clip_cosines(clip, text_features, count, image_feature, 1, scores);
        nc_clip_probabilities(clip, scores, count, scores);
        for (size_t i = 0; i < count; i++)
            printf("%6.2f%%  %s\n", 100 * scores[i], texts[i]);
    } else {
        fprintf(stderr, "zero_shot: %s\n", nc_clip_error());
    }
    free(text_features);
    free(image_feature);
    free(scores);
    nc_clip_close(clip);
    return status;
}
