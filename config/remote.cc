#include "config/remote.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"
#include "config/listen_address.h"

namespace salve {
namespace {

constexpr int kRolesMax = 100;
constexpr int kPatternsMax = 100;
constexpr size_t kPatternBytesMax = 256;

void CheckFile(const std::string& field, const std::string& path, ItemFaults& faults) {
  if (absl::StartsWith(path, "/")) return;
  faults.Add(absl::StrCat("remote.", field),
             path.empty() ? "is needed" : absl::StrCat(Quoted(path), " is no path from / on"));
}

void CheckRole(const std::string& path, const config::RoleRule& rule, ItemFaults& faults) {
  if (rule.role() == config::RoleRule::ROLE_UNSPECIFIED) {
    faults.Add(absl::StrCat(path, ".role"), "is needed: PEER, VIEWER, OPERATOR or ADMIN");
  }
  if (rule.san().empty()) faults.Add(absl::StrCat(path, ".san"), "is needed; \"*\" is any name");
  if (rule.san_size() > kPatternsMax) {
    faults.Add(absl::StrCat(path, ".san"), absl::StrCat("there are more than ", kPatternsMax));
  }
  for (int i = 0; i < rule.san_size(); ++i) {
    const std::string& pattern = rule.san(i);
    if (pattern.empty() || pattern.size() > kPatternBytesMax) {
      faults.Add(absl::StrCat(path, ".san[", i, "]"),
                 absl::StrCat(Quoted(pattern), " is not of 1..", kPatternBytesMax, " bytes"));
    }
  }
}

}  // namespace

void CheckRemote(const config::Remote& remote, ItemFaults& faults) {
  if (remote.listen().empty()) {
    faults.Add("remote.listen", "is needed");
  } else if (const auto address = ParseListenAddress(remote.listen()); !address.ok()) {
    faults.Add("remote.listen", address.status().message());
  }
  CheckFile("certificate_file", remote.certificate_file(), faults);
  CheckFile("key_file", remote.key_file(), faults);
  CheckFile("client_ca_file", remote.client_ca_file(), faults);
  if (remote.role().empty()) faults.Add("remote.role", "is needed: nobody would have access");
  if (remote.role_size() > kRolesMax) {
    faults.Add("remote.role", absl::StrCat("there are more than ", kRolesMax));
  }
  for (int i = 0; i < remote.role_size(); ++i) {
    CheckRole(absl::StrCat("remote.role[", i, "]"), remote.role(i), faults);
  }
}

}  // namespace salve
