#include "probes/dns_answer.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace salve {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kNameBytesMax = 255;  // On the wire, as the protocol has it.
constexpr int kJumpsMax = 127;         // As many as a name can have labels.
constexpr uint32_t kClassInternet = 1;

// A byte of a label or a text: what is not printable, and what the dots and backslashes of the
// text itself would be taken for, is escaped.
void AppendByte(char byte, bool in_name, std::string& text) {
  if (!absl::ascii_isprint(static_cast<unsigned char>(byte))) {
    const unsigned number = static_cast<unsigned char>(byte);
    text += '\\';  // By hand: a hostile answer has tens of thousands of them.
    text += static_cast<char>('0' + number / 100);
    text += static_cast<char>('0' + number / 10 % 10);
    text += static_cast<char>('0' + number % 10);
    return;
  }
  if (byte == '\\' || (in_name && byte == '.')) text += '\\';
  text += byte;
}

// Reads a message from some place up to some end. After the first thing that is not there
// everything reads as nothing, and ok() is false.
class Reader {
 public:
  Reader(absl::string_view message, size_t at, size_t end)
      : message_(message), at_(at), end_(std::min(end, message.size())) {}

  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  bool is_at_end() const { return at_ == end_; }

  uint32_t Number(size_t bytes) {
    uint32_t number = 0;
    for (const char byte : Bytes(bytes)) number = number << 8 | static_cast<unsigned char>(byte);
    return number;
  }

  absl::string_view Bytes(size_t count) {
    if (!ok_ || count > end_ - at_) {
      ok_ = false;
      return "";
    }
    at_ += count;
    return message_.substr(at_ - count, count);
  }

  // Over a name, without following where it points: nobody wants to know it, and a hostile answer
  // has thousands that point to a long one.
  void SkipName() {
    while (ok_) {
      const uint32_t length = Number(1);
      if (!ok_ || length == 0) return;
      if ((length & 0xc0) == 0xc0) {
        Number(1);
        return;
      }
      if (length > 63) ok_ = false;
      Bytes(length);
    }
  }

  // Empty as an error, "." for the root.
  std::string Name() {
    std::string name;
    size_t wire_bytes = 0;
    size_t lowest =
        at_;  // A pointer leads to before all that was read: so it can't go in a circle.
    Reader label = *this;
    int jumps = 0;
    while (true) {
      const uint32_t length = label.Number(1);
      if (!label.ok_) return Bad();
      if ((length & 0xc0) == 0xc0) {
        const size_t target = (length & 0x3f) << 8 | label.Number(1);
        if (!label.ok_ || target >= lowest || jumps == kJumpsMax) return Bad();
        if (jumps++ == 0) at_ = label.at_;
        lowest = target;
        label = Reader(message_, target, message_.size());
        continue;
      }
      wire_bytes += length + 1;
      if (length > 63 || wire_bytes > kNameBytesMax) return Bad();
      if (length == 0) break;
      if (!name.empty()) name += '.';
      for (const char byte : label.Bytes(length)) AppendByte(byte, true, name);
      if (!label.ok_) return Bad();
    }
    if (jumps == 0) at_ = label.at_;
    return name.empty() ? "." : name;
  }

 private:
  std::string Bad() {
    ok_ = false;
    return "";
  }

  absl::string_view message_;
  size_t at_;
  size_t end_;
  bool ok_ = true;
};

std::string AddressText(int family, absl::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  if (!bytes.empty()) inet_ntop(family, bytes.data(), text, sizeof text);
  return text;
}

std::string TextOf(absl::string_view bytes) {
  std::string text;
  for (const char byte : bytes) AppendByte(byte, false, text);
  return text;
}

// The arguments of a StrCat are read in no certain order: hence the many variables.
std::string RecordText(Reader& data, DnsType type, size_t end) {
  switch (type) {
    case DnsType::kA:
      return AddressText(AF_INET, data.Bytes(4));
    case DnsType::kAaaa:
      return AddressText(AF_INET6, data.Bytes(16));
    case DnsType::kNs:
    case DnsType::kCname:
    case DnsType::kPtr:
      return data.Name();
    case DnsType::kMx: {
      const uint32_t preference = data.Number(2);
      return absl::StrCat(preference, " ", data.Name());
    }
    case DnsType::kSrv: {
      const uint32_t priority = data.Number(2), weight = data.Number(2), port = data.Number(2);
      return absl::StrCat(priority, " ", weight, " ", port, " ", data.Name());
    }
    case DnsType::kSoa: {
      std::string text = data.Name();
      absl::StrAppend(&text, " ", data.Name());
      for (int i = 0; i < 5; ++i) absl::StrAppend(&text, " ", data.Number(4));
      return text;
    }
    case DnsType::kTxt: {
      std::string text;  // In parts of at most 255 bytes that mean nothing.
      while (data.ok() && !data.is_at_end()) text += TextOf(data.Bytes(data.Number(1)));
      return text;
    }
    case DnsType::kCaa: {
      const uint32_t flags = data.Number(1);
      const std::string tag = TextOf(data.Bytes(data.Number(1)));
      return absl::StrCat(flags, " ", tag, " ", TextOf(data.Bytes(end - data.at())));
    }
  }
  return "";
}

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

}  // namespace

absl::StatusOr<DnsAnswer> ParseDnsAnswer(absl::string_view message, DnsType type) {
  if (message.size() < kHeaderBytes) return Bad("it is shorter than a header");
  Reader reader(message, 2, message.size());
  const uint32_t flags = reader.Number(2);
  if ((flags & 0x8000) == 0) return Bad("it is a question");
  DnsAnswer answer{.rcode = static_cast<int>(flags & 0xf), .records = {}};
  const uint32_t questions = reader.Number(2), records = reader.Number(2);
  reader.Bytes(4);  // The counts of what follows the answers.
  for (uint32_t i = 0; i < questions && reader.ok(); ++i) {
    reader.SkipName();
    reader.Bytes(4);
  }
  for (uint32_t i = 0; i < records && reader.ok(); ++i) {
    if (answer.records.size() == kDnsRecordsMax) break;
    reader.SkipName();
    const uint32_t its_type = reader.Number(2), its_class = reader.Number(2);
    reader.Bytes(4);  // The time to live.
    const size_t size = reader.Number(2);
    const size_t begin = reader.at();
    reader.Bytes(size);
    if (!reader.ok()) break;
    if (its_type != static_cast<uint32_t>(type) || its_class != kClassInternet) continue;
    Reader data(message, begin, begin + size);
    std::string text = RecordText(data, type, begin + size);
    if (!data.ok() || !data.is_at_end()) return Bad("a record has the wrong length");
    answer.records.push_back(std::move(text));
  }
  if (!reader.ok()) return Bad("it ends too early, or a name in it is none");
  return answer;
}

std::string RcodeName(int rcode) {
  static constexpr const char* kNames[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                           "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                           "NXRRSET", "NOTAUTH", "NOTZONE"};
  if (rcode >= 0 && rcode < static_cast<int>(std::size(kNames))) return kNames[rcode];
  return absl::StrCat("rcode ", rcode);
}

std::string ReverseName(const std::string& address) {
  unsigned char bytes[16];
  std::string name;
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1) {
    for (int i = 3; i >= 0; --i) absl::StrAppend(&name, static_cast<int>(bytes[i]), ".");
    return name + "in-addr.arpa";
  }
  inet_pton(AF_INET6, address.c_str(), bytes);
  for (int i = 15; i >= 0; --i)
    absl::StrAppendFormat(&name, "%x.%x.", bytes[i] & 15, bytes[i] >> 4);
  return name + "ip6.arpa";
}

}  // namespace salve
