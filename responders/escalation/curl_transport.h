// CurlTransport: mails by SMTP and webhooks by HTTP, with libcurl. Names are resolved as those of
// probes; no proxy is used; certificates are checked unless the destination says otherwise. A
// webhook is sent on the loop, a mail from a thread of its own; there are as many threads as mails
// were ever under way at once, which is at most one a destination.
#ifndef SALVE_RESPONDERS_ESCALATION_CURL_TRANSPORT_H_
#define SALVE_RESPONDERS_ESCALATION_CURL_TRANSPORT_H_

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/worker.h"
#include "probes/http_client.h"
#include "probes/resolver.h"
#include "responders/escalation/transport.h"

namespace salve {

class CurlTransport final : public Transport {
 public:
  struct Parts {
    EventLoop& loop;
    Resolver& resolver;
    HttpClient& http;
    std::string credentials_dir;  // Of systemd; empty: none.
    // Of ThreadWorkers: one for each mail under way.
    std::function<std::unique_ptr<Worker>()> new_worker;
  };

  explicit CurlTransport(Parts parts);
  // Ends what is going on; waits up to about a second for mails under way.
  ~CurlTransport() override;

  DeliveryId Start(const config::Destination& destination, const Letter& letter, Instant deadline,
                   Done done) override;
  void Cancel(DeliveryId id) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_CURL_TRANSPORT_H_
