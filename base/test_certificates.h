// A certificate authority in a folder of its own, for tests of TLS.
#ifndef SALVE_BASE_TEST_CERTIFICATES_H_
#define SALVE_BASE_TEST_CERTIFICATES_H_

#include <string>

#include "absl/time/time.h"

namespace salve {

struct IssueOptions {
  std::string common_name;  // Empty: no subject at all.
  std::string names;        // "DNS:localhost,IP:127.0.0.1,URI:spiffe://x/y"; empty: none.
  absl::Duration valid_from = -absl::Hours(1);  // From now.
  absl::Duration valid_until = absl::Hours(1);
};

// Makes keys and certificates (EC P-256) as PEM files; the folder goes with it.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "Test CA");
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  struct Files {
    std::string certificate;
    std::string key;
  };
  // Writes, or replaces by a rename, DIR/NAME.crt and DIR/NAME.key.
  Files Issue(const std::string& name, const IssueOptions& options);

  const std::string& ca_file() const { return ca_file_; }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }

 private:
  struct Keys;
  std::string dir_;
  std::string ca_file_;
  Keys* const keys_;
};

std::string ReadWhole(const std::string& path);
void WriteWhole(const std::string& path, const std::string& text);

}  // namespace salve

#endif  // SALVE_BASE_TEST_CERTIFICATES_H_
