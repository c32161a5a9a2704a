#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/fault.h"
#include "config/names.h"
#include "queue/dispatcher_state.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr char kWholeQueues[][12] = {"dead", "inbox", "poison", "unreachable"};

std::string Because(const std::string& reason) {
  return reason.empty() ? "" : absl::StrCat(": ", reason);
}

void SetTime(absl::Time time, google::protobuf::Timestamp* into) {
  into->set_seconds(absl::ToUnixSeconds(time));
}

}  // namespace

std::vector<std::string> Dispatcher::State::Troubles() const {
  std::vector<std::string> troubles;
  if (!picture.trouble.empty()) troubles.push_back(picture.trouble);
  if (!held.empty()) troubles.push_back(held);
  if (picture.is_dead_full) {
    troubles.push_back(
        absl::StrCat("the dead queue is full (", picture.MessagesIn("dead"),
                     "): what should be dead stays where it was; re-register or remove some"));
  }
  if (!pressure.empty())
    troubles.push_back(absl::StrCat("the queue is under pressure: ", pressure));
  if (const std::string closed = WhyNotAccepting(); !closed.empty()) troubles.push_back(closed);
  return troubles;
}

std::string Dispatcher::State::ModeName() const {
  return config::Queue::Processing_Name(rules->mode);
}

std::vector<std::string> Dispatcher::State::KnownQueues() const {
  std::set<std::string> names(std::begin(kWholeQueues), std::end(kWholeQueues));
  for (const QueueRow& row : picture.rows) names.insert(row.name);
  for (const auto& [name, kind] : rules->destinations) {
    names.insert(kind == DestinationKind::kThisServer ? "inbox" : absl::StrCat("remote/", name));
  }
  for (const std::string& acceptor : rules->acceptors) {
    names.insert(absl::StrCat("relay/", acceptor));
  }
  return {names.begin(), names.end()};
}

// The queues that a pattern means: "" all, "remote/*" those that begin so, else one by its name.
absl::StatusOr<std::vector<std::string>> Dispatcher::State::Matching(
    const std::string& pattern) const {
  const std::vector<std::string> known = KnownQueues();
  if (pattern.empty() || pattern == "*") return known;
  std::vector<std::string> found;
  absl::string_view prefix = pattern;
  const bool is_prefix = absl::ConsumeSuffix(&prefix, "*");
  for (const std::string& name : known) {
    if (is_prefix ? absl::StartsWith(name, prefix) : name == pattern) found.push_back(name);
  }
  if (found.empty() && !is_prefix) {
    return absl::NotFoundError(
        absl::StrCat("no queue '", pattern, "'", DidYouMean(pattern, known)));
  }
  return found;
}

v1::QueueStatus Dispatcher::State::StatusOf(const QueueRow& row) const {
  v1::QueueStatus status;
  status.set_name(row.name);
  status.set_messages(row.messages);
  status.set_bytes(row.bytes);
  const auto found = streams.find(row.name);
  const Stream* stream = found == streams.end() ? nullptr : found->second.get();
  const bool delivering = stream != nullptr && !stream->sequences.empty();
  status.set_state(row.suspended                              ? "suspended"
                   : delivering                               ? "delivering"
                   : paused                                   ? "paused"
                   : row.messages == 0                        ? "idle"
                   : stream != nullptr && stream->unconfirmed ? "unconfirmed"
                                                              : "waiting");
  if (stream != nullptr) {
    status.set_last_error(stream->last_error);
    const Instant next =
        std::max(stream->not_before,
                 stream->timer == TimerId::kNone ? stream->not_before : stream->timer_at);
    if (row.messages > 0 && !delivering && next > parts.loop.Now()) {
      SetTime(WallNow() + (next - parts.loop.Now()), status.mutable_next_attempt());
    }
  }
  return status;
}

void Dispatcher::ListQueues(const v1::ListQueuesRequest& request,
                            Reply<v1::ListQueuesResponse> reply) {
  const State& state = *state_;
  const auto names = state.Matching(request.queue());
  if (!names.ok()) return reply(names.status());
  std::map<std::string, QueueRow> rows;
  for (const QueueRow& row : state.picture.rows) rows[row.name] = row;
  v1::ListQueuesResponse response;
  response.set_server(state.parts.server);
  response.set_mode(state.ModeName());
  response.set_paused(state.paused);
  response.set_back_pressure(state.pressure);
  for (const std::string& name : *names) {
    QueueRow row = rows[name];
    row.name = name;
    *response.add_queues() = state.StatusOf(row);
  }
  for (std::string& trouble : state.Troubles()) response.add_warnings(std::move(trouble));
  reply(std::move(response));
}

void Dispatcher::State::SetSetting(const std::string& key, const std::string& value,
                                   v1::Event event, std::function<void(absl::Status)> done) {
  Run([key, value, event](QueueDesk& desk) { return desk.Set(key, value, event); },
      std::move(done));
}

void Dispatcher::ControlQueue(const v1::ControlQueueRequest& request,
                              Reply<v1::ControlQueueResponse> reply) {
  using Request = v1::ControlQueueRequest;
  State* state = state_.get();
  const auto answer = [reply](int64_t affected) {
    v1::ControlQueueResponse response;
    response.set_affected(affected);
    reply(std::move(response));
  };
  const Request::Verb verb = request.verb();
  if (verb == Request::PAUSE_SERVICE || verb == Request::RESUME_SERVICE) {
    const bool pause = verb == Request::PAUSE_SERVICE;
    return state->SetSetting(
        "paused", pause ? absl::StrCat("by ", request.user(), Because(request.reason())) : "",
        QueueNews(40020, v1::Warning,
                  absl::StrCat("the queue service is ", pause ? "paused" : "resumed",
                               Because(request.reason())),
                  request.user()),
        [state, pause, answer, reply](const absl::Status& set) {
          if (!set.ok()) return reply(set);
          state->paused = pause;
          state->PumpAll();
          answer(static_cast<int64_t>(state->KnownQueues().size()));
        });
  }
  auto matching = state->Matching(request.queue());
  if (!matching.ok()) return reply(matching.status());
  auto queues = std::make_shared<std::vector<std::string>>(*std::move(matching));
  // What leaves for a crash set can't be kept from it.
  std::erase_if(*queues, [](const std::string& queue) { return HeldQueueOf(queue).has_value(); });
  const size_t count = queues->size();
  if (verb == Request::SUSPEND || verb == Request::RESUME) {
    const bool suspend = verb == Request::SUSPEND;
    return state->Run(
        [queues, suspend, request](QueueDesk& desk) {
          return desk.SuspendQueues(*queues, suspend, request.user(), request.reason());
        },
        [state, answer, reply, count](const absl::Status& done) {
          if (!done.ok()) return reply(done);
          state->PumpAll();
          answer(static_cast<int64_t>(count));
        });
  }
  if (verb != Request::RETRY && verb != Request::RESUBMIT) {
    return reply(absl::InvalidArgumentError(
        "verb: suspend, resume, retry, resubmit, pause or resume of the service"));
  }
  if (request.queue() == "poison") {
    return reply(absl::FailedPreconditionError(
        "poison is never retried in bulk: resume its messages one by one"));
  }
  if (request.queue() == "dead") {
    return reply(absl::FailedPreconditionError(
        "dead messages are not retried in bulk: salvectl dead reregister DMID"));
  }
  queues->erase(std::remove_if(queues->begin(), queues->end(),
                               [](const std::string& queue) {
                                 return queue == "poison" || queue == "dead" || queue == "inbox";
                               }),
                queues->end());
  const auto note = [state, answer, request](int64_t affected) {
    state->parts.events.Append(
        QueueNews(40020, v1::Information,
                  absl::StrCat(request.verb() == Request::RETRY ? "retry of " : "resubmission of ",
                               request.queue().empty() ? "all queues" : request.queue(),
                               Because(request.reason())),
                  request.user(), affected));
    answer(affected);
  };
  if (verb == Request::RETRY) return state->MakeDue(queues, {}, 0, note);
  state->RerouteFrom(queues, {}, 0, note);
}

void Dispatcher::ListMessages(const v1::ListMessagesRequest& request,
                              Reply<v1::ListMessagesResponse> reply) {
  if (!request.queue().empty()) {
    const auto names = state_->Matching(request.queue());
    if (!names.ok()) return reply(names.status());
  }
  state_->Run([request](QueueDesk& desk) { return desk.List(request); }, std::move(reply));
}

void Dispatcher::GetMessage(const v1::GetMessageRequest& request,
                            Reply<v1::GetMessageResponse> reply) {
  if (request.id().empty()) {
    const auto names = state_->Matching(request.queue());
    if (!names.ok()) return reply(names.status());
  }
  state_->Run([request](QueueDesk& desk) { return desk.Show(request); },
              [reply](absl::StatusOr<v1::QueueMessage> shown) {
                if (!shown.ok()) return reply(shown.status());
                v1::GetMessageResponse response;
                *response.mutable_message() = *std::move(shown);
                reply(std::move(response));
              });
}

void Dispatcher::ControlMessage(const v1::ControlMessageRequest& request,
                                Reply<v1::ControlMessageResponse> reply) {
  State* state = state_.get();
  state->Run([request](QueueDesk& desk) { return desk.Control(request); },
             [state, reply](absl::StatusOr<v1::ControlMessageResponse> response) {
               state->PumpAll();
               reply(std::move(response));
             });
}

void Dispatcher::ExportMessage(const v1::ExportMessageRequest& request,
                               Reply<v1::ExportMessageResponse> reply) {
  state_->Run([request](QueueDesk& desk) { return desk.Export(request); }, std::move(reply));
}

void Dispatcher::ImportMessage(const v1::ImportMessageRequest& request,
                               Reply<v1::ImportMessageResponse> reply) {
  State* state = state_.get();
  if (const std::string closed = state->WhyNotAccepting(); !closed.empty()) {
    return reply(absl::FailedPreconditionError(closed));
  }
  state->Run([request](QueueDesk& desk) { return desk.Import(request); },
             [state, reply](absl::StatusOr<v1::ImportMessageResponse> response) {
               state->PumpAll();
               state->ReadInbox();
               reply(std::move(response));
             });
}

void Dispatcher::State::CheckDead(const std::string& dmid,
                                  std::function<void(absl::StatusOr<v1::CheckDeadResponse>)> done) {
  Run([dmid](QueueDesk& desk) { return desk.FindDead(dmid); },
      [this, done](absl::StatusOr<StoredMessage> row) {
        if (!row.ok()) return done(row.status());
        v1::CheckDeadResponse response;
        const std::string& former = row->message.dead().former_queue();
        const auto kind = QueueKindOf(former);
        const std::string& acceptor = row->message.handed_to();
        const bool went_out = kind == QueueKind::kRemote || kind == QueueKind::kRelay;
        if (!went_out && acceptor.empty()) {
          response.set_arrival("not-arrived");
          response.set_detail(absl::StrCat("it was in ", former, " and never left this server"));
          return done(std::move(response));
        }
        if (!parts.check_arrival) {
          response.set_arrival("unknown");
          response.set_detail("there is nobody to ask");
          return done(std::move(response));
        }
        const std::string asked = went_out ? former : absl::StrCat("relay/", acceptor);
        parts.check_arrival(asked, row->message, [done](Parts::Arrival arrival) {
          v1::CheckDeadResponse answer;
          answer.set_arrival(arrival.ok() ? arrival->arrival() : "unknown");
          answer.set_detail(arrival.ok() ? arrival->detail()
                                         : std::string(arrival.status().message()));
          if (answer.arrival().empty()) answer.set_arrival("unknown");
          done(std::move(answer));
        });
      });
}

void Dispatcher::CheckDead(const v1::CheckDeadRequest& request,
                           Reply<v1::CheckDeadResponse> reply) {
  state_->CheckDead(request.dmid(), std::move(reply));
}

void Dispatcher::Reregister(const v1::ReregisterRequest& request,
                            Reply<v1::ReregisterResponse> reply) {
  const std::weak_ptr<State> weak = state_;
  if (const std::string closed = state_->WhyNotAccepting(); !closed.empty()) {
    return reply(absl::FailedPreconditionError(closed));
  }
  state_->CheckDead(request.dmid(), [weak, request,
                                     reply](absl::StatusOr<v1::CheckDeadResponse> checked) {
    const std::shared_ptr<State> state = weak.lock();
    if (state == nullptr) return;
    if (!checked.ok()) return reply(checked.status());
    const std::string arrival = checked->arrival();
    const std::string detail = Because(checked->detail());
    if (absl::StartsWith(arrival, "arrived")) {
      return reply(absl::AlreadyExistsError(
          absl::StrCat("message '", request.dmid(), "' has arrived: ", arrival, detail)));
    }
    if (arrival != "not-arrived" && !request.unchecked()) {
      return reply(absl::FailedPreconditionError(
          absl::StrCat("it is not known whether '", request.dmid(), "' has arrived", detail,
                       "; --unchecked re-registers it all the same")));
    }
    state->Run([request, arrival](QueueDesk& desk) { return desk.Reregister(request, arrival); },
               [state = state.get(), reply](absl::StatusOr<v1::ReregisterResponse> response) {
                 state->PumpAll();
                 reply(std::move(response));
               });
  });
}

void Dispatcher::Prepare(const v1::PrepareRequest& request, Reply<v1::PrepareResponse> reply) {
  State* state = state_.get();
  const auto show = [state, reply] {
    state->Run([preparing = state->preparing,
                active = state->active](QueueDesk& desk) { return desk.Points(preparing, active); },
               [state, reply](absl::StatusOr<std::vector<v1::PreparationPoint>> points) {
                 if (!points.ok()) return reply(points.status());
                 v1::PrepareResponse response;
                 response.set_preparing(state->preparing);
                 response.set_ready(std::all_of(points->begin(), points->end(),
                                                [](const auto& point) { return point.ready(); }));
                 for (v1::PreparationPoint& point : *points)
                   *response.add_points() = std::move(point);
                 reply(std::move(response));
               });
  };
  if (request.verb() == v1::PrepareRequest::STATUS) return show();
  const bool begin = request.verb() == v1::PrepareRequest::BEGIN;
  state->SetSetting(
      "preparing", begin ? absl::StrCat("by ", request.user(), Because(request.reason())) : "",
      QueueNews(40019, v1::Warning,
                absl::StrCat(begin ? "the queue is being prepared for another database"
                                   : "the preparation was cancelled",
                             Because(request.reason())),
                request.user()),
      [state, begin, show, reply](const absl::Status& set) {
        if (!set.ok()) return reply(set);
        state->preparing = begin;
        state->PumpAll();
        show();
      });
}

v1::GetClusterResponse Dispatcher::State::Cluster() const {
  v1::GetClusterResponse response;
  response.set_server(parts.server);
  response.set_group(rules->group);
  response.set_mode(ModeName());
  response.set_configured_mode(config::Queue::Processing_Name(configured_mode));
  response.set_source(parts.acceptors.Source());
  response.set_address(rules->accept_address);
  for (const Acceptor& acceptor : parts.acceptors.List()) {
    v1::ClusterMember& member = *response.add_acceptors();
    member.set_server(acceptor.server);
    member.set_address(acceptor.address);
    const bool in_use = rules->mode == config::Queue::REMOTELY && !rules->acceptors.empty() &&
                        rules->acceptors.front() == acceptor.server;
    const auto out = acceptors_out.find(acceptor.server);
    member.set_state(out != acceptors_out.end() && out->second > parts.loop.Now()
                         ? "not reached, or it takes none now"
                     : in_use ? "in use"
                              : "usable");
    member.set_waiting(picture.MessagesIn(absl::StrCat("relay/", acceptor.server)));
  }
  return response;
}

void Dispatcher::GetCluster(const v1::GetClusterRequest& request,
                            Reply<v1::GetClusterResponse> reply) {
  State* state = state_.get();
  auto response = std::make_shared<v1::GetClusterResponse>(state->Cluster());
  std::vector<int> asked;
  std::vector<std::string> names;
  for (int i = 0; i < response->acceptors_size(); ++i) {
    names.push_back(response->acceptors(i).server());
    if (request.test() == "*" || request.test() == names.back()) asked.push_back(i);
  }
  if (!request.test().empty() && request.test() != "*" && asked.empty()) {
    return reply(absl::NotFoundError(
        absl::StrCat("no acceptor '", request.test(), "'", DidYouMean(request.test(), names))));
  }
  if (asked.empty() || !state->parts.probe_acceptor) return reply(std::move(*response));
  auto left = std::make_shared<size_t>(asked.size());
  for (const int i : asked) {
    state->parts.probe_acceptor(
        names[static_cast<size_t>(i)],
        [response, reply, left, i, self = std::weak_ptr<State>(state_),
         name = names[static_cast<size_t>(i)]](absl::Status status) {
          const std::shared_ptr<State> living = self.lock();
          if (living && status.ok() && living->acceptors_out.erase(name) > 0) {
            living->OnAcceptorBack();
          }
          response->mutable_acceptors(i)->set_state(status.ok() ? "would take one"
                                                                : std::string(status.message()));
          if (--*left == 0) reply(std::move(*response));
        });
  }
}

void Dispatcher::SetMode(const v1::SetModeRequest& request, Reply<v1::SetModeResponse> reply) {
  State* state = state_.get();
  config::Queue::Processing mode;
  if (!request.mode().empty() && !config::Queue::Processing_Parse(request.mode(), &mode)) {
    return reply(absl::InvalidArgumentError(absl::StrCat(
        "mode: '", request.mode(), "' is none of LOCALLY, LOCALLY_FOR_OTHERS, REMOTELY")));
  }
  state->SetSetting(
      "mode", request.mode(),
      QueueNews(40020, v1::Information,
                absl::StrCat("queue processing is ",
                             request.mode().empty() ? "as configured" : request.mode(),
                             Because(request.reason())),
                request.user()),
      [state, mode = request.mode(), reply](const absl::Status& set) {
        if (!set.ok()) return reply(set);
        state->mode_setting = mode;
        state->MakeRules();
        state->Reroute(false, state->rules->mode == config::Queue::REMOTELY, [](int64_t) {});
        v1::SetModeResponse response;
        response.set_mode(state->ModeName());
        reply(std::move(response));
      });
}

void Dispatcher::Transfer(const v1::TransferRequest& request, Reply<v1::TransferResponse> reply) {
  State* state = state_.get();
  if (state->stopped) return reply(absl::UnavailableError("the queue has stopped"));
  const std::string closed =
      state->stopping || !state->configured ? "it stops or begins" : state->WhyNotAccepting();
  state->Run([request, closed](QueueDesk& desk) { return desk.Transfer(request, closed); },
             [state, reply](absl::StatusOr<v1::TransferResponse> response) {
               state->PumpAll();
               state->ReadInbox();
               if (response.ok() && response->answer() == v1::TransferResponse::ACCEPTED) {
                 FaultPoint("queue.transfer.answer");
               }
               reply(std::move(response));
             });
}

void Dispatcher::CheckArrival(const v1::CheckArrivalRequest& request,
                              Reply<v1::CheckArrivalResponse> reply) {
  state_->Run([request](QueueDesk& desk) { return desk.CheckArrival(request); }, std::move(reply));
}

void Dispatcher::EndTransfers(const v1::EndTransfersRequest& request,
                              Reply<v1::EndTransfersResponse> reply) {
  State* state = state_.get();
  if (state->stopped) return reply(absl::UnavailableError("the queue has stopped"));
  state->Run([request](QueueDesk& desk) { return desk.EndTransfers(request); },
             [state, reply](absl::StatusOr<v1::EndTransfersResponse> response) {
               state->PumpAll();
               reply(std::move(response));
             });
}

}  // namespace salve
