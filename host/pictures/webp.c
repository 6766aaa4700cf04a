/* WebP by libwebp, called as PIL calls it: as an animation, of which the first picture is taken. */
#include "codec.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

static int damaged(const struct nc_coded *coded, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: damaged WebP: %s", coded->where, what);
}

/* What the header claims, before the decoder allocates its canvases. */
static int check_size(const struct nc_coded *coded, const WebPData *data)
{
    WebPDemuxState state;
    WebPDemuxer *demuxer = WebPDemuxPartial(data, &state);
    size_t width = demuxer ? WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH) : 0;
    size_t height = demuxer ? WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT) : 0;
    WebPDemuxDelete(demuxer);
    if (state == WEBP_DEMUX_PARSE_ERROR)
        return damaged(coded, "its parts make no sense");
    if (state != WEBP_DEMUX_DONE)
        return nc_error(NC_BAD_INPUT, "%s: truncated WebP: %zu bytes are not all of it",
                        coded->where, coded->size);
    if (!width || !height)
        return damaged(coded, "a picture without pixels");
    return nc_image_check_size(coded->where, width, height);
}

/* libwebp 1.5 says that it has no memory where an alpha plane is damaged. Where there is as much as
 * decoding takes, it is the bytes. */
static bool has_room(size_t pixels)
{
    void *volatile room = malloc(8 * pixels + ((size_t)1 << 20)); /* not to be thought away */
    free(room);
    return room != NULL;
}

/* Why the first picture could not be decoded, which the decoder of animations does not tell: whether
 * its bytes are at fault. */
static bool bytes_are_at_fault(const WebPData *data)
{
    WebPDemuxer *demuxer = WebPDemux(data);
    WebPIterator picture;
    WebPDecoderConfig config;
    bool there = demuxer && WebPDemuxGetFrame(demuxer, 1, &picture), at_fault = demuxer && !there;
    if (there) {
        if (WebPInitDecoderConfig(&config)) {
            VP8StatusCode code = WebPDecode(picture.fragment.bytes, picture.fragment.size, &config);
            at_fault = code == VP8_STATUS_OUT_OF_MEMORY
                           ? has_room((size_t)picture.width * (size_t)picture.height)
                           : code != VP8_STATUS_OK;
            WebPFreeDecBuffer(&config.output);
        }
        WebPDemuxReleaseIterator(&picture);
    }
    WebPDemuxDelete(demuxer);
    return at_fault;
}

int nc_webp_decode(const struct nc_coded *coded, struct nc_image *image)
{
    WebPData data = {coded->bytes, coded->size};
    WebPAnimDecoderOptions options;
    WebPAnimInfo info;
    int status = check_size(coded, &data), timestamp;
    if (status != NC_OK)
        return status;
    if (!WebPAnimDecoderOptionsInit(&options))
        return nc_error(NC_FAILED, "%s: another version of libwebp than at build time",
                        coded->where);
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    uint8_t *rgba;
    if (!decoder || !WebPAnimDecoderGetInfo(decoder, &info))
        status = nc_error(NC_FAILED, "%s: no memory to decode it", coded->where);
    else if (!WebPAnimDecoderGetNext(decoder, &rgba, &timestamp))
        status = bytes_are_at_fault(&data)
                     ? damaged(coded, "its pixels cannot be decoded")
                     : nc_error(NC_FAILED, "%s: no memory to decode it", coded->where);
    size_t count = status == NC_OK ? (size_t)info.canvas_width * info.canvas_height : 0;
    if (status == NC_OK) {
        *image = (struct nc_image){info.canvas_width, info.canvas_height, malloc(3 * count)};
        if (image->pixels)
            nc_image_drop_alpha(coded->reading.transparency, rgba, count, image->pixels);
        else
            status = nc_error(NC_FAILED, "%s: no memory for %zu pixels", coded->where, count);
    }
    WebPAnimDecoderDelete(decoder);
    return status;
}
