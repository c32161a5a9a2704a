#include "config/queue.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/names.h"
#include "config/rules.h"

namespace salve {
namespace {

constexpr int kRetriesMax = 20;
constexpr int kAcceptorsMax = 100;
constexpr size_t kHostBytesMax = 253;

struct RetryStep {
  int64_t times;
  absl::Duration every;
};
constexpr RetryStep kRetries[] = {{4, absl::Minutes(1)}, {6, absl::Minutes(5)}};
constexpr absl::Duration kRetryAtLast = absl::Minutes(10);

bool IsHost(absl::string_view host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains(".-_:%", c);
         });
}

void CheckHostPort(const std::string& path, const std::string& text, ItemFaults& faults) {
  if (text.empty()) return faults.Add(path, "is needed");
  if (const auto parsed = ParseHostPort(text); !parsed.ok()) {
    faults.Add(path, parsed.status().message());
  }
}

void CheckFile(const std::string& path, const std::string& file, const std::string& from_remote,
               absl::string_view name_in_remote, ItemFaults& faults) {
  if (file.empty() && from_remote.empty()) {
    faults.Add(path, absl::StrCat("is needed: there is no `remote` whose ", name_in_remote,
                                  " could be taken"));
  } else if (!file.empty() && !absl::StartsWith(file, "/")) {
    faults.Add(path, absl::StrCat(Quoted(file), " is no path from / on"));
  }
}

// All but the address.
void CheckFiles(const std::string& path, const config::Forward& forward, const config::Agent& agent,
                ItemFaults& faults) {
  const config::Remote& remote = agent.remote();
  if (forward.certificate_file().empty() != forward.key_file().empty()) {
    faults.Add(path, "certificate_file and key_file are needed both or not at all");
  } else {
    CheckFile(path + ".certificate_file", forward.certificate_file(), remote.certificate_file(),
              "certificate_file", faults);
    CheckFile(path + ".key_file", forward.key_file(), remote.key_file(), "key_file", faults);
  }
  CheckFile(path + ".ca_file", forward.ca_file(), remote.client_ca_file(), "client_ca_file",
            faults);
  if (!forward.server_name().empty() && !IsHost(forward.server_name())) {
    faults.Add(path + ".server_name",
               absl::StrCat(Quoted(forward.server_name()), " is no name of a server"));
  }
}

void CheckAcceptors(const config::Queue& queue, ItemFaults& faults) {
  if (queue.acceptor_size() > kAcceptorsMax) {
    faults.Add("queue.acceptor", absl::StrCat("there are more than ", kAcceptorsMax));
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < queue.acceptor_size(); ++i) {
    const config::QueueAcceptor& acceptor = queue.acceptor(i);
    const std::string path = absl::StrCat("queue.acceptor[", i, "]");
    if (acceptor.server().empty()) {
      faults.Add(path + ".server", "is needed");
    } else if (!IsValidName(acceptor.server())) {
      faults.Add(path + ".server",
                 absl::StrCat(Quoted(acceptor.server()), " is no name of a server"));
    } else if (!seen.insert(absl::AsciiStrToLower(acceptor.server())).second) {
      faults.Add(path + ".server", absl::StrCat(Quoted(acceptor.server()), " is there twice"));
    }
    CheckHostPort(path + ".address", acceptor.address(), faults);
  }
}

// A mode that nobody could take part in would look like a hand-over and be none.
void CheckMode(const config::Agent& agent, ItemFaults& faults) {
  const config::Queue& queue = agent.queue();
  const std::string path = "queue.queue_processing";
  if (queue.queue_processing() == config::Queue::LOCALLY) return;
  const std::string& mode = config::Queue::Processing_Name(queue.queue_processing());
  if (agent.group().empty() && queue.acceptor().empty()) {
    faults.Add(path, absl::StrCat(mode,
                                  " needs other servers: write a group with an etcd coordinator, "
                                  "or a list of queue.acceptor"));
  }
  if (queue.queue_processing() == config::Queue::LOCALLY_FOR_OTHERS && !agent.has_remote()) {
    faults.Add(path, absl::StrCat(mode, " needs `remote`: the others hand over through it"));
  }
  if (queue.queue_processing() == config::Queue::REMOTELY) {
    CheckFiles("queue.peer", queue.peer(), agent, faults);
  }
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      Quoted(std::string(text)), " is no address: write HOST:PORT, or [ADDRESS]:PORT of IPv6"));
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return wrong;
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (in_brackets) host = host.substr(1, host.size() - 2);
  int number = 0;
  if (!IsHost(host) || in_brackets != absl::StrContains(host, ':') || port.empty() ||
      !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
    return wrong;
  }
  return HostPort{std::string(host), static_cast<uint16_t>(number)};
}

void CheckForward(const std::string& path, const config::Forward& forward,
                  const config::Agent& agent, ItemFaults& faults) {
  CheckHostPort(path + ".address", forward.address(), faults);
  CheckFiles(path, forward, agent, faults);
}

void CheckQueue(const config::Agent& agent, ItemFaults& faults) {
  const config::Queue& queue = agent.queue();
  if (queue.retry_size() > kRetriesMax) {
    faults.Add("queue.retry", absl::StrCat("there are more than ", kRetriesMax));
  }
  CheckAcceptors(queue, faults);
  if (!queue.accept_address().empty()) {
    CheckHostPort("queue.accept_address", queue.accept_address(), faults);
  }
  if (!queue.peer().address().empty()) {
    faults.Add("queue.peer.address", "is of no use: the acceptors have addresses of their own");
  }
  if (queue.has_peer() && queue.queue_processing() != config::Queue::REMOTELY) {
    CheckFiles("queue.peer", queue.peer(), agent, faults);
  }
  CheckMode(agent, faults);
}

config::Forward WithFilesOf(const config::Remote& remote, config::Forward forward) {
  if (forward.ca_file().empty()) forward.set_ca_file(remote.client_ca_file());
  if (forward.certificate_file().empty()) {
    forward.set_certificate_file(remote.certificate_file());
    forward.set_key_file(remote.key_file());
  }
  if (forward.server_name().empty()) {
    if (const auto address = ParseHostPort(forward.address()); address.ok()) {
      forward.set_server_name(address->host);
    }
  }
  return forward;
}

absl::Duration RetryWait(const config::Queue& queue, int attempts) {
  int64_t left = std::max(attempts, 1);
  if (queue.retry().empty()) {
    for (const RetryStep& step : kRetries) {
      if (left <= step.times) return step.every;
      left -= step.times;
    }
    return kRetryAtLast;
  }
  for (const config::Retry& retry : queue.retry()) {
    if (left <= NumberOf(retry, "times")) return DurationOf(retry, "every");
    left -= NumberOf(retry, "times");
  }
  return DurationOf(*queue.retry().rbegin(), "every");
}

int DeliveriesMax(const config::Queue& queue) {
  return static_cast<int>(NumberOf(queue, "deliveries_max"));
}

}  // namespace salve
