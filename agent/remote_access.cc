#include "agent/remote_access.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/api_server.h"
#include "agent/remote_certificates.h"
#include "base/clock.h"
#include "base/worker.h"
#include "config/listen_address.h"

namespace salve {
namespace {

constexpr int kRemoteEvent = 3;   // As a reload: what is served has changed.
constexpr int kTroubleEvent = 8;  // Refused: the old goes on, or nothing.

// What has to begin anew when it changes.
bool IsSamePlace(const config::Remote& a, const config::Remote& b) {
  return a.listen() == b.listen() && a.certificate_file() == b.certificate_file() &&
         a.key_file() == b.key_file() && a.client_ca_file() == b.client_ca_file();
}

}  // namespace

// One place that is served or is to be. Its door is for any thread, the rest for the worker.
struct RemoteAccess::Served {
  explicit Served(const config::Remote& remote)
      : address(ParseListenAddress(remote.listen())),
        certificates({remote.certificate_file(), remote.key_file(), remote.client_ca_file()}),
        door(remote) {}

  const absl::StatusOr<ListenAddress> address;
  RemoteCertificates certificates;
  RemoteDoor door;
  std::unique_ptr<ApiServer> server;
};

// What a look brought.
struct RemoteAccess::Report {
  absl::Status status;
  bool has_begun = false;  // To serve.
  bool has_renewed = false;
  bool is_serving = false;
  std::string valid_until;
};

RemoteAccess::RemoteAccess(ApiParts parts, Say say)
    : parts_(std::move(parts)), say_(std::move(say)) {}

RemoteAccess::~RemoteAccess() {
  *alive_ = false;
  parts_.loop.CancelTimer(timer_);
  Drop();
  worker_.reset();  // Waits for what it does.
}

void RemoteAccess::Drop() {
  // Its server's end takes up to a second: not on the loop.
  if (served_ != nullptr) worker_->Post([served = std::move(served_)] { served->server.reset(); });
  served_ = nullptr;
  serving_ = false;
  trouble_.clear();
}

void RemoteAccess::Configure(const config::Remote& remote) {
  const bool is_same = IsSamePlace(remote, remote_);
  remote_ = remote;
  if (served_ != nullptr && is_same) {
    served_->door.SetRules(remote);
    return Look();
  }
  Drop();
  if (remote.listen().empty()) {
    parts_.loop.CancelTimer(timer_);
    return;
  }
  if (worker_ == nullptr) worker_ = std::make_unique<ThreadWorker>();
  served_ = std::make_shared<Served>(remote);
  looking_ = false;
  Look();
}

void RemoteAccess::Look() {
  parts_.loop.CancelTimer(timer_);
  timer_ = parts_.loop.CallAfter(kLookEvery, [this] { Look(); });
  if (served_ == nullptr || std::exchange(looking_, true)) return;
  worker_->Post([this, served = served_, parts = parts_, alive = alive_,
                 now = parts_.loop.clock().WallNow()] {
    Report report;
    const absl::StatusOr<bool> refreshed = served->certificates.Refresh(now);
    report.status = refreshed.status();
    report.has_renewed = refreshed.ok() && *refreshed && served->server != nullptr;
    if (served->certificates.has_set() && served->server == nullptr) {
      auto server =
          ApiServer::StartRemote(*served->address, served->certificates, served->door, parts);
      report.has_begun = server.ok();
      if (server.ok()) {
        served->server = *std::move(server);
      } else {
        report.status = server.status();
      }
    }
    report.is_serving = served->server != nullptr;
    if (const auto until = served->certificates.valid_until()) {
      report.valid_until = absl::FormatTime("%Y-%m-%d", *until, absl::UTCTimeZone());
    }
    parts.loop.Post([this, alive, served, report] {
      if (*alive && served == served_) Take(report);
    });
  });
}

void RemoteAccess::Take(const Report& report) {
  looking_ = false;
  serving_ = report.is_serving;
  if (report.has_begun) {
    say_(kRemoteEvent, v1::Information,
         absl::StrCat("remote access at ", remote_.listen(), "; the certificate is valid until ",
                      report.valid_until));
  }
  if (report.has_renewed) {
    say_(kRemoteEvent, v1::Information,
         absl::StrCat("remote access: the certificates were renewed; valid until ",
                      report.valid_until));
  }
  std::string trouble;
  if (!report.status.ok()) {
    trouble = absl::StrCat(
        "remote access: ", report.status.message(),
        report.is_serving ? "; the old certificates go on" : "; nobody is served until it works");
  }
  if (trouble != trouble_ && !trouble.empty()) say_(kTroubleEvent, v1::Error, trouble);
  trouble_ = std::move(trouble);
}

}  // namespace salve
