/* Generated photographs in a tar, and a random model. */
#include "embed_data.h"

#include "nclip/checkpoints/safetensors.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/model/parameters.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* ---- pictures ---- */

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* What changes from column to column alone. */
static void draw_waves(size_t number, double waves[3 * EMBED_WIDTH])
{
    for (size_t x = 0; x < EMBED_WIDTH; x++)
        for (size_t c = 0; c < 3; c++)
            waves[3 * x + c] = 50 * sin((double)x * 0.01 * (double)(1 + number % 5) + (double)c);
}

static void draw_row(size_t number, size_t y, const double waves[3 * EMBED_WIDTH], uint32_t *state,
                     uint8_t *row)
{
    double height = 40 * cos((double)y * 0.017 + (double)number);
    for (size_t x = 0; x < EMBED_WIDTH; x++)
        for (size_t c = 0; c < 3; c++) {
            double smooth = waves[3 * x + c] + height;
            double edges = (double)((x / 40 + y / 30 + number) % 3) * 14;
            double level = 128 + smooth + edges + (double)(draw(state) % 24);
            row[3 * x + c] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
}

/* A JPEG in memory that the caller frees. */
static void encode(size_t number, unsigned char **bytes, unsigned long *size)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    uint8_t row[3 * EMBED_WIDTH], *rows = row;
    double waves[3 * EMBED_WIDTH];
    draw_waves(number, waves);
    uint32_t state = (uint32_t)number * 7919u + 1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, bytes, size);
    jpeg.image_width = EMBED_WIDTH;
    jpeg.image_height = EMBED_HEIGHT;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, EMBED_QUALITY, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (size_t y = 0; y < EMBED_HEIGHT; y++) {
        draw_row(number, y, waves, &state, row);
        jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
}

/* A member of a tar: POSIX ustar. */
static int put_member(struct nc_writer *tar, const char *name, const void *data, size_t size)
{
    char header[512] = {0};
    static const char zeros[512];
    snprintf(header, 100, "%s", name);
    snprintf(header + 100, 8, "0000644");
    snprintf(header + 108, 8, "0000000");
    snprintf(header + 116, 8, "0000000");
    snprintf(header + 124, 12, "%011zo", size);
    snprintf(header + 136, 12, "00000000000");
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof header; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    int status = nc_writer_write(tar, header, sizeof header);
    if (status == NC_OK)
        status = nc_writer_write(tar, data, size);
    if (status == NC_OK)
        status = nc_writer_write(tar, zeros, (512 - size % 512) % 512);
    return status;
}

static int put_picture(struct nc_writer *tar, const char *folder, size_t number)
{
    char name[32], path[4096], caption[64];
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    encode(number, &bytes, &size);
    snprintf(name, sizeof name, "%06zu.jpg", number);
    snprintf(path, sizeof path, "%s/pictures/%s", folder, name);
    int status = bytes ? nc_file_write(path, bytes, size) : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK)
        status = put_member(tar, name, bytes, size);
    free(bytes);
    snprintf(name, sizeof name, "%06zu.txt", number);
    int length = snprintf(caption, sizeof caption, "picture %zu, which has no caption yet", number);
    return status == NC_OK ? put_member(tar, name, caption, (size_t)length) : status;
}

/* Whether an earlier run left just so many pictures: the tar comes last, and by rename. */
static bool are_there(const char *pictures, const char *tar, size_t count)
{
    char last[32], next[32];
    snprintf(last, sizeof last, "%06zu.jpg", count - 1);
    snprintf(next, sizeof next, "%06zu.jpg", count);
    return nc_file_exists(tar) && nc_folder_holds(pictures, last) &&
           !nc_folder_holds(pictures, next);
}

int embed_data_pictures(const char *folder, size_t count)
{
    static const char end[1024];
    char *pictures = nc_path_join(folder, "pictures"), *path = nc_path_join(folder, "pictures.tar");
    struct nc_writer *tar = NULL;
    int status = pictures && path ? nc_folder_create(pictures) : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK && are_there(pictures, path, count))
        goto out;
    if (status == NC_OK)
        status = nc_writer_create(path, &tar);
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = put_picture(tar, folder, i);
    if (status == NC_OK)
        status = nc_writer_write(tar, end, sizeof end);
    if (status == NC_OK)
        status = nc_writer_commit(tar);
    else
        nc_writer_abort(tar);
out:
    free(pictures);
    free(path);
    return status;
}

/* ---- a model ---- */

static const struct vision {
    size_t width, layers, patch, embedding;
} visions[] = {{768, 12, 32, 512}, {768, 12, 16, 512}, {1024, 24, 14, 768}, {64, 2, 32, 64}};
const char *const embed_data_shapes[] = {"ViT-B/32", "ViT-B/16", "ViT-L/14", "tiny", NULL};

static int write_config(const char *folder, const struct vision *v)
{
    char text[2048], *path = nc_path_join(folder, "config.json");
    int size =
        snprintf(text, sizeof text,
                 "{\"model_type\": \"clip\", \"projection_dim\": %zu, \"text_config\": "
                 "{\"hidden_size\": 64, "
                 "\"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"intermediate_size\": 64, "
                 "\"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": 1e-5, \"vocab_size\": 64, "
                 "\"max_position_embeddings\": 8, \"eos_token_id\": 63}, \"vision_config\": "
                 "{\"hidden_size\": "
                 "%zu, \"num_hidden_layers\": %zu, \"num_attention_heads\": %zu, "
                 "\"intermediate_size\": %zu, "
                 "\"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": 1e-5, \"image_size\": 224, "
                 "\"patch_size\": %zu}}\n",
                 v->embedding, v->width, v->layers, v->width / 64, 4 * v->width, v->patch);
    int status = path ? nc_file_write(path, text, (size_t)size) : nc_error(NC_FAILED, "no memory");
    free(path);
    return status;
}

static int write_tensors(struct nc_safetensors_writer *writer,
                         const struct nc_parameter_table *table)
{
    int status = NC_OK;
    uint32_t state = 1;
    for (size_t i = 0; i < table->count && status == NC_OK; i++)
        status = nc_safetensors_writer_declare(writer, table->rows[i].name, "F32",
                                               table->rows[i].rank, table->rows[i].shape);
    for (size_t i = 0; i < table->count && status == NC_OK; i++) {
        size_t count = table->rows[i].count;
        float *values = malloc(count * sizeof *values);
        if (!values)
            return nc_error(NC_FAILED, "no memory for %zu parameters", count);
        for (size_t k = 0; k < count; k++)
            values[k] = (float)((int)(draw(&state) % 4096) - 2048) * 2e-5f;
        status = nc_safetensors_writer_data(writer, values, count * sizeof *values);
        free(values);
    }
    return status;
}

int embed_data_model(const char *folder, const char *name)
{
    size_t number = 0;
    while (embed_data_shapes[number] && strcmp(embed_data_shapes[number], name) != 0)
        number++;
    if (!embed_data_shapes[number])
        return nc_error(NC_USAGE, "no vision tower is called \"%s\"", name);
    const struct vision *v = &visions[number];
    const struct nc_model_shape shape = {
        .text = {64, 1, 1, 64, NC_QUICK_GELU, 1e-5f},
        .vision = {v->width, v->layers, v->width / 64, 4 * v->width, NC_QUICK_GELU, 1e-5f},
        .embedding = v->embedding,
        .vocabulary = 64,
        .context = 8,
        .end_rule = NC_END_FIRST,
        .end_token = 63,
        .image_size = 224,
        .patch_size = v->patch,
        .channels = 3,
    };
    struct nc_parameter_table table = {0};
    struct nc_safetensors_writer *writer = NULL;
    char *path = nc_path_join(folder, "model.safetensors");
    int status = path ? nc_folder_create(folder) : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK)
        status = write_config(folder, v);
    if (status == NC_OK)
        status = nc_parameter_table_create(&shape, &table);
    if (status == NC_OK)
        status = nc_safetensors_writer_create(path, "pt", &writer);
    if (status == NC_OK)
        status = write_tensors(writer, &table);
    if (status == NC_OK)
        status = nc_safetensors_writer_commit(writer);
    else
        nc_safetensors_writer_abort(writer);
    nc_parameter_table_destroy(&table);
    free(path);
    return status;
}
