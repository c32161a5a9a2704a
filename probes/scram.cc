#include "probes/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace salve {
namespace {

constexpr int kIterationsMax = 20'000;  // 4 to 9 ms of the loop; Postgres' default is 4096.
constexpr size_t kDigest = SHA256_DIGEST_LENGTH;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Sha256(absl::string_view text) {
  std::string digest(kDigest, '\0');
  SHA256(Bytes(text), text.size(), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string Hmac(absl::string_view key, absl::string_view text) {
  std::string digest(kDigest, '\0');
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(),
             reinterpret_cast<unsigned char*>(digest.data()), nullptr) != nullptr);
  return digest;
}

std::string SaltedPassword(absl::string_view password, absl::string_view salt, int iterations) {
  std::string salted(kDigest, '\0');
  CHECK(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), Bytes(salt),
                          static_cast<int>(salt.size()), iterations, EVP_sha256(),
                          static_cast<int>(kDigest),
                          reinterpret_cast<unsigned char*>(salted.data())) == 1);
  return salted;
}

}  // namespace

ScramClient::ScramClient(absl::string_view user, std::string password, std::string nonce)
    : bare_(absl::StrCat("n=", absl::StrReplaceAll(user, {{"=", "=3D"}, {",", "=2C"}}),
                         ",r=", nonce)),
      password_(std::move(password)),
      nonce_(std::move(nonce)) {}

std::string ScramClient::FirstMessage() const { return absl::StrCat("n,,", bare_); }

absl::StatusOr<std::string> ScramClient::FinalMessage(absl::string_view server_first) {
  // "r=NONCE,s=SALT,i=COUNT", and perhaps more.
  const std::vector<absl::string_view> parts = absl::StrSplit(server_first, ',');
  if (parts.size() < 3) return absl::InvalidArgumentError("its SCRAM message has no three parts");
  absl::string_view nonce = parts[0], salt_text = parts[1], count = parts[2];
  std::string salt;
  int iterations = 0;
  if (!absl::ConsumePrefix(&nonce, "r=") || !absl::ConsumePrefix(&salt_text, "s=") ||
      !absl::ConsumePrefix(&count, "i=") || !absl::Base64Unescape(salt_text, &salt) ||
      salt.empty() || !absl::SimpleAtoi(count, &iterations) || iterations < 1) {
    return absl::InvalidArgumentError("its SCRAM message can't be read");
  }
  if (!absl::StartsWith(nonce, nonce_) || nonce.size() == nonce_.size()) {
    return absl::InvalidArgumentError("its SCRAM message does not go on with our nonce");
  }
  if (iterations > kIterationsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it asks for ", iterations, " iterations of SCRAM, more than ", kIterationsMax));
  }
  const std::string salted = SaltedPassword(password_, salt, iterations);
  const std::string client_key = Hmac(salted, "Client Key");
  const std::string without_proof = absl::StrCat("c=biws,r=", nonce);  // "n,,", our header.
  const std::string signed_text = absl::StrCat(bare_, ",", server_first, ",", without_proof);
  const std::string signature = Hmac(Sha256(client_key), signed_text);
  std::string proof(kDigest, '\0');
  for (size_t i = 0; i < kDigest; ++i) proof[i] = static_cast<char>(client_key[i] ^ signature[i]);
  server_signature_ = Hmac(Hmac(salted, "Server Key"), signed_text);
  return absl::StrCat(without_proof, ",p=", absl::Base64Escape(proof));
}

absl::Status ScramClient::CheckServer(absl::string_view server_final) const {
  absl::string_view text = server_final.substr(0, server_final.find(','));
  std::string signature;
  if (!server_signature_.empty() && absl::ConsumePrefix(&text, "v=") &&
      absl::Base64Unescape(text, &signature) && signature.size() == kDigest &&
      CRYPTO_memcmp(signature.data(), server_signature_.data(), kDigest) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("it does not prove that it knows the password");
}

std::string NewScramNonce() {
  unsigned char bytes[18];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return "";
  return absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes));
}

}  // namespace salve
