// A key and a value of etcd, which anybody with its password can write: what is taken is a name and
// an address, and is read again as it is written.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "config/names.h"
#include "config/queue.h"
#include "queue/acceptor_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  const absl::string_view key = input.substr(0, line);
  const absl::string_view value = line == input.npos ? "" : input.substr(line + 1);
  const absl::StatusOr<salve::Acceptor> read = salve::ParseAcceptorRecord(key, value);
  if (!read.ok()) return 0;
  CHECK(salve::IsValidName(read->server));
  const absl::StatusOr<salve::HostPort> address = salve::ParseHostPort(read->address);
  CHECK(address.ok() && !address->host.empty() && address->port != 0);
  const absl::StatusOr<salve::Acceptor> again =
      salve::ParseAcceptorRecord(key, salve::AcceptorRecord(read->address));
  CHECK(again.ok() && *again == *read);
  return 0;
}
