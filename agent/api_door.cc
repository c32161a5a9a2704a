#include "agent/api_door.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr size_t kUserBytesMax = 64;
constexpr size_t kSubjectBytesMax = 256;

std::vector<std::string> Properties(const grpc_auth_context* peer, const char* name) {
  std::vector<std::string> values;
  grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(peer, name);
  while (const grpc_auth_property* property = grpc_auth_property_iterator_next(&it)) {
    values.emplace_back(property->value, property->value_length);
  }
  return values;
}

// What goes into records and terminals: printable, of bounded length.
std::string Plain(absl::string_view text, size_t bytes_max) {
  std::string plain(text.substr(0, bytes_max));
  for (char& c : plain) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return plain;
}

std::string SubjectOf(const grpc_auth_context* peer) {
  for (const char* property : {GRPC_X509_SUBJECT_PROPERTY_NAME, GRPC_X509_SAN_PROPERTY_NAME}) {
    for (const std::string& value : Properties(peer, property)) {
      if (!value.empty()) return Plain(value, kSubjectBytesMax);
    }
  }
  return "unknown";
}

absl::Status NoSuchMethod(absl::string_view method) {
  return absl::UnimplementedError(absl::StrCat("there is no method ", method));
}

class SocketDoor final : public ApiDoor {
 public:
  SocketDoor(std::string name, Role role) : name_(std::move(name)), role_(role) {}

  absl::Status Admit(const grpc_auth_context*, absl::string_view method) const override {
    const std::optional<Role> needed = RoleNeededFor(method);
    if (!needed.has_value()) return NoSuchMethod(method);
    if (MayDo(role_, *needed)) return absl::OkStatus();
    return absl::PermissionDeniedError("this needs the admin socket (are you root?)");
  }

  std::string Who(const grpc_auth_context*, absl::string_view user) const override {
    return absl::StrCat(name_, ":", user.empty() ? "unknown" : Plain(user, kUserBytesMax));
  }

 private:
  const std::string name_;
  const Role role_;
};

}  // namespace

std::unique_ptr<ApiDoor> NewSocketDoor(std::string name, Role role) {
  return std::make_unique<SocketDoor>(std::move(name), role);
}

void RemoteDoor::SetRules(config::Remote rules) {
  MutexLock lock(&mu_);
  rules_ = std::move(rules);
}

absl::Status RemoteDoor::Admit(const grpc_auth_context* peer, absl::string_view method) const {
  if (Properties(peer, GRPC_X509_PEM_CERT_PROPERTY_NAME).empty()) {
    return absl::UnauthenticatedError("a client certificate is needed (salvectl: --cert, --key)");
  }
  Role role = Role::kNone;
  bool is_peer = false;
  {
    const std::vector<std::string> names = Properties(peer, GRPC_X509_SAN_PROPERTY_NAME);
    MutexLock lock(&mu_);
    role = RoleOf(names, rules_.role());
    is_peer = IsPeer(names, rules_.role());
  }
  if (role == Role::kNone) {
    return absl::PermissionDeniedError(
        absl::StrCat("no role here has a pattern for the certificate of ", SubjectOf(peer)));
  }
  const std::optional<Role> needed = RoleNeededFor(method);
  if (!needed.has_value()) return NoSuchMethod(method);
  if (MayDo(role, *needed) || (is_peer && MayDo(Role::kPeer, *needed))) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("this needs the role ", RoleName(*needed), "; ",
                                                  SubjectOf(peer), " is ", RoleName(role)));
}

std::string RemoteDoor::Who(const grpc_auth_context* peer, absl::string_view) const {
  return absl::StrCat("remote:", SubjectOf(peer));
}

}  // namespace salve
