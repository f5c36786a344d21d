/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Fuzzes the list of a share. A list that passes keeps every rule that path safety stands on, whatever else it says. */
#include "unit/share_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const kith_manifest *m, size_t i)
{
    static char path[KITH_NAME_ESCAPED_MAX(KITH_MANIFEST_PATH_MAX)];
    const kith_entry e = kith_manifest_entry(m, i);
    assert(e.name.len > 0 && e.name.len <= KITH_NAME_MAX && e.mode <= 0777 && e.size <= KITH_TREE_SIZE_MAX);
    assert(!memchr(e.name.p, '/', e.name.len) && !memchr(e.name.p, 0, e.name.len));
    assert(!kith_bytes_eq_str(e.name, ".") && !kith_bytes_eq_str(e.name, ".."));
    size_t parent = m->places[i].parent;
    assert((e.depth == 0) == (parent == KITH_ENTRY_TOP));
    if (e.depth > 0) {
        const kith_entry p = kith_manifest_entry(m, parent);
        assert(parent < i && p.type == KITH_ENTRY_DIR && p.depth + 1 == e.depth);
    }
    uint64_t offset, leaves = e.type == KITH_ENTRY_FILE ? kith_manifest_leaves_of(e.size) : 0;
    uint32_t first, end;
    kith_manifest_leaves(m, i, &first, &end);
    assert(first == m->places[i].leaf && end == first + leaves && end <= m->leaves);
    for (uint64_t k = 0; k<leaves; k += leaves> 1 ? leaves - 1 : 1)
        assert(kith_manifest_leaf(m, m->places[i].leaf + k, &offset) == i && offset == k * KITH_TREE_LEAF);
    assert((e.type == KITH_ENTRY_LINK) == (e.target.len > 0));
    if (e.type == KITH_ENTRY_LINK)
        assert(e.target.p[0] != '/' && !memchr(e.target.p, 0, e.target.len));
    for (int escaped = 0; escaped < 2; escaped++) {
        kith_wr w = kith_wr_of(kith_span_of(path, sizeof path));
        kith_manifest_put_path(m, i, escaped, &w);
        assert(!w.bad && w.len > 0 && path[0] != '/');
        for (size_t k = 0; escaped && k < w.len; k++)
            assert((uint8_t)path[k] >= 0x20 && path[k] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_heap heap = {0};
    uint64_t seed = 1;
    const kith_env env = {.alloc = {&heap, world_heap_fn}, .rand = {&seed, world_rand_fn}};
    if (size == 0)
        return 0;
    kith_manifest m;
    kith_manifest_fault fault = {0};
    kith_err e = kith_manifest_parse(&env, kith_bytes_of(data + 1, size - 1), data[0] & 1, &m, &fault);
    if (!e) {
        for (size_t i = 0; i < m.count; i++)
            check_entry(&m, i);
        assert(m.files + m.dirs + m.links == m.count && m.count > 0 && m.bytes <= KITH_MANIFEST_BYTES_MAX);
        kith_manifest_fini(&m, &env);
    } else {
        assert(fault.why);
    }
    assert(heap.live == 0);
    return 0;
}
