/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Proofs of codes over connections. */
#include "host/share_proof.h"

/* False: the connection has no channel any more. */
static bool bond_of(kith_host *h, const kith_conn *conn, bool sharer, const uint8_t tag[KITH_PAKE_TAG_LEN],
                    kith_pake_bond *out)
{
    const kith_peer_id self = *kith_node_id(kith_host_node(h));
    kith_conn_facts f;
    kith_conn_facts_get(conn, &f);
    *out = (kith_pake_bond){.receiver = sharer ? f.peer : self, .sharer = sharer ? self : f.peer};
    memcpy(out->tag, tag, sizeof out->tag);
    if (f.channel)
        memcpy(out->channel, f.channel, sizeof out->channel);
    return f.channel != NULL;
}

kith_err kith_share_proof_ask(kith_host *h, const kith_conn *conn, const uint8_t tag[KITH_PAKE_TAG_LEN],
                              const uint8_t secret[KITH_PAKE_SECRET_LEN], kith_pake **out,
                              uint8_t first[KITH_PAKE_FIRST_LEN])
{
    kith_pake_bond bond;
    if (!bond_of(h, conn, false, tag, &bond))
        return KITH_ECLOSED;
    *out = kith_pake_ask(kith_host_env(), &bond, secret, first);
    return *out ? KITH_OK : KITH_ENOMEM;
}

kith_err kith_share_proof_take(kith_host *h, const kith_conn *conn, kith_share_grant *grant, kith_bytes data,
                               kith_pake **pake, uint8_t answer[KITH_PAKE_ANSWER_LEN], bool *proved)
{
    kith_pake_bond bond;
    *proved = false;
    if (!grant || grant->kind != KITH_GRANT_CODE)
        return KITH_EPROTO;
    if (!*pake)
        return bond_of(h, conn, true, grant->code_tag, &bond)
                   ? kith_pake_answer(kith_host_env(), &bond, grant->secret, &grant->guard, data, pake,
                                      answer)
                   : KITH_ECLOSED;
    kith_err err = kith_pake_check(*pake, data);
    kith_pake_free(*pake);
    *pake = NULL;
    *proved = !err;
    return err;
}

kith_share_code kith_share_proof_refusal(kith_err err)
{
    return err == KITH_ELIMIT   ? KITH_SHARE_BUSY
           : err == KITH_ENOMEM ? KITH_SHARE_INTERNAL
                                : KITH_SHARE_REFUSED;
}
