#include "queue/manifest.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <openssl/sha.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unfinished_files.h"
#include "queue/database.h"

namespace salve {
namespace {

constexpr int kVersion = 1;
constexpr size_t kBytesMax = 64 << 20;  // A line for each of a million queues.

std::string TextOf(const queue::Manifest& manifest) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(manifest, &text);
  return text;
}

std::string DigestOf(queue::Manifest manifest) {
  manifest.clear_digest();
  const std::string text = TextOf(manifest);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

// Says nothing: the caller names the file.
class NoErrors final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

}  // namespace

absl::StatusOr<std::optional<queue::Manifest>> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifestFile);
  absl::StatusOr<std::string> text = ReadFile(path, kBytesMax);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  queue::Manifest manifest;
  NoErrors errors;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (!parser.ParseFromString(*text, &manifest)) {
    return absl::DataLossError(path + " can't be read as a manifest");
  }
  if (manifest.version() > kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is of version ", manifest.version(), ", this is ", kVersion));
  }
  if (manifest.digest() != DigestOf(manifest)) {
    return absl::DataLossError(path + " was changed after it was written");
  }
  return manifest;
}

absl::Status WriteManifest(const std::string& folder, queue::Manifest manifest) {
  const std::string path = absl::StrCat(folder, "/", kManifestFile);
  RemoveUnfinished(path);
  manifest.set_version(kVersion);
  manifest.set_digest(DigestOf(manifest));
  return WriteFileAtomically(path, TextOf(manifest), 0600);
}

absl::StatusOr<std::vector<std::string>> ManifestFaults(const std::string& folder,
                                                        const queue::Manifest& manifest) {
  std::vector<std::string> faults;
  if (!manifest.under_change_by().empty()) return faults;
  for (const queue::Manifest::File& file : manifest.file()) {
    const std::string path = absl::StrCat(folder, "/", file.name());
    const absl::StatusOr<FileFacts> facts = HashFile(path);
    if (absl::IsNotFound(facts.status())) {
      faults.push_back(
          absl::StrCat(path, ": is not there; the manifest has it with ", file.bytes(), " bytes"));
    } else if (!facts.ok()) {
      return facts.status();
    } else if (facts->bytes != file.bytes()) {
      faults.push_back(
          absl::StrCat(path, ": has ", facts->bytes, " bytes, the manifest says ", file.bytes()));
    } else if (facts->sha256 != file.sha256()) {
      faults.push_back(path + ": its SHA-256 is not the manifest's");
    }
  }
  return faults;
}

absl::Status SetManifestFiles(const std::string& folder, queue::Manifest& manifest) {
  manifest.clear_file();
  for (const char* suffix : {"", "-wal", ".mark"}) {
    const std::string name = absl::StrCat(kQueueDatabase, suffix);
    absl::StatusOr<FileFacts> facts = HashFile(absl::StrCat(folder, "/", name));
    const bool may_lack = absl::string_view(suffix) == "-wal";
    if (may_lack && absl::IsNotFound(facts.status())) continue;
    if (!facts.ok()) return facts.status();
    queue::Manifest::File& file = *manifest.add_file();
    file.set_name(name);
    file.set_bytes(facts->bytes);
    file.set_sha256(facts->sha256);
  }
  return absl::OkStatus();
}

absl::Status BeginChange(const std::string& folder, const std::string& tool) {
  ASSIGN_OR_RETURN(std::optional<queue::Manifest> manifest, ReadManifest(folder));
  if (!manifest.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> faults, ManifestFaults(folder, *manifest));
  if (!faults.empty()) return absl::DataLossError(absl::StrJoin(faults, "\n"));
  manifest->set_under_change_by(tool);
  return WriteManifest(folder, *std::move(manifest));
}

absl::Status BeginRepair(const std::string& folder) {
  absl::StatusOr<std::optional<queue::Manifest>> manifest = ReadManifest(folder);
  if (absl::IsDataLoss(manifest.status())) return absl::OkStatus();
  if (!manifest.ok()) return manifest.status();
  if (!manifest->has_value()) return absl::OkStatus();
  (*manifest)->set_under_change_by(kRepairing);
  return WriteManifest(folder, **std::move(manifest));
}

}  // namespace salve
