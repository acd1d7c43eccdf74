/* The person over what is behind: where she is alone she is copied, where she is not the background is, and the edge is mixed. */
#include "kernels.h"

enum { SPAN = 16, FAR = 64, NOBODY, MIXED, PERSON };

static int kind_of(const byte *alpha)
{
    uint64_t a, b;
    memcpy(&a, alpha, sizeof a);
    memcpy(&b, alpha + sizeof a, sizeof b);
    return (a | b) == 0 ? NOBODY : ~(a & b) == 0 ? PERSON : MIXED;
}

/* Where the run of spans of one kind ends that begins at i. */
static int64_t run_end(const byte *alpha, int64_t i, int64_t pixels, int kind)
{
    const byte whole = kind == PERSON ? 255 : 0;
    for (; kind != MIXED && i + FAR <= pixels; i += FAR) {
        byte other = 0;
        for (int k = 0; k < FAR; k++)
            other |= alpha[i + k] ^ whole;
        if (other)
            break;
    }
    while (i + SPAN <= pixels && kind_of(alpha + i) == kind)
        i += SPAN;
    return i;
}

/* out = alpha frame + (1 - alpha) behind, of at most SPAN pixels. With `room`, the person's share of a colour is what is left of
   it without the room's: I - (1 - alpha) B, within 0..alpha. */
static void mix(const byte *frame, const byte *alpha, const byte *room, const byte *behind, byte *out, int pixels)
{
    uint16_t weight[3 * SPAN] = {0}; /* 0..256, so that 255 is the whole of it */
    byte person[3 * SPAN], under[3 * SPAN];
    size_t count = 3 * (size_t)pixels;
    for (int i = 0; i < pixels; i++)
        weight[3 * i] = weight[3 * i + 1] = weight[3 * i + 2] = (uint16_t)(alpha[i] + (alpha[i] >> 7));
    memcpy(person, frame, count);
    memcpy(under, behind, count);
    if (room) {
        byte old[3 * SPAN];
        memcpy(old, room, count);
        for (int i = 0; i < 3 * SPAN; i++) {
            int a = weight[i], share = 256 * person[i] - old[i] * (256 - a);
            share = share < 0 ? 0 : share > 255 * a ? 255 * a : share;
            under[i] = (byte)((share + under[i] * (256 - a) + 128) >> 8);
        }
    } else
        for (int i = 0; i < 3 * SPAN; i++)
            under[i] = (byte)((uint16_t)(person[i] * weight[i] + under[i] * (256 - weight[i]) + 128) >> 8);
    memcpy(out, under, count);
}

/* out of `frame` and what is behind, which may be `out` itself; all of so many pixels. */
static void blend(const byte *frame, const byte *alpha, const byte *room, const byte *behind, byte *out, int64_t pixels)
{
    int64_t i = 0;
    while (i + SPAN <= pixels) {
        int kind = kind_of(alpha + i);
        int64_t start = i;
        i = run_end(alpha, i + SPAN, pixels, kind);
        if (kind == PERSON)
            memcpy(out + 3 * start, frame + 3 * start, 3 * (size_t)(i - start));
        else if (kind == NOBODY && out != behind)
            memcpy(out + 3 * start, behind + 3 * start, 3 * (size_t)(i - start));
        else if (kind == MIXED)
            for (; start < i; start += SPAN)
                mix(frame + 3 * start, alpha + start, room ? room + 3 * start : NULL, behind + 3 * start, out + 3 * start, SPAN);
    }
    if (i < pixels)
        mix(frame + 3 * i, alpha + i, room ? room + 3 * i : NULL, behind + 3 * i, out + 3 * i, (int)(pixels - i));
}

/* The person of `frame` into `out`, which holds the background; all of them (pixels, 3), and room, which may be NULL, too. */
int edgeseg_blend(const byte *frame, const byte *alpha, const byte *room, byte *out, int64_t pixels)
{
    blend(frame, alpha, room, out, out, pixels);
    return 0;
}

/* The person of frame (height, width, 3) over `behind` (rows, columns, 3) enlarged, into out (height, width, 3). So many rows
   are `alike`: interpolated once, for the middle of them. */
int edgeseg_compose(const byte *frame, const byte *alpha, const byte *behind, int rows, int columns, int alike, byte *out, int height,
                    int width)
{
    enlarged e;
    size_t count = 3 * (size_t)width;
    byte *row = malloc(count);
    if (!row || enlarged_begin(&e, behind, rows, columns, 3, height / alike, width)) {
        free(row);
        return -1;
    }
    for (int y = 0; y < height; y++) {
        if (y % alike == 0) {
            enlarged_seek(&e, y / alike);
            const word *restrict values = enlarged_row(&e, 0, (int)count);
            for (size_t i = 0; i < count; i++)
                row[i] = (byte)((uint16_t)(values[i] + 64) >> 7);
        }
        blend(frame + y * count, alpha + (size_t)y * width, NULL, row, out + y * count, width);
    }
    enlarged_end(&e);
    free(row);
    return 0;
}
