#include "probes/mail_dialogue.h"

#include "absl/strings/str_cat.h"

namespace salve {

std::string BannerFault(absl::string_view banner, const RE2* banner_match) {
  if (banner_match == nullptr ||
      RE2::PartialMatch(re2::StringPiece(banner.data(), banner.size()), *banner_match)) {
    return "";
  }
  return absl::StrCat("the greeting '", PeerWords(banner), "' does not match '",
                      banner_match->pattern(), "'");
}

}  // namespace salve
