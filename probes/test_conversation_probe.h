// The fixture of the kinds that talk: each looks at a ScriptServer over the real loop.
#ifndef SALVE_PROBES_TEST_CONVERSATION_PROBE_H_
#define SALVE_PROBES_TEST_CONVERSATION_PROBE_H_

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/uv_loop.h"
#include "probes/probe.h"
#include "probes/resolver.h"
#include "probes/test_script_server.h"
#include "probes/test_servers.h"

namespace salve {

// `Config` is the message of the kind, `kNewProbe` its factory.
template <typename Config, auto kNewProbe>
class ConversationProbeTest : public ::testing::Test {
 protected:
  ConversationProbeTest() {
    signal(SIGPIPE, SIG_IGN);
    std::ofstream(password_file_) << "hunter2\n";
  }

  Observation LookAt(const ScriptServer& server, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_port(static_cast<uint32_t>(server.port()));
    return Look(timeout);
  }
  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = kNewProbe(config_, loop_, resolver_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    std::optional<Observation> seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *std::move(seen);
  }
  ScriptServer::Options Certified() const {
    ScriptServer::Options options;
    options.certificate_file = certificate_.certificate_file;
    options.key_file = certificate_.key_file;
    return options;
  }

  const std::string password_file_ = ::testing::TempDir() + "/password";
  const TestCertificate certificate_{"server.example", absl::Hours(24 * 30)};
  UvLoop loop_;
  Resolver resolver_{loop_};
  Config config_;
};

}  // namespace salve

#endif  // SALVE_PROBES_TEST_CONVERSATION_PROBE_H_
