// A SharedText in one key of etcd.
#ifndef SALVE_THROTTLING_ETCD_SHARED_TEXT_H_
#define SALVE_THROTTLING_ETCD_SHARED_TEXT_H_

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "throttling/etcd_client.h"
#include "throttling/shared_text.h"

namespace salve {

// At most so long; etcd takes 1.5 MiB in a request.
inline constexpr size_t kSharedTextBytesMax = 1 << 20;

// Requires: both outlive it. Replace also answers kResourceExhausted: the text is too long.
std::unique_ptr<SharedText> NewEtcdSharedText(std::string key, EventLoop& loop, EtcdClient& etcd);

}  // namespace salve

#endif  // SALVE_THROTTLING_ETCD_SHARED_TEXT_H_
