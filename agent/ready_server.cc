#include "agent/ready_server.h"

#include <string.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "agent/listening_socket.h"

namespace salve {
namespace {

constexpr int kBacklog = 64;
constexpr int kAcceptsATurnMax = 16;
// When no descriptor is left: the listener would be ready again at once.
constexpr absl::Duration kAcceptAgain = absl::Seconds(1);

std::string TextOf(const std::optional<ListenAddress>& address) {
  if (!address.has_value()) return "";
  return address->is_ipv6 ? absl::StrCat("[", address->address, "]:", address->port)
                          : absl::StrCat(address->address, ":", address->port);
}

std::string Offline(int votes) {
  return absl::StrCat("offline, ", votes, votes == 1 ? " vote\n" : " votes\n");
}

}  // namespace

ReadyServer::ReadyServer(Parts parts) : parts_(std::move(parts)) {}

ReadyServer::~ReadyServer() { StopListening(); }

void ReadyServer::Configure(const std::optional<ListenAddress>& address) {
  if (TextOf(address) == TextOf(address_)) return;
  StopListening();
  address_ = address;
  Listen();
}

void ReadyServer::StopListening() {
  parts_.loop.CancelTimer(std::exchange(again_, TimerId::kNone));
  parts_.loop.UnwatchFd(std::exchange(listen_watch_, WatchId::kNone));
  listener_.reset();
  port_ = 0;
  trouble_.clear();
  while (!connections_.empty()) Close(connections_.begin());
}

void ReadyServer::Listen() {
  if (!address_.has_value()) return;
  const absl::Status status = TryToListen(*address_);
  if (!status.ok()) {
    listener_.reset();
    const std::string why = absl::StrCat("ready_listen: ", status.message());
    if (trouble_ != why) parts_.say(why, /*is_error=*/true);
    trouble_ = why;
    again_ = parts_.loop.CallAfter(kListenAgain, [this] { Listen(); });
    return;
  }
  trouble_.clear();
  port_ = PortOf(listener_.get());
  parts_.say(absl::StrCat("components are told by HTTP at ", TextOf(address_)), /*is_error=*/false);
}

absl::Status ReadyServer::TryToListen(const ListenAddress& address) {
  absl::StatusOr<UniqueFd> listener = ListenAt(address, kBacklog);
  if (!listener.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", TextOf(address), ": ", listener.status().message()));
  }
  listener_ = *std::move(listener);
  WatchListener();
  if (listen_watch_ == WatchId::kNone) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot watch the socket at ", TextOf(address)));
  }
  return absl::OkStatus();
}

void ReadyServer::WatchListener() {
  listen_watch_ = parts_.loop.WatchFd(listener_.get(), kReadable, [this](int) { Accept(); });
}

void ReadyServer::Accept() {
  for (int i = 0; i < kAcceptsATurnMax; ++i) {
    if (!AcceptOne()) return;
  }
}

bool ReadyServer::AcceptOne() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.is_open()) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
      parts_.loop.UnwatchFd(std::exchange(listen_watch_, WatchId::kNone));
      again_ = parts_.loop.CallAfter(kAcceptAgain, [this] { WatchListener(); });
    }
    return error == ECONNABORTED || error == EINTR;
  }
  if (connections_.size() >= kConnectionsMax) Close(connections_.begin());
  const ConnectionAt at = connections_.emplace(connections_.end());
  at->fd = std::move(fd);
  at->deadline = parts_.loop.CallAfter(kRequestTime, [this, at] {
    at->deadline = TimerId::kNone;
    Close(at);
  });
  at->watch = parts_.loop.WatchFd(at->fd.get(), kReadable, [this, at](int) { Receive(at); });
  if (at->watch == WatchId::kNone) Close(at);
  return true;
}

void ReadyServer::Receive(ConnectionAt at) {
  char buffer[kReadyRequestBytesMax];
  const size_t room = kReadyRequestBytesMax - at->received.size();
  const ssize_t n = recv(at->fd.get(), buffer, room, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return Close(at);
  at->received.append(buffer, static_cast<size_t>(n));
  const ReadyRequest request = ReadReadyRequest(at->received);
  if (request.kind == ReadyRequest::Kind::kIncomplete) return;
  at->answer = AnswerTo(request);
  parts_.loop.UnwatchFd(at->watch);
  at->watch = parts_.loop.WatchFd(at->fd.get(), kWritable, [this, at](int) { Send(at); });
  if (at->watch == WatchId::kNone) Close(at);
}

void ReadyServer::Send(ConnectionAt at) {
  const ssize_t n = send(at->fd.get(), at->answer.data(), at->answer.size(), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) return Close(at);
  at->answer.erase(0, static_cast<size_t>(n));
  if (!at->answer.empty()) return;
  // What came after the request is taken: closing over it would take the answer back.
  char rest[kReadyRequestBytesMax];
  shutdown(at->fd.get(), SHUT_WR);
  for (int i = 0; i < 4 && recv(at->fd.get(), rest, sizeof(rest), 0) > 0; ++i) {
  }
  Close(at);
}

void ReadyServer::Close(ConnectionAt at) {
  parts_.loop.CancelTimer(at->deadline);
  parts_.loop.UnwatchFd(at->watch);
  connections_.erase(at);
}

std::string ReadyServer::AnswerTo(const ReadyRequest& request) const {
  using Kind = ReadyRequest::Kind;
  const bool is_head = request.kind == Kind::kHead;
  if (request.kind == Kind::kTooLarge) return ReadyAnswer(431, "", false);
  if (request.kind == Kind::kOther) return ReadyAnswer(405, "", false);
  if (request.kind != Kind::kGet && !is_head) return ReadyAnswer(400, "", false);
  absl::string_view name = request.path;
  const bool of_all = name == "/ready" || name == "/ready/";
  if (!of_all && !absl::ConsumePrefix(&name, "/ready/")) {
    return ReadyAnswer(404, "ask for /ready or /ready/COMPONENT\n", is_head);
  }
  const v1::ListComponentsResponse list = parts_.components();
  std::vector<std::string> offline;
  for (const v1::ComponentStatus& component : list.components()) {
    if (!component.online()) offline.push_back(component.name());
    if (of_all || component.name() != name) continue;
    if (draining_) return ReadyAnswer(503, "offline, the agent is stopping\n", is_head);
    return component.online() ? ReadyAnswer(200, "online\n", is_head)
                              : ReadyAnswer(503, Offline(component.votes_size()), is_head);
  }
  if (!of_all) return ReadyAnswer(404, "no such component\n", is_head);
  if (draining_) return ReadyAnswer(503, "offline, the agent is stopping\n", is_head);
  if (offline.empty()) return ReadyAnswer(200, "online\n", is_head);
  return ReadyAnswer(503, absl::StrCat("offline: ", absl::StrJoin(offline, ", "), "\n"), is_head);
}

}  // namespace salve
