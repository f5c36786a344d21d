/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests to a KME: libcurl's sockets and timer on the loop, and what its failures mean. */
#include "host/qkd.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "crypto/crypto.h"
#include "host/curl.h"

#define HEADERS_MAX (16u * 1024u) /* bytes of a reply's headers */
#define CONNECTIONS_MAX 4L        /* to the KME at a time */

typedef enum call_kind { CALL_ENC, CALL_DEC, CALL_STATUS } call_kind;

typedef struct call {
    kith_link link;
    kith_qkd *q;
    call_kind kind;
    CURL *easy;
    char id[KITH_QKD_ID_LEN + 1]; /* CALL_DEC */
    char body[128];
    char error[CURL_ERROR_SIZE];
    uint8_t *reply; /* KITH_QKD_REPLY_MAX; it may hold a key */
    size_t reply_len, headers_len;
    bool too_long;
    union {
        kith_qkd_key_fn key;
        kith_qkd_status_fn status;
    } fn;
    void *ctx;
} call;

typedef struct watch {
    uv_poll_t poll;
    kith_qkd *q;
    curl_socket_t fd;
} watch;

struct kith_qkd {
    const kith_curl *curl;
    uv_loop_t *loop;
    uv_timer_t timer;
    CURLM *multi;
    struct curl_slist *headers;
    kith_list calls;
    size_t call_count;
    size_t handles; /* uv handles that are not closed yet */
    bool closing;
    char *url, *cert, *key, *ca;
    unsigned timeout_ms;
};

/* ---- libcurl on the loop ---- */

static void check_done(kith_qkd *q);

static void free_if_quiet(kith_qkd *q)
{
    if (!q->closing || q->handles > 0)
        return;
    if (q->curl)
        q->curl->slist_free_all(q->headers);
    free(q->url);
    free(q->cert);
    free(q->key);
    free(q->ca);
    free(q);
}

static void on_watch_closed(uv_handle_t *h)
{
    watch *w = h->data;
    kith_qkd *q = w->q;
    free(w);
    q->handles--;
    free_if_quiet(q);
}

static void on_timer_closed(uv_handle_t *h)
{
    kith_qkd *q = h->data;
    q->handles--;
    free_if_quiet(q);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    watch *w = p->data;
    kith_qkd *q = w->q; /* w may be closed by what follows */
    int running = 0;
    /* A broken socket may still hold what explains it, such as a TLS alert: libcurl is to read it. */
    int flags = (status < 0 || (events & UV_READABLE) ? CURL_CSELECT_IN : 0) |
                (status < 0 || (events & UV_WRITABLE) ? CURL_CSELECT_OUT : 0);
    q->curl->multi_socket_action(q->multi, w->fd, flags, &running);
    check_done(q);
}

static void on_timer(uv_timer_t *t)
{
    kith_qkd *q = t->data;
    int running = 0;
    q->curl->multi_socket_action(q->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    check_done(q);
}

/* CURLMOPT_SOCKETFUNCTION: what libcurl wants to know of a socket. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    (void)easy;
    kith_qkd *q = ctx;
    watch *w = known;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            q->curl->multi_assign(q->multi, fd, NULL);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || uv_poll_init_socket(q->loop, &w->poll, fd)) {
            free(w);
            return 0; /* the request runs into its time-out */
        }
        w->q = q;
        w->fd = fd;
        w->poll.data = w;
        q->handles++;
        q->curl->multi_assign(q->multi, fd, w);
    }
    uv_poll_start(&w->poll,
                  ((what & CURL_POLL_IN) ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

/* CURLMOPT_TIMERFUNCTION. libcurl must not be called from here: 0 means in the next turn. */
static int on_curl_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    kith_qkd *q = ctx;
    if (ms < 0)
        uv_timer_stop(&q->timer);
    else
        uv_timer_start(&q->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

/* ---- replies ---- */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    call *c = ctx;
    size_t len = size * count;
    if (len > KITH_QKD_REPLY_MAX - c->reply_len) {
        c->too_long = true;
        return 0; /* ends the request */
    }
    memcpy(c->reply + c->reply_len, data, len);
    c->reply_len += len;
    return len;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    call *c = ctx;
    size_t len = size * count;
    if (len > HEADERS_MAX - c->headers_len) {
        c->too_long = true;
        return 0;
    }
    c->headers_len += len;
    return len;
}

static kith_err explain(char why[KITH_QKD_WHY_MAX], kith_err e, const char *what, const char *detail)
{
    snprintf(why, KITH_QKD_WHY_MAX, "%s%s%s", what, *detail ? ": " : "", detail);
    return e;
}

/* Why there is no reply at all. */
static kith_err transport_error(const call *c, CURLcode code, char why[KITH_QKD_WHY_MAX])
{
    const char *detail = c->error[0] ? c->error : c->q->curl->easy_strerror(code);
    if (c->too_long)
        return explain(why, KITH_EPROTO, "the KME's reply is too long", "");
    switch ((int)code) { /* the header's enum has a hundred values and grows */
    case CURLE_OPERATION_TIMEDOUT:
        snprintf(why, KITH_QKD_WHY_MAX, "the KME did not answer within %u ms", c->q->timeout_ms);
        return KITH_ETIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return explain(why, KITH_EAUTH, "the KME's certificate is refused", detail);
    case CURLE_SSL_CERTPROBLEM:
        return explain(why, KITH_EAUTH, "our certificate or key for the KME cannot be used", detail);
    case CURLE_SSL_CACERT_BADFILE:
        return explain(why, KITH_EAUTH, "the CA file for the KME cannot be used", detail);
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return explain(why, KITH_EIO, "the KME cannot be reached", detail);
    case CURLE_OUT_OF_MEMORY:
        return explain(why, KITH_ENOMEM, "no memory for the KME", "");
    default:
        /* With TLS 1.3 a server refuses a client's certificate by an alert after the handshake. */
        if (strstr(detail, "alert"))
            return explain(why, KITH_EAUTH, "the KME refuses the TLS connection, or our certificate", detail);
        if (c->headers_len == 0)
            return explain(why, KITH_EIO, "the KME ends the connection without an answer", detail);
        return explain(why, KITH_EIO, "the connection to the KME broke", detail);
    }
}

/* What a status code other than 200 means: clause 6.5 and table 1. */
static kith_err http_error(const call *c, long status, char why[KITH_QKD_WHY_MAX])
{
    static const char not_found[] = "one or more keys specified are not found on KME";
    char says[KITH_QKD_TEXT_MAX], what[64];
    kith_qkd_parse_error(kith_bytes_of(c->reply, c->reply_len), says);
    if (status == 400 && strcmp(says, not_found) == 0)
        return explain(why, KITH_ENOTFOUND, "the KME has no such key, or no more", "");
    if (status == 400)
        return explain(why, KITH_EREFUSED, "the KME refuses the request (400)", says);
    if (status == 401)
        return explain(why, KITH_EAUTH, "the KME does not let our SAE have this (401)", says);
    if (status == 503)
        return explain(why, KITH_EIO, "the KME is failing (503)", says);
    snprintf(what, sizeof what, "the KME answered with HTTP status %ld", status);
    return explain(why, KITH_EPROTO, what, says);
}

/* 0: the reply is one that can be parsed. */
static kith_err reply_error(const call *c, CURLcode code, char why[KITH_QKD_WHY_MAX])
{
    long status = 0;
    if (code != CURLE_OK)
        return transport_error(c, code, why);
    c->q->curl->easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? KITH_OK : http_error(c, status, why);
}

static void call_free(call *c)
{
    kith_qkd *q = c->q;
    kith_link_remove(&c->link);
    q->call_count--;
    q->curl->multi_remove_handle(q->multi, c->easy);
    q->curl->easy_cleanup(c->easy);
    kith_wipe(c->reply, KITH_QKD_REPLY_MAX);
    free(c->reply);
    free(c);
}

/* Tells the caller, who may ask for more or close the client. */
static void answer(call *c, kith_err e, const char *failed)
{
    kith_qkd_key key = {0};
    kith_qkd_status status = {0};
    const char *why = failed;
    kith_bytes body = kith_bytes_of(c->reply, c->reply_len);
    if (!e && c->kind == CALL_STATUS)
        e = kith_qkd_parse_status(body, &status, &why);
    else if (!e)
        e = kith_qkd_parse_key(body, c->kind == CALL_DEC ? c->id : NULL, &key, &why);
    call was = *c;
    call_free(c);
    if (was.kind == CALL_STATUS)
        was.fn.status(was.ctx, e, e ? NULL : &status, why);
    else
        was.fn.key(was.ctx, e, e ? NULL : &key, why);
    kith_wipe(&key, sizeof key);
}

static void check_done(kith_qkd *q)
{
    CURLMsg *m;
    int left;
    while (!q->closing && (m = q->curl->multi_info_read(q->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result; /* m goes with the handle */
        char why[KITH_QKD_WHY_MAX] = "";
        KITH_EACH (&q->calls, k) {
            call *c = KITH_OF(k, call, link);
            if (c->easy != m->easy_handle)
                continue;
            answer(c, reply_error(c, code, why), why);
            break;
        }
    }
}

/* ---- requests ---- */

/* Appends an id as one segment of a path: RFC 3986, 2.3 and 3.3. */
static void put_segment(kith_wr *w, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const char *p = text; *p; p++) {
        uint8_t c = (uint8_t)*p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c) != NULL;
        if (plain) {
            kith_put_u8(w, c);
        } else {
            kith_put_u8(w, '%');
            kith_put_u8(w, (uint8_t)hex[c >> 4]);
            kith_put_u8(w, (uint8_t)hex[c & 15]);
        }
    }
}

static bool set_options(kith_qkd *q, call *c, const char *url)
{
    bool ok = true;
#define SET(option, value) ok = q->curl->easy_setopt(c->easy, CURLOPT_##option, value) == CURLE_OK && ok
    SET(URL, url);
    SET(PROTOCOLS_STR, "https");
    SET(FOLLOWLOCATION, 0L);
    SET(PROXY, ""); /* also none from the environment */
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(CAINFO, q->ca);
    SET(CAPATH, (char *)NULL); /* not the system's authorities besides */
    SET(SSLCERT, q->cert);
    SET(SSLKEY, q->key);
    SET(KEYPASSWD, ""); /* never ask at the terminal */
    SET(TIMEOUT_MS, (long)q->timeout_ms);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L); /* a name server that is silent must not hold up the loop when the request ends */
    SET(HTTPHEADER, q->headers);
    SET(USERAGENT, "kith");
    SET(ERRORBUFFER, c->error);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, c);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, c);
    if (c->kind != CALL_STATUS) {
        SET(POST, 1L);
        SET(POSTFIELDSIZE, (long)strlen(c->body));
        SET(POSTFIELDS, c->body);
    }
#undef SET
    return ok;
}

/* Takes over `fn` and what `like` says. */
static kith_err start(kith_qkd *q, const call *like, const char *sae)
{
    static const char *const verbs[] = {
        [CALL_ENC] = "enc_keys", [CALL_DEC] = "dec_keys", [CALL_STATUS] = "status"};
    char url[2048];
    kith_wr w = kith_wr_of(kith_span_of(url, sizeof url));
    kith_put_str(&w, q->url);
    kith_put_str(&w, "/api/v1/keys/");
    put_segment(&w, sae);
    kith_put_str(&w, "/");
    kith_put_str(&w, verbs[like->kind]);
    kith_put_u8(&w, 0);
    assert(!w.bad); /* the url was measured, and an id is at most 3 * 128 long */
    if (q->closing)
        return KITH_ESTATE;
    if (q->call_count == KITH_QKD_CALLS_MAX)
        return KITH_ELIMIT;
    call *c = malloc(sizeof *c);
    if (!c)
        return KITH_ENOMEM;
    *c = *like;
    c->q = q;
    c->reply = malloc(KITH_QKD_REPLY_MAX);
    c->easy = q->curl->easy_init();
    if (!c->reply || !c->easy || !set_options(q, c, url) || q->curl->multi_add_handle(q->multi, c->easy)) {
        if (c->easy)
            q->curl->easy_cleanup(c->easy);
        free(c->reply);
        free(c);
        return KITH_ENOMEM;
    }
    kith_list_push(&q->calls, &c->link);
    q->call_count++;
    return KITH_OK;
}

kith_err kith_qkd_enc_key(kith_qkd *q, const char *slave_sae, kith_qkd_key_fn fn, void *ctx)
{
    return start(q, &(call){.kind = CALL_ENC, .body = KITH_QKD_ENC_BODY, .fn.key = fn, .ctx = ctx},
                 slave_sae);
}

kith_err kith_qkd_dec_key(kith_qkd *q, const char *master_sae, const char *id, kith_qkd_key_fn fn, void *ctx)
{
    call c = {.kind = CALL_DEC, .fn.key = fn, .ctx = ctx};
    assert(kith_qkd_is_id(kith_bytes_of(id, KITH_QKD_ID_LEN)));
    memcpy(c.id, id, KITH_QKD_ID_LEN);
    snprintf(c.body, sizeof c.body, KITH_QKD_DEC_BODY, c.id);
    return start(q, &c, master_sae);
}

kith_err kith_qkd_get_status(kith_qkd *q, const char *slave_sae, kith_qkd_status_fn fn, void *ctx)
{
    return start(q, &(call){.kind = CALL_STATUS, .fn.status = fn, .ctx = ctx}, slave_sae);
}

bool kith_qkd_sae_ok(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++) {
        if (n == KITH_QKD_NAME_MAX || text[n] <= 0x20 || text[n] > 0x7e)
            return false;
    }
    return n > 0;
}

/* ---- life ---- */

/* What is wrong with a file that libcurl would only say at the first request, or not at all. */
static bool file_ok(const char *what, const char *path, bool secret, char why[KITH_QKD_WHY_MAX])
{
    struct stat st;
    FILE *f = path && *path ? fopen(path, "re") : NULL;
    bool ok = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
    if (f)
        fclose(f);
    if (!path || !*path)
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.%s is not set", what);
    else if (!ok)
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.%s: %.200s cannot be read", what, path);
    else if (secret && (st.st_mode & 027))
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.%s: others can read or change %.200s; run 'chmod 600' on it",
                 what, path);
    else
        return true;
    return false;
}

static bool url_ok(const char *url, char why[KITH_QKD_WHY_MAX])
{
    static const char https[] = "https://";
    size_t len = url ? strlen(url) : 0;
    if (len == 0)
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.url is not set");
    else if (strncmp(url, https, sizeof https - 1) != 0 || len == sizeof https - 1 || len > 1024 ||
             strpbrk(url, " ?#@"))
        snprintf(why, KITH_QKD_WHY_MAX, "qkd.url: '%.200s' is not an address like https://kme.example:8443",
                 url);
    else
        return true;
    return false;
}

/* The address without a slash at its end. */
static char *copy_url(const char *url)
{
    char *copy = strdup(url);
    for (size_t n = copy ? strlen(copy) : 0; n > 0 && copy[n - 1] == '/';)
        copy[--n] = '\0';
    return copy;
}

static bool set_multi(kith_qkd *q)
{
    const kith_curl *curl = q->curl;
    q->multi = curl->multi_init();
    q->headers = curl->slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = q->headers ? curl->slist_append(q->headers, "Accept: application/json") : NULL;
    return q->multi && more && !curl->multi_setopt(q->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
           !curl->multi_setopt(q->multi, CURLMOPT_SOCKETDATA, q) &&
           !curl->multi_setopt(q->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) &&
           !curl->multi_setopt(q->multi, CURLMOPT_TIMERDATA, q) &&
           !curl->multi_setopt(q->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
}

kith_qkd *kith_qkd_new(uv_loop_t *loop, const kith_qkd_config *cfg, char why[KITH_QKD_WHY_MAX])
{
    const char *missing;
    if (!url_ok(cfg->url, why) || !file_ok("cert", cfg->cert, false, why) ||
        !file_ok("key", cfg->key, true, why) || !file_ok("ca", cfg->ca, false, why))
        return NULL;
    const kith_curl *curl = kith_curl_load(&missing);
    if (!curl) {
        snprintf(why, KITH_QKD_WHY_MAX, "%s", missing);
        return NULL;
    }
    snprintf(why, KITH_QKD_WHY_MAX, "no memory");
    kith_qkd *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->curl = curl;
    q->loop = loop;
    kith_list_init(&q->calls);
    uv_timer_init(loop, &q->timer);
    q->timer.data = q;
    q->handles = 1;
    q->timeout_ms = cfg->timeout_ms;
    q->url = copy_url(cfg->url);
    q->cert = strdup(cfg->cert);
    q->key = strdup(cfg->key);
    q->ca = strdup(cfg->ca);
    if (!q->url || !q->cert || !q->key || !q->ca || !set_multi(q)) {
        kith_qkd_close(q);
        return NULL;
    }
    return q;
}

void kith_qkd_close(kith_qkd *q)
{
    if (!q || q->closing)
        return;
    q->closing = true;
    for (kith_link *k; (k = kith_list_first(&q->calls));)
        answer(KITH_OF(k, call, link), KITH_ECLOSED, "the node is stopping");
    if (q->multi)
        q->curl->multi_cleanup(q->multi);
    uv_close((uv_handle_t *)&q->timer, on_timer_closed);
}
