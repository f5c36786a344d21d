/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests for metrics: any bytes. What a request gets does not change with what comes behind it, and no page of another host gets any. */
#include "host/metrics_http.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned all = kith_metrics_http_judge(kith_bytes_of(data, size));
    size_t n = 0;
    while (n < size && kith_metrics_http_judge(kith_bytes_of(data, n)) == 0)
        n++;
    assert(kith_metrics_http_judge(kith_bytes_of(data, n)) == all);
    assert(all == 0 || (n >= 4 && n <= KITH_METRICS_HTTP_HEAD));
    assert(all != 0 || size < KITH_METRICS_HTTP_HEAD);
    return 0;
}
