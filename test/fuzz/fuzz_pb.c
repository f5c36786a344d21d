/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Protobuf fields: what is read, written again, is read as the same. */
#include <assert.h>
#include <stdlib.h>

#include "wire/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(kith_wr *w, const kith_pb_field *f)
{
    if (f->wire == 0) {
        kith_pb_put_num(w, f->tag, f->num);
    } else if (f->wire == 1) {
        kith_pb_put_fixed64(w, f->tag, f->num);
    } else if (f->wire == 2) {
        kith_pb_put_bytes(w, f->tag, f->data);
    } else { /* fixed32 is never written by kith */
        assert(f->wire == 5 && f->num <= UINT32_MAX);
        kith_pb_put_fixed64(w, f->tag, f->num);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kith_rd r = kith_rd_of(kith_bytes_of(data, size));
    kith_pb_field f, g;
    size_t cap = 3 * size + 16; /* fixed32 grows from 5 to 9 bytes at least */
    uint8_t *out = malloc(cap);
    assert(out);
    kith_wr w = kith_wr_of(kith_span_of(out, cap));
    while (kith_pb_next(&r, &f)) {
        assert(f.tag >= 1 && f.tag < 1u << 29);
        assert(f.data.len == 0 || (f.data.p > data && f.data.p + f.data.len <= data + size));
        size_t before = w.len;
        put(&w, &f);
        assert(!w.bad);
        if (f.wire == 0)
            assert(w.len - before == kith_pb_num_len(f.tag, f.num));
        if (f.wire == 2)
            assert(w.len - before == kith_pb_bytes_len(f.tag, f.data.len));
        kith_rd again = kith_rd_of(kith_bytes_of(out + before, w.len - before));
        assert(kith_pb_next(&again, &g) && again.in.len == 0);
        assert(g.tag == f.tag && g.num == f.num && kith_bytes_eq(g.data, f.data));
    }
    assert(r.in.len == 0);
    assert(!kith_pb_next(&r, &f));
    free(out);
    return 0;
}
