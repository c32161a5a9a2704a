// EtcdClient: etcd's v3 API from the loop. Every call ends by its deadline; what can be repeated
// on another endpoint is. Lives on the loop's thread. The one over gRPC is in grpc_etcd_client.h,
// the fake for tests in fake_etcd.h.
#ifndef SALVE_THROTTLING_ETCD_CLIENT_H_
#define SALVE_THROTTLING_ETCD_CLIENT_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "throttling/etcd.pb.h"

namespace salve {

// An answered transaction.
struct EtcdTxn {
  etcdserverpb::TxnResponse response;
  // It was sent more than once: an earlier one may still arrive at etcd after this answer.
  bool repeated = false;
};

// A reading of etcd's wall clock: it showed `date` (cut to the second) between the two instants.
struct EtcdTime {
  absl::Time date;
  Instant sent;
  Instant received;
};

enum class EtcdWatchId : uint64_t { kNone = 0 };

class EtcdClient {
 public:
  virtual ~EtcdClient() = default;

  // Each calls `done` once, on the loop, never inside the call, at the latest a moment after
  // `deadline`. It is repeated, on another endpoint when one fails, while there is time: whatever
  // is sent must be harmless when it is done twice.
  // Errors of `done`: kUnavailable: no answer in time, it may or may not have been done;
  //   kPermissionDenied, kUnauthenticated; the others as etcd says them.
  virtual void Txn(etcdserverpb::TxnRequest request, Instant deadline,
                   absl::AnyInvocable<void(absl::StatusOr<EtcdTxn>)> done) = 0;
  // The lease's id.
  virtual void GrantLease(absl::Duration ttl, Instant deadline,
                          absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) = 0;
  // Errors: also kNotFound: it has lapsed.
  virtual void KeepAlive(int64_t lease, Instant deadline,
                         absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual void ReadTime(Instant deadline,
                        absl::AnyInvocable<void(absl::StatusOr<EtcdTime>)> done) = 0;

  // Calls `on_events` with each change of keys in [key, range_end) after `revision`, on the loop,
  // until `on_end` says that the watch is broken: events may be missing from then on (the
  // connection broke, or etcd has compacted them), so that one reads again and watches anew.
  virtual EtcdWatchId Watch(const std::string& key, const std::string& range_end, int64_t revision,
                            absl::AnyInvocable<void(const etcdserverpb::WatchResponse&)> on_events,
                            absl::AnyInvocable<void(absl::Status)> on_end) = 0;
  // Ends a watch without `on_end`. An ended one, or kNone, is ignored.
  virtual void Unwatch(EtcdWatchId id) = 0;
};

// The end of the range of all keys that begin with `prefix`. Requires: its last byte is not 0xff.
inline std::string PrefixEnd(std::string prefix) {
  ++prefix.back();
  return prefix;
}

}  // namespace salve

#endif  // SALVE_THROTTLING_ETCD_CLIENT_H_
