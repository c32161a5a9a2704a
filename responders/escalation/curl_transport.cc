#include "responders/escalation/curl_transport.h"

#include <atomic>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "responders/escalation/render.h"
#include "responders/escalation/secret.h"
#include "responders/escalation/send_mail.h"

namespace salve {
namespace {

constexpr size_t kAnswerBytesMax = 64 * 1024;

using Answer = absl::StatusOr<std::string>;

}  // namespace

struct CurlTransport::State {
  struct Delivery {
    DeliveryId id;
    Done done;  // Null when it was cancelled.
    // A webhook.
    std::unique_ptr<HttpRequest> request;
    HttpCallId call = HttpCallId::kNone;
    // A mail: first its relay's addresses, then the thread.
    MailOrder order;
    ResolveId resolving = ResolveId::kNone;
    TimerId deadline = TimerId::kNone;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
    std::unique_ptr<Worker> worker;
  };

  explicit State(Parts parts) : parts(std::move(parts)) {}
  ~State() {
    *alive = false;
    for (auto& [id, delivery] : deliveries) Stop(*delivery);
  }

  absl::StatusOr<std::string> SecretOf(const std::string& file) {
    if (file.empty()) return std::string();
    ASSIGN_OR_RETURN(Secret secret, ReadSecret(file, parts.credentials_dir));
    if (!secret.warning.empty() && warned.insert(file).second) LogWarning(secret.warning);
    return std::move(secret.text);
  }

  absl::Status StartWebhook(Delivery& delivery, const config::Webhook& webhook,
                            const Letter& letter, Instant deadline) {
    HttpRequestOptions options;
    options.url = webhook.url();
    options.method = "POST";
    options.body = RenderBody(webhook, letter);
    options.body_bytes_max = kAnswerBytesMax;
    options.verify_tls = !webhook.tls().has_verify() || webhook.tls().verify();
    options.ca_file = webhook.tls().ca_file();
    options.tls_server_name = webhook.tls().server_name();
    bool has_type = false;
    for (const config::HttpHeader& header : webhook.header()) {
      has_type |= absl::EqualsIgnoreCase(header.name(), "Content-Type");
      options.headers.emplace_back(header.name(), header.value());
    }
    if (!has_type) options.headers.emplace_back("Content-Type", "application/json");
    ASSIGN_OR_RETURN(const std::string token, SecretOf(webhook.bearer_token_file()));
    if (!token.empty()) options.headers.emplace_back("Authorization", "Bearer " + token);
    ASSIGN_OR_RETURN(delivery.request, HttpRequest::Make(std::move(options)));
    delivery.call =
        parts.http.Start(*delivery.request, deadline, [this, id = delivery.id](HttpResult result) {
          deliveries.at(id)->call = HttpCallId::kNone;
          Finish(id, AnswerOf(result));
        });
    return absl::OkStatus();
  }

  // What a webhook answers stays with it: it might echo what was sent.
  static Answer AnswerOf(const HttpResult& result) {
    if (result.outcome != Outcome::kSucceeded) return absl::UnavailableError(result.error);
    if (result.status / 100 == 2) return std::string();
    const std::string why = absl::StrCat("status ", result.status, ", expected 2xx");
    const bool for_good = result.status / 100 == 4 && result.status != 408 && result.status != 429;
    return for_good ? absl::FailedPreconditionError(why) : absl::AbortedError(why);
  }

  absl::Status StartMail(Delivery& delivery, const config::Smtp& smtp, const Letter& letter,
                         Instant deadline) {
    MailOrder& order = delivery.order;
    ASSIGN_OR_RETURN(order.password, SecretOf(smtp.password_file()));
    order.smtp = smtp;
    order.mail = RenderMail(smtp, letter);
    order.helo = letter.notice.server;
    order.deadline = deadline;
    const Relay relay = RelayOf(smtp.url());
    if (relay.is_numeric) {
      order.addresses = {relay.host};
      Send(delivery);
      return absl::OkStatus();
    }
    delivery.deadline = parts.loop.CallAt(deadline, [this, id = delivery.id] {
      deliveries.at(id)->deadline = TimerId::kNone;
      Finish(id, absl::UnavailableError("took too long while the relay's name was resolved"));
    });
    delivery.resolving = parts.resolver.Resolve(
        relay.host,
        [this, id = delivery.id](const absl::StatusOr<std::vector<std::string>>& addresses) {
          Delivery& resolved = *deliveries.at(id);
          resolved.resolving = ResolveId::kNone;
          if (!addresses.ok())
            return Finish(id, absl::UnavailableError(addresses.status().message()));
          resolved.order.addresses = *addresses;
          Send(resolved);
        });
    return absl::OkStatus();
  }

  void Send(Delivery& delivery) {
    parts.loop.CancelTimer(std::exchange(delivery.deadline, TimerId::kNone));
    if (idle.empty()) idle.push_back(parts.new_worker());
    delivery.worker = std::move(idle.back());
    idle.pop_back();
    delivery.worker->Post([order = std::move(delivery.order), cancelled = delivery.cancelled,
                           &loop = parts.loop, state = this, alive = alive, id = delivery.id] {
      auto answer = std::make_shared<Answer>(SendMail(order, loop.clock(), *cancelled));
      loop.Post([state, alive, id, answer] {
        if (*alive) state->Finish(id, std::move(*answer));
      });
    });
  }

  void Finish(DeliveryId id, Answer answer) {
    const auto ended = std::move(deliveries.extract(id).mapped());
    Stop(*ended);
    if (ended->worker != nullptr) idle.push_back(std::move(ended->worker));
    Done done = std::move(ended->done);
    if (done) done(std::move(answer));
  }

  void Stop(Delivery& delivery) {
    *delivery.cancelled = true;
    parts.loop.CancelTimer(std::exchange(delivery.deadline, TimerId::kNone));
    parts.resolver.Cancel(std::exchange(delivery.resolving, ResolveId::kNone));
    parts.http.Cancel(std::exchange(delivery.call, HttpCallId::kNone));
  }

  Parts parts;
  uint64_t last_id = 0;
  absl::flat_hash_map<DeliveryId, std::unique_ptr<Delivery>> deliveries;
  // For the next mails: to end a thread is to wait for it, which the loop does not.
  std::vector<std::unique_ptr<Worker>> idle;
  absl::flat_hash_set<std::string> warned;  // Files of which it was said who can read them.
  const std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // For the loop's thread.
};

CurlTransport::CurlTransport(Parts parts) : state_(std::make_unique<State>(std::move(parts))) {}
CurlTransport::~CurlTransport() = default;

DeliveryId CurlTransport::Start(const config::Destination& destination, const Letter& letter,
                                Instant deadline, Done done) {
  const DeliveryId id{++state_->last_id};
  auto owned = std::make_unique<State::Delivery>();
  State::Delivery& delivery = *owned;
  delivery.id = id;
  delivery.done = std::move(done);
  state_->deliveries.emplace(id, std::move(owned));
  const absl::Status started =
      destination.has_smtp()
          ? state_->StartMail(delivery, destination.smtp(), letter, deadline)
          : state_->StartWebhook(delivery, destination.webhook(), letter, deadline);
  if (!started.ok()) {
    // Whatever is wrong here is not the destination's answer.
    const absl::Status why = absl::UnavailableError(started.message());
    state_->parts.loop.Post([state = state_.get(), alive = state_->alive, id, why] {
      if (*alive && state->deliveries.contains(id)) state->Finish(id, why);
    });
  }
  return id;
}

void CurlTransport::Cancel(DeliveryId id) {
  const auto found = state_->deliveries.find(id);
  if (found == state_->deliveries.end()) return;
  found->second->done = nullptr;
  state_->Stop(*found->second);
  // A thread is left to end by itself.
  if (found->second->worker == nullptr) state_->deliveries.erase(found);
}

}  // namespace salve
