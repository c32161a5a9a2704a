#include "base/unfinished_files.h"

#include <ctype.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace salve {

void RemoveUnfinished(const std::string& path) {
  const std::string prefix = std::filesystem::path(path).filename().string() + ".new-";
  std::error_code ignored;
  std::filesystem::directory_iterator files(std::filesystem::path(path).parent_path(), ignored);
  for (; !ignored && files != std::filesystem::directory_iterator(); files.increment(ignored)) {
    const std::string name = files->path().filename();
    const bool is_one = name.size() == prefix.size() + 6 &&
                        name.compare(0, prefix.size(), prefix) == 0 &&
                        std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()),
                                    name.end(), [](unsigned char c) { return isalnum(c) != 0; });
    std::error_code failed;  // It stays, and harms nobody.
    if (is_one) std::filesystem::remove(files->path(), failed);
  }
}

}  // namespace salve
