#include "throttling/grpc_etcd_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/worker.h"
#include "throttling/etcd.grpc.pb.h"

namespace salve {
namespace {

namespace pb = etcdserverpb;

constexpr absl::Duration kTryLeast = absl::Milliseconds(300);  // What a try needs to make sense.
constexpr absl::Duration kPauseFirst = absl::Milliseconds(20);
constexpr absl::Duration kPauseMax = absl::Milliseconds(250);
constexpr absl::Duration kNewChannel = absl::Seconds(10);
constexpr int kAnswerBytesMax = 64 << 20;

// Something gRPC's queue gives back. It holds itself until then, and what it does next is done on
// the loop.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void OnLoop(bool ok) = 0;
  virtual void Cancel() = 0;
  void* Hold(std::shared_ptr<Pending> self) {
    self_ = std::move(self);
    return this;
  }
  std::shared_ptr<Pending> LetGo() { return std::move(self_); }

 private:
  std::shared_ptr<Pending> self_;
};

struct Endpoint {
  std::string url;
  std::string target;  // "HOST:PORT"
  bool tls = false;
  std::string credentials;  // What the channel was made of.
  Instant made;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<HttpRequest> version;
};

bool IsWorthRepeating(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNAUTHENTICATED:  // The token has lapsed.
      return true;
    default:
      return absl::StrContains(status.error_message(), "invalid auth token");
  }
}

absl::Status StatusOf(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

class GrpcEtcdClient final : public EtcdClient {
 public:
  GrpcEtcdClient(GrpcEtcdOptions options, std::vector<Endpoint> endpoints, EventLoop& loop,
                 HttpClient& http)
      : options_(std::move(options)), endpoints_(std::move(endpoints)), loop_(loop), http_(http) {
    thread_.Post([this] { Poll(); });
  }
  ~GrpcEtcdClient() override {
    alive_.reset();
    for (const HttpCallId call : http_calls_) http_.Cancel(call);
    for (const auto& weak : pending_) {
      if (const auto pending = weak.lock()) pending->Cancel();
    }
    queue_.Shutdown();  // The thread ends when all that was cancelled has come back.
  }

  void Txn(pb::TxnRequest request, Instant deadline,
           absl::AnyInvocable<void(absl::StatusOr<EtcdTxn>)> done) override {
    Start<pb::TxnRequest, pb::TxnResponse>(
        &PrepareTxn, std::move(request), deadline,
        [done = std::move(done)](absl::StatusOr<pb::TxnResponse> response, int tries) mutable {
          if (!response.ok()) return done(response.status());
          done(EtcdTxn{*std::move(response), tries > 1});
        });
  }

  void GrantLease(absl::Duration ttl, Instant deadline,
                  absl::AnyInvocable<void(absl::StatusOr<int64_t>)> done) override {
    pb::LeaseGrantRequest request;
    request.set_ttl(absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1))));
    Start<pb::LeaseGrantRequest, pb::LeaseGrantResponse>(
        &PrepareGrant, std::move(request), deadline,
        [done = std::move(done)](absl::StatusOr<pb::LeaseGrantResponse> response, int) mutable {
          if (!response.ok()) return done(response.status());
          done(response->id());
        });
  }

  void KeepAlive(int64_t lease, Instant deadline,
                 absl::AnyInvocable<void(absl::Status)> done) override {
    pb::LeaseKeepAliveRequest request;
    request.set_id(lease);
    Start<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>(
        &PrepareKeepAlive, std::move(request), deadline,
        [done = std::move(done)](absl::StatusOr<pb::LeaseKeepAliveResponse> response, int) mutable {
          if (!response.ok()) return done(response.status());
          done(response->ttl() > 0 ? absl::OkStatus()
                                   : absl::NotFoundError("the lease has lapsed"));
        });
  }

  void ReadTime(Instant deadline,
                absl::AnyInvocable<void(absl::StatusOr<EtcdTime>)> done) override {
    auto question =
        std::make_shared<TimeQuestion>(TimeQuestion{deadline, std::move(done), current_});
    AskTime(question);
  }

  EtcdWatchId Watch(const std::string& key, const std::string& range_end, int64_t revision,
                    absl::AnyInvocable<void(const pb::WatchResponse&)> on_events,
                    absl::AnyInvocable<void(absl::Status)> on_end) override {
    const EtcdWatchId id{++last_watch_};
    auto watch = std::make_shared<OpenWatch>(*this, id, std::move(on_events), std::move(on_end));
    watches_[id] = watch;
    Remember(watch);
    pb::WatchRequest request;
    request.mutable_create_request()->set_key(key);
    request.mutable_create_request()->set_range_end(range_end);
    request.mutable_create_request()->set_start_revision(revision + 1);
    WithToken(loop_.Now() + absl::Seconds(5),
              [watch, request](const absl::Status& status) { watch->Begin(status, request); });
    return id;
  }

  void Unwatch(EtcdWatchId id) override {
    const auto found = watches_.find(id);
    if (found == watches_.end()) return;
    found->second->Forget();
    watches_.erase(found);
  }

 private:
  template <typename Request, typename Response>
  using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>>;
  template <typename Request, typename Response>
  using Prepare = Reader<Request, Response> (*)(std::shared_ptr<grpc::Channel>,
                                                grpc::ClientContext*, const Request&,
                                                grpc::CompletionQueue*);

  static Reader<pb::TxnRequest, pb::TxnResponse> PrepareTxn(std::shared_ptr<grpc::Channel> channel,
                                                            grpc::ClientContext* context,
                                                            const pb::TxnRequest& request,
                                                            grpc::CompletionQueue* queue) {
    return pb::KV::NewStub(channel)->PrepareAsyncTxn(context, request, queue);
  }
  static Reader<pb::LeaseGrantRequest, pb::LeaseGrantResponse> PrepareGrant(
      std::shared_ptr<grpc::Channel> channel, grpc::ClientContext* context,
      const pb::LeaseGrantRequest& request, grpc::CompletionQueue* queue) {
    return pb::Lease::NewStub(channel)->PrepareAsyncLeaseGrant(context, request, queue);
  }
  static Reader<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse> PrepareKeepAlive(
      std::shared_ptr<grpc::Channel> channel, grpc::ClientContext* context,
      const pb::LeaseKeepAliveRequest& request, grpc::CompletionQueue* queue) {
    return pb::Lease::NewStub(channel)->PrepareAsyncLeaseKeepAlive(context, request, queue);
  }
  static Reader<pb::AuthenticateRequest, pb::AuthenticateResponse> PrepareAuthenticate(
      std::shared_ptr<grpc::Channel> channel, grpc::ClientContext* context,
      const pb::AuthenticateRequest& request, grpc::CompletionQueue* queue) {
    return pb::Auth::NewStub(channel)->PrepareAsyncAuthenticate(context, request, queue);
  }

  // One call with its repetitions.
  template <typename Request, typename Response>
  struct Operation {
    Prepare<Request, Response> prepare;
    Request request;
    Instant deadline;
    absl::AnyInvocable<void(absl::StatusOr<Response>, int tries)> done;
    bool needs_token = true;
    int tries = 0;
  };

  // One try of a call.
  template <typename Request, typename Response>
  class Try final : public Pending {
   public:
    Try(GrpcEtcdClient& client, std::shared_ptr<Operation<Request, Response>> operation)
        : client_(client), operation_(std::move(operation)) {}
    void Begin(const std::shared_ptr<Try>& self, size_t endpoint, absl::Duration time) {
      endpoint_ = endpoint;
      context_.set_deadline(
          gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                       gpr_time_from_millis(absl::ToInt64Milliseconds(time), GPR_TIMESPAN)));
      if (operation_->needs_token && !client_.token_.empty()) {
        context_.AddMetadata("token", client_.token_);
      }
      reader_ = operation_->prepare(client_.endpoints_[endpoint].channel, &context_,
                                    operation_->request, &client_.queue_);
      reader_->StartCall();
      reader_->Finish(&response_, &status_, Hold(self));
    }
    void OnLoop(bool) override {
      client_.OnTried(operation_, endpoint_, status_, std::move(response_));
    }
    void Cancel() override { context_.TryCancel(); }

   private:
    GrpcEtcdClient& client_;
    const std::shared_ptr<Operation<Request, Response>> operation_;
    size_t endpoint_ = 0;
    grpc::ClientContext context_;
    grpc::Status status_;
    Response response_;
    Reader<Request, Response> reader_;
  };

  template <typename Request, typename Response, typename Done>
  void Start(Prepare<Request, Response> prepare, Request request, Instant deadline, Done done) {
    auto operation = std::make_shared<Operation<Request, Response>>(
        Operation<Request, Response>{prepare, std::move(request), deadline, std::move(done)});
    WithToken(deadline, [this, operation](const absl::Status& status) {
      if (!status.ok()) return operation->done(status, 0);
      SendTry(operation);
    });
  }

  template <typename Request, typename Response>
  void SendTry(const std::shared_ptr<Operation<Request, Response>>& operation) {
    const absl::Duration left = operation->deadline - loop_.Now();
    // Half of what is left, so that another endpoint has its chance when this one hangs.
    const absl::Duration time = left > 2 * kTryLeast ? left / 2 : left;
    ++operation->tries;
    auto one = std::make_shared<Try<Request, Response>>(*this, operation);
    Remember(one);
    Connect(endpoints_[current_]);
    one->Begin(one, current_, std::max(time, absl::Milliseconds(1)));
  }

  template <typename Request, typename Response>
  void OnTried(const std::shared_ptr<Operation<Request, Response>>& operation, size_t endpoint,
               const grpc::Status& status, Response response) {
    if (status.ok()) return operation->done(std::move(response), operation->tries);
    if (!IsWorthRepeating(status)) return operation->done(StatusOf(status), operation->tries);
    if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
        absl::StrContains(status.error_message(), "invalid auth token")) {
      token_.clear();
    } else {
      NextEndpoint(endpoint);
    }
    const absl::Duration pause =
        std::min(kPauseFirst * (1 << std::min(operation->tries, 8)), kPauseMax);
    if (loop_.Now() + pause + absl::Milliseconds(1) >= operation->deadline) {
      return operation->done(
          absl::UnavailableError(absl::StrCat("etcd at ", endpoints_[endpoint].url,
                                              " does not answer: ", status.error_message())),
          operation->tries);
    }
    After(pause, [this, operation] {
      if (!operation->needs_token) return SendTry(operation);
      WithToken(operation->deadline, [this, operation](const absl::Status& token) {
        if (!token.ok()) return operation->done(token, operation->tries);
        SendTry(operation);
      });
    });
  }

  // The endpoint has failed: the next call goes to another, unless one has moved on already.
  void NextEndpoint(size_t failed) {
    if (current_ == failed) current_ = (current_ + 1) % endpoints_.size();
  }

  // Goes on with a token where one is needed, at once when there is.
  void WithToken(Instant deadline, std::function<void(const absl::Status&)> then) {
    if (options_.user.empty() || !token_.empty()) {
      // Never inside the call that asked.
      return loop_.Post([alive = Alive(), then = std::move(then)] {
        if (!alive.expired()) then(absl::OkStatus());
      });
    }
    absl::StatusOr<std::string> password = ReadFile(options_.password_file, 4096);
    pb::AuthenticateRequest request;
    request.set_name(options_.user);
    if (password.ok()) {
      request.set_password(password->substr(0, password->find_first_of("\r\n")));
    }
    auto operation =
        std::make_shared<Operation<pb::AuthenticateRequest, pb::AuthenticateResponse>>();
    operation->prepare = &PrepareAuthenticate;
    operation->request = std::move(request);
    operation->deadline = deadline;
    operation->needs_token = false;
    operation->done = [this, then = std::move(then)](
                          absl::StatusOr<pb::AuthenticateResponse> answer, int) {
      if (!answer.ok()) return then(answer.status());
      token_ = answer->token();
      then(absl::OkStatus());
    };
    loop_.Post([this, alive = Alive(), operation, password = password.status()] {
      if (alive.expired()) return;
      if (!password.ok()) return operation->done(password, 0);
      SendTry(operation);
    });
  }

  // Makes the endpoint's channel, or makes it anew when its files have changed since it failed.
  void Connect(Endpoint& endpoint) {
    const Instant now = loop_.Now();
    if (endpoint.channel != nullptr && (endpoint.channel->GetState(false) == GRPC_CHANNEL_READY ||
                                        now - endpoint.made < kNewChannel)) {
      return;
    }
    grpc::SslCredentialsOptions ssl;
    const auto read = [](const std::string& file, std::string& text) {
      if (file.empty()) return;
      if (absl::StatusOr<std::string> content = ReadFile(file); content.ok()) text = *content;
    };
    if (endpoint.tls) {
      read(options_.ca_file, ssl.pem_root_certs);
      read(options_.certificate_file, ssl.pem_cert_chain);
      read(options_.key_file, ssl.pem_private_key);
    }
    const std::string credentials =
        absl::StrCat(ssl.pem_root_certs, "\n", ssl.pem_cert_chain, "\n", ssl.pem_private_key);
    if (endpoint.channel != nullptr && credentials == endpoint.credentials) return;
    grpc::ChannelArguments arguments;
    // The default back-off needs 13 s to find an etcd that is back.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // A watch must notice a network that swallows everything.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
    endpoint.channel = grpc::CreateCustomChannel(
        endpoint.target,
        endpoint.tls ? grpc::SslCredentials(ssl) : grpc::InsecureChannelCredentials(), arguments);
    endpoint.credentials = credentials;
    endpoint.made = now;
  }

  // -------------------------------------------------------------------------------------------

  struct TimeQuestion {
    Instant deadline;
    absl::AnyInvocable<void(absl::StatusOr<EtcdTime>)> done;
    size_t endpoint;
    size_t asked = 0;
  };

  void AskTime(const std::shared_ptr<TimeQuestion>& question) {
    const Instant now = loop_.Now();
    const absl::Duration left = question->deadline - now;
    const bool is_last = ++question->asked >= endpoints_.size() || left <= 2 * kTryLeast;
    auto id = std::make_shared<HttpCallId>();
    *id = http_.Start(*endpoints_[question->endpoint].version, now + (is_last ? left : left / 2),
                      [this, question, now, is_last, id](HttpResult result) {
                        std::erase(http_calls_, *id);
                        const absl::StatusOr<EtcdTime> time = TimeOf(result, now);
                        if (time.ok() || is_last) return question->done(time);
                        question->endpoint = (question->endpoint + 1) % endpoints_.size();
                        AskTime(question);
                      });
    http_calls_.push_back(*id);
  }

  absl::StatusOr<EtcdTime> TimeOf(const HttpResult& result, Instant sent) const {
    if (result.outcome != Outcome::kSucceeded) return absl::UnavailableError(result.error);
    const std::vector<absl::string_view> dates = HeaderValues(result, "Date");
    EtcdTime time;
    time.sent = sent;
    time.received = loop_.Now();
    std::string error;
    if (dates.size() != 1 ||
        !absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", dates[0], &time.date, &error)) {
      return absl::UnavailableError("etcd's answer has no Date");
    }
    return time;
  }

  // -------------------------------------------------------------------------------------------

  // A watch: begun, then one read after the other, then its end.
  class OpenWatch final : public Pending, public std::enable_shared_from_this<OpenWatch> {
   public:
    OpenWatch(GrpcEtcdClient& client, EtcdWatchId id,
              absl::AnyInvocable<void(const pb::WatchResponse&)> on_events,
              absl::AnyInvocable<void(absl::Status)> on_end)
        : client_(client), id_(id), on_events_(std::move(on_events)), on_end_(std::move(on_end)) {}

    void Begin(const absl::Status& status, const pb::WatchRequest& request) {
      if (forgotten_) return;
      if (!status.ok()) return End(status);
      Endpoint& endpoint = client_.endpoints_[client_.current_];
      endpoint_ = client_.current_;
      client_.Connect(endpoint);
      if (!client_.token_.empty()) context_.AddMetadata("token", client_.token_);
      reader_ = pb::Watch::NewStub(endpoint.channel)
                    ->PrepareAsyncWatch(&context_, request, &client_.queue_);
      reader_->StartCall(Hold(shared_from_this()));
    }
    void OnLoop(bool ok) override {
      if (finishing_) {
        if (!forgotten_) {
          client_.NextEndpoint(endpoint_);
          End(absl::UnavailableError(absl::StrCat("the watch broke: ", status_.error_message())));
        }
        return;
      }
      // The first step is the start; each later one has read something.
      const bool is_over = !ok || response_.canceled() || response_.compact_revision() != 0;
      if (ok && !is_over && !forgotten_ && response_.events_size() > 0) on_events_(response_);
      if (is_over || forgotten_) {
        finishing_ = true;
        context_.TryCancel();
        reader_->Finish(&status_, Hold(shared_from_this()));
        return;
      }
      response_.Clear();
      reader_->Read(&response_, Hold(shared_from_this()));
    }
    void Cancel() override { context_.TryCancel(); }
    void Forget() {
      forgotten_ = true;
      context_.TryCancel();
    }

   private:
    void End(const absl::Status& status) {
      forgotten_ = true;
      client_.watches_.erase(id_);
      on_end_(status);
    }

    GrpcEtcdClient& client_;
    const EtcdWatchId id_;
    absl::AnyInvocable<void(const pb::WatchResponse&)> on_events_;
    absl::AnyInvocable<void(absl::Status)> on_end_;
    size_t endpoint_ = 0;
    bool forgotten_ = false;
    bool finishing_ = false;
    grpc::ClientContext context_;
    grpc::Status status_;
    pb::WatchResponse response_;
    std::unique_ptr<grpc::ClientAsyncReader<pb::WatchResponse>> reader_;
  };

  // -------------------------------------------------------------------------------------------

  // The thread: hands everything over to the loop.
  void Poll() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      // Typed: the tag is the Pending itself, see Hold.
      std::shared_ptr<Pending> pending = static_cast<Pending*>(tag)->LetGo();
      loop_.Post([alive = alive_for_thread_, pending = std::move(pending), ok] {
        if (!alive.expired()) pending->OnLoop(ok);
      });
    }
  }

  std::weak_ptr<bool> Alive() const { return alive_; }
  void After(absl::Duration delay, std::function<void()> task) {
    loop_.CallAfter(delay, [alive = Alive(), task = std::move(task)] {
      if (!alive.expired()) task();
    });
  }
  void Remember(const std::shared_ptr<Pending>& pending) {
    std::erase_if(pending_, [](const auto& old) { return old.expired(); });
    pending_.push_back(pending);
  }

  const GrpcEtcdOptions options_;
  std::vector<Endpoint> endpoints_;
  EventLoop& loop_;
  HttpClient& http_;
  size_t current_ = 0;  // The endpoint that is asked.
  std::string token_;
  std::vector<HttpCallId> http_calls_;
  std::vector<std::weak_ptr<Pending>> pending_;
  uint64_t last_watch_ = 0;
  std::map<EtcdWatchId, std::shared_ptr<OpenWatch>> watches_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  const std::weak_ptr<bool> alive_for_thread_ = alive_;  // Never assigned: the thread copies it.
  grpc::CompletionQueue queue_;
  ThreadWorker thread_;
};

absl::StatusOr<Endpoint> EndpointOf(const std::string& url, const GrpcEtcdOptions& options) {
  Endpoint endpoint;
  endpoint.url = url;
  absl::string_view rest = url;
  if (absl::ConsumePrefix(&rest, "https://")) {
    endpoint.tls = true;
  } else if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("the endpoint '", url, "' does not begin with http:// or https://"));
  }
  endpoint.target = std::string(absl::StripSuffix(rest, "/"));
  HttpRequestOptions request;
  request.url = absl::StrCat(absl::StripSuffix(url, "/"), "/version");
  request.ca_file = options.ca_file;
  request.certificate_file = options.certificate_file;
  request.key_file = options.key_file;
  request.body_bytes_max = 4096;
  ASSIGN_OR_RETURN(endpoint.version, HttpRequest::Make(std::move(request)));
  return endpoint;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdClient>> NewGrpcEtcdClient(GrpcEtcdOptions options,
                                                              EventLoop& loop, HttpClient& http) {
  std::vector<Endpoint> endpoints;
  for (const std::string& url : options.endpoints) {
    ASSIGN_OR_RETURN(Endpoint endpoint, EndpointOf(url, options));
    endpoints.push_back(std::move(endpoint));
  }
  if (endpoints.empty()) return absl::InvalidArgumentError("no endpoint");
  return std::make_unique<GrpcEtcdClient>(std::move(options), std::move(endpoints), loop, http);
}

}  // namespace salve
