// Makes a queue database in which many messages wait, for `./dev bench queue`:
//   fill PATH SERVER COUNT
// They are escalations for the destination "ops", whose queue is suspended.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "queue/message_store.h"

namespace salve {
namespace {

constexpr int64_t kBatch = 1000;

queue::Message MessageOf(const std::string& server, const std::string& mid, int64_t number,
                         absl::Time now) {
  queue::Message message;
  message.set_mid(mid);
  message.set_origin_server(server);
  message.set_origin_mid(mid);
  message.set_type(queue::AF);
  message.set_created_ns(absl::ToUnixNanos(now));
  message.set_expires_ns(absl::ToUnixNanos(now + absl::Hours(48)));
  message.set_destination("ops");
  message.set_subject(absl::StrCat("[", server, "] Load/M", number, " is UNHEALTHY"));
  message.set_correlation(absl::StrCat("incident-", number / 2));
  queue::Letter& letter = *message.mutable_letter();
  letter.set_kind(queue::Letter::ESCALATION);
  letter.set_message(
      "The page does not answer. Look at the back end before anything is restarted.");
  letter.set_health_set("Load");
  letter.set_monitor(absl::StrCat("M", number));
  letter.set_state("UNHEALTHY");
  letter.set_error("connect to 127.0.0.1:80: connection refused");
  letter.set_time_ns(absl::ToUnixNanos(now));
  return message;
}

absl::Status Fill(const std::string& path, const std::string& server, int64_t count) {
  const absl::Time now = absl::Now();
  StoreOptions options;
  options.path = path;
  options.server = server;
  options.now = now;
  ASSIGN_OR_RETURN(const std::unique_ptr<MessageStore> store, MessageStore::Open(options));
  for (int64_t done = 0; done < count;) {
    Changes changes;
    changes.now = now;
    if (done == 0) changes.suspend_queues.emplace_back("remote/ops", true);
    for (const int64_t end = std::min(count, done + kBatch); done < end; ++done) {
      Changes::Put put;
      put.message = MessageOf(server, store->NewMid(now), done, now);
      put.queue = "remote/ops";
      put.due = now;
      changes.puts.push_back(std::move(put));
    }
    RETURN_IF_ERROR(store->Apply(changes).status());
  }
  return store->Close();
}

}  // namespace
}  // namespace salve

int main(int argc, char** argv) {
  int64_t count = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[3], &count) || count < 1) {
    std::fprintf(stderr, "fill PATH SERVER COUNT\n");
    return 2;
  }
  const absl::Status status = salve::Fill(argv[1], argv[2], count);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
