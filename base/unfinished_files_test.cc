#include "base/unfinished_files.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;

TEST(UnfinishedFilesTest, OnlyThoseOfTheFileAreRemoved) {
  std::string dir = std::string(getenv("TEST_TMPDIR")) + "/unfinished-XXXXXX";
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  for (const char* name : {"f", "f.new-aB3dE6", "f.new-aB3dE", "f.new-aB3dE67", "f.new-aB3.E6",
                           "f.backup", "g.new-aB3dE6", "f.last.new-aB3dE6"}) {
    std::ofstream(dir + "/" + name) << "x";
  }

  RemoveUnfinished(dir + "/f");

  std::set<std::string> left;
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    left.insert(file.path().filename());
  }
  EXPECT_THAT(left, ElementsAre("f", "f.backup", "f.last.new-aB3dE6", "f.new-aB3.E6", "f.new-aB3dE",
                                "f.new-aB3dE67", "g.new-aB3dE6"));
}

TEST(UnfinishedFilesTest, AFolderThatIsNotThereHasNone) { RemoveUnfinished("/no/such/folder/f"); }

}  // namespace
}  // namespace salve
