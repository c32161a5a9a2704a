#include "queue/peer_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "api/queue.grpc.pb.h"
#include "base/worker.h"
#include "config/queue.h"
#include "probes/numeric_address.h"

namespace salve {
namespace {

constexpr absl::Duration kTimeLeast = absl::Milliseconds(1);
// gRPC's own word about the deadline comes first.
constexpr absl::Duration kGrace = absl::Milliseconds(100);
constexpr int kAnswerBytesMax = 64 << 10;

// The connection to one peer. Belongs to the thread that works with gRPC.
struct Link {
  Peer peer;
  std::string target;  // What `channel` leads to.
  std::string state;   // Of the files that were looked at last.
  std::optional<CertificateSet> certificates;
  std::shared_ptr<grpc::Channel> channel;
};

// One call on one connection. Holds itself while gRPC has it.
class Attempt {
 public:
  virtual ~Attempt() = default;
  virtual void Begin(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue& queue,
                     std::shared_ptr<Attempt> self) = 0;
  std::shared_ptr<Attempt> LetGo() { return std::move(self_); }

  PeerClient::Id id = PeerClient::Id::kNone;  // Of its call.
  std::string target;                         // As in TargetsOf.
  grpc::ClientContext context;
  grpc::Status status;
  std::shared_ptr<grpc::Channel> channel;
  absl::Status not_begun;  // Why there was no call.

 protected:
  void* Hold(std::shared_ptr<Attempt> self) {
    self_ = std::move(self);
    return this;
  }

 private:
  std::shared_ptr<Attempt> self_;
};

template <typename Response>
using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>>;
template <typename Request, typename Response>
using Method = Reader<Response> (v1::QueueService::Stub::*)(grpc::ClientContext*, const Request&,
                                                            grpc::CompletionQueue*);

template <typename Request, typename Response>
class AttemptOf final : public Attempt {
 public:
  AttemptOf(Method<Request, Response> method, std::shared_ptr<const Request> request)
      : method_(method), request_(std::move(request)) {}

  void Begin(std::shared_ptr<grpc::Channel> to, grpc::CompletionQueue& queue,
             std::shared_ptr<Attempt> self) override {
    channel = std::move(to);
    v1::QueueService::Stub stub(channel);
    reader_ = (stub.*method_)(&context, *request_, &queue);
    reader_->StartCall();
    reader_->Finish(&response, &status, Hold(std::move(self)));
  }

  Response response;

 private:
  const Method<Request, Response> method_;
  const std::shared_ptr<const Request> request_;
  Reader<Response> reader_;
};

// What somebody asked for: at most one attempt for each kind of address that the peer has.
class Call {
 public:
  virtual ~Call() = default;
  virtual std::shared_ptr<Attempt> NewAttempt() = 0;
  virtual void Answer(Attempt& attempt) = 0;
  virtual void Fail(const absl::Status& status) = 0;

  PeerClient::Id id = PeerClient::Id::kNone;
  Peer peer;
  HostPort address;
  std::string entry;  // Key of its Entry; empty before it has one.
  Instant deadline;
  TimerId timer = TimerId::kNone;
  ResolveId resolving = ResolveId::kNone;
  std::vector<std::string> targets;  // Not tried yet, the last one first.
  std::shared_ptr<Attempt> attempt;
};

template <typename Request, typename Response>
class CallOf final : public Call {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Response>)>;
  CallOf(Method<Request, Response> method, Request request, Done done)
      : method_(method),
        request_(std::make_shared<const Request>(std::move(request))),
        done_(std::move(done)) {}

  std::shared_ptr<Attempt> NewAttempt() override {
    return std::make_shared<AttemptOf<Request, Response>>(method_, request_);
  }
  void Answer(Attempt& attempt) override {
    done_(std::move(static_cast<AttemptOf<Request, Response>&>(attempt).response));
  }
  void Fail(const absl::Status& status) override { done_(status); }

 private:
  const Method<Request, Response> method_;
  const std::shared_ptr<const Request> request_;
  Done done_;
};

// What the loop knows of a peer.
struct Entry {
  std::shared_ptr<Link> link;
  int calls = 0;
  Instant used;
  std::string family;  // "ipv6:" or "ipv4:", which served last.
};

std::string KeyOf(const Peer& peer) {
  return absl::StrJoin(
      {peer.address, peer.server_name, peer.files.certificate, peer.files.key, peer.files.ca},
      "\n");
}

std::string NameOf(const Peer& peer, const HostPort& address) {
  return NameInCertificates(peer.server_name.empty() ? address.host : peer.server_name);
}

// One target for IPv4 and one for IPv6, since gRPC takes no mixture: the first address's kind
// first, but for `family`, which served last.
std::vector<std::string> TargetsOf(const std::vector<std::string>& addresses, uint16_t port,
                                   const std::string& family) {
  std::vector<std::pair<std::string, std::vector<std::string>>> kinds;
  for (const std::string& address : addresses) {
    const bool is_ipv6 = absl::StrContains(address, ':');
    const std::string kind = is_ipv6 ? "ipv6:" : "ipv4:";
    auto found = std::find_if(kinds.begin(), kinds.end(),
                              [&](const auto& known) { return known.first == kind; });
    if (found == kinds.end()) found = kinds.insert(kinds.end(), {kind, {}});
    found->second.push_back(
        is_ipv6 ? absl::StrCat("[", absl::StrReplaceAll(address, {{"%", "%25"}}), "]:", port)
                : absl::StrCat(address, ":", port));
  }
  std::stable_sort(kinds.begin(), kinds.end(), [&](const auto& a, const auto& b) {
    return (a.first == family) > (b.first == family);
  });
  std::vector<std::string> targets;
  for (auto& [kind, list] : kinds) {
    std::sort(list.begin(), list.end());  // A name's answers come in turns: the channel stays.
    targets.push_back(kind + absl::StrJoin(list, ","));
  }
  std::reverse(targets.begin(), targets.end());
  return targets;
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target, const std::string& name,
                                          const CertificateSet& certificates) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = certificates.ca;
  tls.pem_cert_chain = certificates.certificate;
  tls.pem_private_key = certificates.key;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // Else new files would not matter.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
  arguments.SetSslTargetNameOverride(name);  // The target is numbers: this is what is checked.
  return grpc::CreateCustomChannel(target, grpc::SslCredentials(tls), arguments);
}

// Makes the channel, or makes it anew when it, its addresses or its files are not what they were.
// On the thread that works with gRPC.
absl::Status Connect(Link& link, const std::string& target, const std::string& name,
                     absl::Time now) {
  const std::string state = StateOf(link.peer.files);
  bool is_new = false;
  if (!link.certificates.has_value() || state != link.state) {
    absl::StatusOr<CertificateSet> read = ReadCertificates(link.peer.files, now);
    // One file after the other may be being replaced: the old ones go on until they can be used.
    if (!read.ok() && !link.certificates.has_value()) return read.status();
    if (read.ok()) {
      link.certificates = *std::move(read);
      link.state = state;
      is_new = true;
    }
  }
  // One that failed would repeat its old error until its next try.
  const bool failed =
      link.channel != nullptr && link.channel->GetState(false) == GRPC_CHANNEL_TRANSIENT_FAILURE;
  if (link.channel == nullptr || is_new || failed || link.target != target) {
    link.channel = NewChannel(target, name, *link.certificates);
    link.target = target;
  }
  return absl::OkStatus();
}

// Whether the status came over the network, or is gRPC's own about the connection.
bool IsFromPeer(const grpc::ClientContext& context) {
  return absl::StrContains(context.debug_error_string(), "Error received from peer");
}

std::string WhyNotReached(const Peer& peer, const HostPort& address, const std::string& message) {
  const auto says = [&](absl::string_view text) { return absl::StrContains(message, text); };
  const std::string what = absl::StrCat(peer.address, ": ");
  if (says("Connection refused")) return what + "nobody listens there";
  if (says("No route to host") || says("Network is unreachable")) {
    return what + "there is no way to that host";
  }
  if (says("Peer name") || says("Hostname Verification Check failed")) {
    return absl::StrCat(what, "its certificate is not for ", NameOf(peer, address));
  }
  if (says("wrong version number")) return what + "it does not speak TLS";
  if (says("Ssl handshake failed") && !says("alert")) {
    return absl::StrCat(what, "its certificate is not of the authority in ", peer.files.ca,
                        ", or out of its time");
  }
  // A server says no reason to those whom it does not trust.
  return absl::StrCat(what, "the connection was closed; if it always is, ", peer.files.certificate,
                      " may not be of the authority that it trusts (", message, ")");
}

class GrpcPeerClient final : public PeerClient {
 public:
  GrpcPeerClient(EventLoop& loop, Resolver& resolver, PeerClientOptions options)
      : options_(options), loop_(loop), resolver_(resolver) {}
  ~GrpcPeerClient() override {
    alive_.reset();
    loop_.CancelTimer(sweep_timer_);
    for (const auto& [id, call] : calls_) {
      loop_.CancelTimer(call->timer);
      resolver_.Cancel(call->resolving);
      CancelAttempt(*call);
    }
    if (worker_ == nullptr) return;
    worker_->Post([entries = std::move(entries_)]() mutable { entries.clear(); });
    worker_.reset();  // What was begun is with gRPC now, and cancelled.
    if (grpc_.queue == nullptr) return;
    grpc_.queue->Shutdown();
    grpc_.poller.reset();  // Ends when all of it has come back.
  }

  Id Transfer(const Peer& peer, v1::TransferRequest request, Instant deadline,
              Transferred done) override {
    return Start(
        peer, deadline,
        std::make_unique<CallOf<v1::TransferRequest, v1::TransferResponse>>(
            &v1::QueueService::Stub::PrepareAsyncTransfer, std::move(request), std::move(done)));
  }
  Id CheckArrival(const Peer& peer, v1::CheckArrivalRequest request, Instant deadline,
                  Checked done) override {
    return Start(peer, deadline,
                 std::make_unique<CallOf<v1::CheckArrivalRequest, v1::CheckArrivalResponse>>(
                     &v1::QueueService::Stub::PrepareAsyncCheckArrival, std::move(request),
                     std::move(done)));
  }
  Id EndTransfers(const Peer& peer, v1::EndTransfersRequest request, Instant deadline,
                  Ended done) override {
    return Start(peer, deadline,
                 std::make_unique<CallOf<v1::EndTransfersRequest, v1::EndTransfersResponse>>(
                     &v1::QueueService::Stub::PrepareAsyncEndTransfers, std::move(request),
                     std::move(done)));
  }

  void Cancel(Id id) override { Take(id); }

 private:
  // Belongs to the worker's thread; after its end to the loop's.
  struct Grpc {
    std::unique_ptr<grpc::CompletionQueue> queue;
    std::unique_ptr<ThreadWorker> poller;
  };

  Id Start(const Peer& peer, Instant deadline, std::unique_ptr<Call> call) {
    const Id id{++last_id_};
    call->id = id;
    call->peer = peer;
    call->deadline = deadline;
    Call& added = *(calls_[id] = std::move(call));
    if (calls_.size() > options_.calls_max) {
      FailLater(added, absl::ResourceExhaustedError(absl::StrCat(
                           "more than ", options_.calls_max, " calls of other agents at once")));
      return id;
    }
    const absl::StatusOr<HostPort> address = ParseHostPort(peer.address);
    if (!address.ok()) {
      FailLater(added, address.status());
      return id;
    }
    added.address = *address;
    added.timer = loop_.CallAt(deadline + kGrace, [this, id] {
      if (const auto found = Take(id)) found->Fail(OutOfTime(found->peer, false));
    });
    if (IsNumericAddress(address->host)) {
      OnAddresses(added, {address->host});
      return id;
    }
    added.resolving = resolver_.Resolve(
        address->host, [this, id](const absl::StatusOr<std::vector<std::string>>& addresses) {
          const auto found = calls_.find(id);
          if (found == calls_.end()) return;
          Call& call = *found->second;
          call.resolving = ResolveId::kNone;
          if (addresses.ok()) return OnAddresses(call, *addresses);
          Take(id)->Fail(absl::UnavailableError(
              absl::StrCat(call.peer.address, ": ", addresses.status().message())));
        });
    return id;
  }

  void OnAddresses(Call& call, const std::vector<std::string>& addresses) {
    const std::string key = KeyOf(call.peer);
    if (!entries_.contains(key) && entries_.size() >= options_.peers_max && !DropLongestUnused()) {
      return FailLater(call, absl::ResourceExhaustedError(absl::StrCat(
                                 "calls to more than ", options_.peers_max, " agents at once")));
    }
    Entry& entry = entries_[key];
    if (entry.link == nullptr) {
      entry.link = std::make_shared<Link>();
      entry.link->peer = call.peer;
    }
    ++entry.calls;
    call.entry = key;
    call.targets = TargetsOf(addresses, call.address.port, entry.family);
    Try(call);
  }

  void Try(Call& call) {
    absl::Duration time = call.deadline - loop_.Now();
    if (call.targets.size() > 1) time /= 2;  // The other kind of address must have its chance.
    const std::shared_ptr<Attempt> attempt = call.attempt = call.NewAttempt();
    attempt->id = call.id;
    attempt->target = std::move(call.targets.back());
    call.targets.pop_back();
    attempt->context.set_deadline(gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC),
        gpr_time_from_millis(absl::ToInt64Milliseconds(std::max(time, kTimeLeast)), GPR_TIMESPAN)));
    Work([this, attempt, link = entries_[call.entry].link, name = NameOf(call.peer, call.address),
          now = loop_.clock().WallNow()] {
      if (grpc_.queue == nullptr) StartPolling();
      attempt->not_begun = Connect(*link, attempt->target, name, now);
      if (attempt->not_begun.ok()) return attempt->Begin(link->channel, *grpc_.queue, attempt);
      ToLoop(attempt);
    });
  }

  // From the threads.
  void ToLoop(std::shared_ptr<Attempt> attempt) {
    loop_.Post([this, alive = alive_for_threads_, attempt = std::move(attempt)] {
      if (!alive.expired()) OnTried(attempt);
    });
  }

  void OnTried(const std::shared_ptr<Attempt>& attempt) {
    const auto found = calls_.find(attempt->id);
    if (found == calls_.end() || found->second->attempt != attempt) return;  // Nobody waits for it.
    Call& call = *found->second;
    const grpc::Status& status = attempt->status;
    const bool begun = attempt->not_begun.ok();
    const bool from_peer = begun && (status.ok() || IsFromPeer(attempt->context));
    const bool is_late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    const bool is_away = status.error_code() == grpc::StatusCode::UNAVAILABLE;
    if (begun && is_late) DropConnection(call, attempt);
    if (begun && !from_peer && (is_late || is_away) && !call.targets.empty() &&
        loop_.Now() + kTimeLeast < call.deadline) {
      return Try(call);
    }
    if (from_peer) {
      entries_[call.entry].family = attempt->target.substr(0, attempt->target.find(':') + 1);
    }
    const std::unique_ptr<Call> ended = Take(attempt->id);
    if (!begun) return ended->Fail(attempt->not_begun);
    if (status.ok()) return ended->Answer(*attempt);
    if (is_late && !from_peer) {
      const bool reached = attempt->channel->GetState(false) == GRPC_CHANNEL_READY;
      return ended->Fail(OutOfTime(ended->peer, reached));
    }
    if (is_away && !from_peer) {
      return ended->Fail(absl::UnavailableError(
          WhyNotReached(ended->peer, ended->address, status.error_message())));
    }
    // The codes of gRPC and of Abseil are the same numbers.
    ended->Fail(
        absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()));
  }

  static absl::Status OutOfTime(const Peer& peer, bool reached) {
    return absl::DeadlineExceededError(absl::StrCat(
        peer.address, reached ? ": did not answer in time" : ": was not reached in time"));
  }

  // A connection on which nothing comes back may be dead: the next call gets a new one.
  void DropConnection(const Call& call, const std::shared_ptr<Attempt>& attempt) {
    Work([link = entries_[call.entry].link, attempt] {
      if (link->channel == attempt->channel) link->channel.reset();
    });
  }

  void FailLater(const Call& call, const absl::Status& status) {
    loop_.Post([this, alive = std::weak_ptr<bool>(alive_), id = call.id, status] {
      if (alive.expired()) return;
      if (const auto found = Take(id)) found->Fail(status);
    });
  }

  // Ends a call: what is under way of it is cancelled. Null: it has ended.
  std::unique_ptr<Call> Take(Id id) {
    const auto found = calls_.find(id);
    if (found == calls_.end()) return nullptr;
    std::unique_ptr<Call> call = std::move(found->second);
    calls_.erase(found);
    loop_.CancelTimer(call->timer);
    resolver_.Cancel(call->resolving);
    CancelAttempt(*call);
    if (const auto entry = entries_.find(call->entry); entry != entries_.end()) {
      --entry->second.calls;
      entry->second.used = loop_.Now();
      SweepLater();
    }
    return call;
  }

  void CancelAttempt(const Call& call) {
    // After its beginning, since that is with the same thread. One that has ended does not mind.
    if (call.attempt != nullptr) Work([attempt = call.attempt] { attempt->context.TryCancel(); });
  }

  // -------------------------------------------------------------------------------------------

  bool DropLongestUnused() {
    auto longest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->second.calls > 0) continue;
      if (longest == entries_.end() || entry->second.used < longest->second.used) longest = entry;
    }
    if (longest == entries_.end()) return false;
    Drop(longest);
    return true;
  }
  using Entries = std::map<std::string, Entry>;
  Entries::iterator Drop(Entries::iterator entry) {
    Work([link = std::move(entry->second.link)] { link->channel.reset(); });
    return entries_.erase(entry);
  }
  void SweepLater() {
    if (sweep_timer_ != TimerId::kNone) return;
    sweep_timer_ = loop_.CallAfter(options_.idle_after, [this] {
      sweep_timer_ = TimerId::kNone;
      for (auto entry = entries_.begin(); entry != entries_.end();) {
        const bool idle =
            entry->second.calls == 0 && loop_.Now() - entry->second.used >= options_.idle_after;
        entry = idle ? Drop(entry) : std::next(entry);
      }
      if (!entries_.empty()) SweepLater();
    });
  }

  // -------------------------------------------------------------------------------------------

  void Work(Task task) {
    if (worker_ == nullptr) worker_ = std::make_unique<ThreadWorker>();
    worker_->Post(std::move(task));
  }
  void StartPolling() {
    grpc_.queue = std::make_unique<grpc::CompletionQueue>();
    grpc_.poller = std::make_unique<ThreadWorker>();
    grpc_.poller->Post([this, queue = grpc_.queue.get()] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) {
        // Typed: the tag is the Attempt itself, see Hold.
        ToLoop(static_cast<Attempt*>(tag)->LetGo());
      }
    });
  }

  const PeerClientOptions options_;
  EventLoop& loop_;
  Resolver& resolver_;
  uint64_t last_id_ = 0;
  std::map<Id, std::unique_ptr<Call>> calls_;
  Entries entries_;
  TimerId sweep_timer_ = TimerId::kNone;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  const std::weak_ptr<bool> alive_for_threads_ = alive_;  // Never assigned: threads copy it.
  Grpc grpc_;
  std::unique_ptr<ThreadWorker> worker_;
};

}  // namespace

std::unique_ptr<PeerClient> NewPeerClient(EventLoop& loop, Resolver& resolver,
                                          PeerClientOptions options) {
  return std::make_unique<GrpcPeerClient>(loop, resolver, options);
}

}  // namespace salve
