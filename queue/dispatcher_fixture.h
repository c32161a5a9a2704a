// A dispatcher on a real store and a simulated loop, with peers that the test scripts.
#ifndef SALVE_QUEUE_DISPATCHER_FIXTURE_H_
#define SALVE_QUEUE_DISPATCHER_FIXTURE_H_

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/simulated_loop.h"
#include "base/worker.h"
#include "channels/event_log.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "queue/dispatcher.h"
#include "queue/fake_acceptors.h"
#include "queue/fake_deliverer.h"

namespace salve {

class KeptEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    all.push_back(std::move(event));
    return all.size();
  }
  std::vector<v1::Event> Of(int event_id, v1::Channel channel = v1::Queue) const {
    std::vector<v1::Event> found;
    for (const v1::Event& event : all) {
      if (event.channel() == channel && event.event_id() == event_id) found.push_back(event);
    }
    return found;
  }
  std::vector<v1::Event> all;
};

// One server with its queue; several of them may share a loop.
class QueueServer {
 public:
  using Kind = DeliveryResult::Kind;

  explicit QueueServer(SimulatedLoop& on, std::string named = "web-1")
      : loop(on), name(std::move(named)) {
    // In memory where there is such a place: thousands of syncs take their time on a disk.
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    dir = absl::StrCat(has_memory ? "/dev/shm" : testing::TempDir(), "/queue-XXXXXX");
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    Configure(R"pb(destination {
                     name: "ops"
                     smtp { url: "smtp://mail:25" }
                   }
                   destination {
                     name: "hook"
                     webhook { url: "http://hook/" }
                   }
                   destination {
                     name: "hub"
                     forward { address: "hub:7443" }
                   }
                   destination {
                     name: "me"
                     forward { address: "web-1:7443" }
                   }
                   remote { listen: "0.0.0.0:7443" })pb");
  }
  ~QueueServer() {
    dispatcher.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }

  // Takes effect with the next Boot or Reload.
  void Configure(const std::string& text) {
    agent.server = name;
    agent.group = "web";
    agent.config.Clear();
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &agent.config)) << text;
  }
  absl::Status Open(const std::string& set = "") {
    auto store = MessageStore::Open({.path = dir + "/queue.db",
                                     .server = name,
                                     .group = "web",
                                     .now = WallNow(),
                                     .take_over = take_over,
                                     .random = &random});
    if (!store.ok()) return store.status();
    dispatcher = std::make_unique<Dispatcher>(Dispatcher::Parts{
        .loop = loop,
        .worker = worker,
        .store = *std::move(store),
        .events = events,
        .server = name,
        .letters = letters,
        .forwards = forwards,
        .relays = relays,
        .actions = actions,
        .acceptors = acceptors,
        .attempt_of = [this](const std::string& mid) -> std::optional<KnownAttempt> {
          const auto found = attempts.find(mid);
          if (found == attempts.end()) return std::nullopt;
          return found->second;
        },
        .crashes_of = [this](const queue::Deferred&) { return crashes; },
        .check_arrival =
            [this](const std::string&, const queue::Message& message,
                   absl::AnyInvocable<void(Dispatcher::Parts::Arrival)> done) {
              if (on_check) return on_check(message, std::move(done));
              loop.Post([this, done = std::move(done)]() mutable { done(arrival); });
            },
        .end_transfers =
            [this](const std::string& acceptor, const v1::EndTransfersRequest& request,
                   absl::AnyInvocable<void(Dispatcher::Parts::Ended)> done) {
              told.emplace_back(acceptor, request);
              if (on_told) return on_told(request, std::move(done));
              loop.Post([this, done = std::move(done)]() mutable { done(ended); });
            },
        .probe_acceptor =
            [this](const std::string&, absl::AnyInvocable<void(absl::Status)> done) {
              loop.Post([this, done = std::move(done)]() mutable { done(probed); });
            },
        .events_on_disk =
            [this] {
              ++syncs;
              return events_on_disk;
            }});
    return dispatcher->Recover(agent.config.queue().recovery(), set);
  }
  void Boot(const std::string& set = "") {
    const absl::Status opened = Open(set);
    ASSERT_TRUE(opened.ok()) << opened;
    Reload();
  }
  void Reload() {
    dispatcher->Configure(agent);
    loop.RunPending();
  }
  // The agent is gone, and what it did not write.
  void Crash() { dispatcher.reset(); }
  absl::Status StopAndClose(absl::Duration within = absl::Seconds(60)) {
    bool stopped = false;
    dispatcher->Stop(loop.Now() + within, [&] { stopped = true; });
    loop.RunPending();
    if (!stopped) loop.RunFor(within);
    EXPECT_TRUE(stopped);
    return Dispatcher::Close(std::move(dispatcher));
  }

  absl::Time WallNow() const { return loop.clock().WallNow(); }
  static Submission LetterTo(const std::string& destination, const std::string& subject,
                             const std::string& incident = "") {
    Submission submission;
    submission.destination = destination;
    submission.subject = subject;
    submission.letter.set_message("about " + subject);
    submission.letter.set_health_set("Web");
    submission.letter.set_monitor("Down");
    submission.correlation = incident;
    return submission;
  }
  static Submission ActionOn(const std::string& resource, const std::string& action) {
    Submission submission;
    submission.type = queue::UP;
    submission.subject = action;
    submission.deferred.set_action(action);
    submission.deferred.set_resource(resource);
    submission.deferred.set_requester("alice");
    return submission;
  }
  // Its MID, when it was accepted.
  absl::StatusOr<std::string> Accept(Submission submission) {
    absl::StatusOr<std::string> answer = absl::UnknownError("no answer");
    dispatcher->Accept(std::move(submission),
                       [&](absl::StatusOr<std::string> mid) { answer = std::move(mid); });
    loop.RunPending();
    return answer;
  }
  std::string Send(const std::string& destination, const std::string& subject,
                   const std::string& incident = "") {
    const auto mid = Accept(LetterTo(destination, subject, incident));
    EXPECT_TRUE(mid.ok()) << mid.status();
    return mid.value_or("");
  }
  std::string Defer(const std::string& resource, const std::string& action) {
    const auto mid = Accept(ActionOn(resource, action));
    EXPECT_TRUE(mid.ok()) << mid.status();
    return mid.value_or("");
  }

  // Asks as QueueService does, and waits for the answer.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Ask(void (Dispatcher::*method)(const Request&,
                                                          Dispatcher::Reply<Response>),
                               const Request& request) {
    absl::StatusOr<Response> answer = absl::UnknownError("no answer");
    (dispatcher.get()->*method)(
        request, [&](absl::StatusOr<Response> response) { answer = std::move(response); });
    loop.RunPending();
    return answer;
  }
  v1::QueueMessage Show(const std::string& id) {
    v1::GetMessageRequest request;
    request.set_id(id);
    request.set_with_body(true);
    const auto answer = Ask(&Dispatcher::GetMessage, request);
    EXPECT_TRUE(answer.ok()) << id << ": " << answer.status();
    return answer.ok() ? answer->message() : v1::QueueMessage();
  }
  // "remote/ops waiting", or how it ended: "remote/ops done".
  std::string Where(const std::string& id) {
    const v1::QueueMessage message = Show(id);
    return absl::StrCat(message.queue(), " ", message.state());
  }
  std::vector<v1::QueueMessage> In(const std::string& queue) {
    v1::ListMessagesRequest request;
    request.set_queue(queue);
    request.set_limit(1000);
    const auto answer = Ask(&Dispatcher::ListMessages, request);
    if (!answer.ok()) return {};
    return {answer->messages().begin(), answer->messages().end()};
  }
  absl::StatusOr<v1::ControlMessageResponse> Control(v1::ControlMessageRequest::Verb verb,
                                                     const std::string& id, bool notify = false) {
    v1::ControlMessageRequest request;
    request.set_verb(verb);
    request.set_id(id);
    request.set_notify(notify);
    request.set_user("bob");
    return Ask(&Dispatcher::ControlMessage, request);
  }
  absl::StatusOr<v1::ControlQueueResponse> Control(v1::ControlQueueRequest::Verb verb,
                                                   const std::string& queue = "") {
    v1::ControlQueueRequest request;
    request.set_verb(verb);
    request.set_queue(queue);
    request.set_user("bob");
    return Ask(&Dispatcher::ControlQueue, request);
  }
  // How the event log says that it ended: the ids of its ends.
  std::vector<int> EndsOf(const std::string& mid) const {
    std::vector<int> ends;
    for (const v1::Event& event : events.all) {
      const bool is_end = (event.event_id() >= 40004 && event.event_id() <= 40007) ||
                          event.event_id() == 40002 || event.event_id() == 40013;
      if (event.queue().mid() == mid && is_end) ends.push_back(event.event_id());
    }
    return ends;
  }

  SimulatedLoop& loop;
  const std::string name;
  std::string dir;
  bool take_over = false;  // The database is of another server.
  bool events_on_disk = true;
  int syncs = 0;  // How often that was asked.
  RandomSource random = std::mt19937_64(std::hash<std::string>()(name));
  AgentDefinition agent;
  InlineWorker worker;
  KeptEvents events;
  FakeDeliverer letters{loop};
  FakeDeliverer forwards{loop};
  FakeDeliverer relays{loop};
  FakeDeliverer actions{loop};
  FakeAcceptors acceptors;
  std::map<std::string, KnownAttempt> attempts;
  int crashes = 0;
  Dispatcher::Parts::Arrival arrival = absl::UnavailableError("not asked");
  std::function<void(const queue::Message&, absl::AnyInvocable<void(Dispatcher::Parts::Arrival)>)>
      on_check;  // Instead of `arrival`.
  Dispatcher::Parts::Ended ended = v1::EndTransfersResponse();
  std::function<void(const v1::EndTransfersRequest&,
                     absl::AnyInvocable<void(Dispatcher::Parts::Ended)>)>
      on_told;                                                        // Instead of `ended`.
  std::vector<std::pair<std::string, v1::EndTransfersRequest>> told;  // Acceptor and words.
  absl::Status probed;  // What each acceptor answers to a probe.
  std::unique_ptr<Dispatcher> dispatcher;
};

class DispatcherTest : public ::testing::Test {
 protected:
  using Kind = DeliveryResult::Kind;
  SimulatedLoop loop_;
  QueueServer server_{loop_};
};

}  // namespace salve

#endif  // SALVE_QUEUE_DISPATCHER_FIXTURE_H_
