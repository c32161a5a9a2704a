#include "cli/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr int kMessageBytesMax = 64 << 20;  // A query gives up to 10,000 events.
constexpr absl::string_view kIsItRunning = "is salved running? (systemctl status salved)";

// Opens the socket and closes it again: gRPC would say no more than "unavailable".
absl::Status TryToOpen(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path '", path, "' is not of 1..",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::ResourceExhaustedError(absl::StrCat("socket: ", strerror(errno)));
  const int error =
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  const std::string what = absl::StrCat("cannot connect to ", path, ": ");
  switch (error) {
    case 0:
    case EAGAIN:
      return absl::OkStatus();  // EAGAIN: busy, but there.
    case ENOENT:
      return absl::UnavailableError(absl::StrCat(what, "no such file; ", kIsItRunning));
    case ECONNREFUSED:
      return absl::UnavailableError(absl::StrCat(what, "nobody listens there; ", kIsItRunning));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "permission denied; is your user in the group salve?"));
    default:
      return absl::UnavailableError(absl::StrCat(what, strerror(error)));
  }
}

// gRPC reads the target as a URI.
std::string TargetOf(absl::string_view path) {
  std::string target = "unix:";
  for (const char c : path) {
    if (absl::ascii_isalnum(c) || absl::string_view("/._-~").find(c) != absl::string_view::npos) {
      target += c;
    } else {
      absl::StrAppendFormat(&target, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return target;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // By default a lost agent would be tried again only after many seconds.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  return arguments;
}

// gRPC would take a bad file without a word, and fail later.
absl::StatusOr<std::string> ReadPem(absl::string_view option, const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, ": cannot read '", path, "': ", strerror(errno)));
  }
  if (!absl::StrContains(text, "-----BEGIN ")) {
    return absl::InvalidArgumentError(absl::StrCat(option, ": '", path, "' holds no PEM"));
  }
  return text;
}

absl::Status CheckServer(absl::string_view server) {
  const size_t colon = server.rfind(':');
  int port = 0;
  if (colon != absl::string_view::npos && colon > 0 && server.find('/') == server.npos &&
      absl::SimpleAtoi(server.substr(colon + 1), &port) && port >= 1 && port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--server: '", server, "' is not of the form HOST:PORT"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelToSocket(const std::string& path) {
  RETURN_IF_ERROR(TryToOpen(path));
  return grpc::CreateCustomChannel(TargetOf(path), grpc::InsecureChannelCredentials(), Arguments());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ChannelToServer(const RemoteAgent& agent) {
  RETURN_IF_ERROR(CheckServer(agent.server));
  grpc::SslCredentialsOptions tls;
  ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem("--ca", agent.ca_file));
  ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadPem("--cert", agent.certificate_file));
  ASSIGN_OR_RETURN(tls.pem_private_key, ReadPem("--key", agent.key_file));
  grpc::ChannelArguments arguments = Arguments();
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel("dns:///" + agent.server, grpc::SslCredentials(tls), arguments);
}

std::string WhyUnreachable(const RemoteAgent& agent, const std::string& grpc_message) {
  const std::string what = absl::StrCat("cannot connect to ", agent.server, ": ");
  const auto says = [&](absl::string_view text) { return absl::StrContains(grpc_message, text); };
  if (says("DNS resolution failed") || says("Domain name not found")) {
    return what + "there is no host of that name";
  }
  if (says("Connection refused")) {
    return what + "nobody listens there; is salved running, with `remote` in its salve.textproto?";
  }
  if (says("No route to host") || says("Network is unreachable")) {
    return what + "there is no way to that host";
  }
  if (says("Peer name") || says("Hostname Verification Check failed")) {
    return what + "its certificate is for another name; connect by a name that is in it";
  }
  if (says("wrong version number")) return what + "it does not speak TLS";
  if (says("Ssl handshake failed") && !says("alert")) {
    return absl::StrCat(what, "its certificate is not of the authority in ", agent.ca_file,
                        ", or has expired");
  }
  if (says("empty address list")) {  // What gRPC makes of credentials that it can't use.
    return absl::StrCat(what, agent.key_file, " is not the key of ", agent.certificate_file);
  }
  // A server says no reason to those whom it does not trust; gRPC mentions a socket at most.
  return absl::StrCat(what, "it closes the connection; is ", agent.certificate_file,
                      " of the authority that it trusts (client_ca_file), and not expired?");
}

}  // namespace salve
