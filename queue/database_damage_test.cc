// What is done to the files of a pack, or of a folder that was copied by hand, before the tools
// come: each file cut at every 4 KiB, and a flipped byte at a thousand places of each. The tools
// say damage and change nothing, or all messages are there. Never silently fewer.
#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "queue/adopt.h"
#include "queue/database_fixture.h"
#include "queue/manifest.h"
#include "queue/pack.h"
#include "queue/repair.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLetters = 20;
constexpr int kFlips = 1'000;

class DatabaseDamageTest : public AdopterTest {
 protected:
  // Messages, ends and moves, one step each: some of them in the log alone when it is not clean.
  void MakePack(bool clean, bool with_manifest) {
    auto store = Open(state());
    PutLetters(*store, 15);
    for (int i = 0; i < 3; ++i) {
      End(*store, Put(*store, NewMessage(*store, queue::AF, "web1"), "remote/ops"));
    }
    ASSERT_TRUE(store->Keep(now_, 10).ok());  // A checkpoint.
    PutLetters(*store, 5);
    if (clean) Close(std::move(store));
    store.reset();
    ASSERT_TRUE(Pack({state(), pack(), now_}).ok());
    if (!with_manifest) fs::remove(pack() + "/" + kManifestFile);
    whole_ = Snapshot(pack());
    std::erase_if(whole_, [](const auto& file) { return file.second.empty(); });
    if (!clean && !with_manifest) {
      // Zeros behind its end are no part of a log; without them all goes faster.
      std::string& log = whole_.at("queue.db-wal");
      log.resize(log.find_last_not_of('\0') + 1);
    }
  }
  void WriteFile(const std::string& name, const std::string& bytes) {
    std::ofstream(absl::StrCat(pack(), "/", name), std::ios::binary | std::ios::trunc) << bytes;
  }

  // Whether damage is said of the one file that was changed. Leaves the pack as it was before.
  bool IsSaidAfter(const std::string& name, const std::string& bytes) {
    WriteFile(name, bytes);
    const auto damaged = Snapshot(pack());
    const auto info = VerifyDatabase(pack());
    const bool is_whole = info.ok() && info->state() != "Damaged";
    if (is_whole) {
      EXPECT_EQ(info->messages(), kLetters);
      EXPECT_EQ(info->ended(), 3);
    }
    EXPECT_TRUE(Snapshot(pack()) == damaged) << "changed by a look";
    const bool is_recovered = RecoversWhole(damaged);
    const bool is_adopted = AdoptsWhole();
    EXPECT_FALSE(!is_whole && is_adopted);
    PutBack(name);
    return !is_whole || !is_recovered || !is_adopted;
  }
  // What the tools may have changed.
  void PutBack(const std::string& name) {
    const auto now = Snapshot(pack());
    for (const auto& [file, content] : now) {
      if (!whole_.contains(file)) fs::remove(absl::StrCat(pack(), "/", file));
    }
    for (const auto& [file, content] : whole_) {
      if (file == name || !now.contains(file) || now.at(file) != content) WriteFile(file, content);
    }
  }
  bool RecoversWhole(const std::map<std::string, std::string>& damaged) {
    const auto recovered = RecoverFolder({pack(), state(), now_});
    if (!recovered.ok()) {
      EXPECT_TRUE(Snapshot(pack()) == damaged) << "changed by a refusal: " << recovered.status();
      return false;
    }
    EXPECT_EQ(recovered->database().state(), "Clean");
    EXPECT_EQ(recovered->database().messages(), kLetters);
    return true;
  }
  // Of what a recovery has left.
  bool AdoptsWhole() {
    fs::remove_all(other_state());
    fs::create_directories(other_state());
    AdoptOptions options{.state_dir = other_state(), .folder = pack(), .agent = agent_};
    options.now = now_;
    const auto adopted = Adopt(options);
    if (!adopted.ok()) {
      EXPECT_FALSE(FileExists(FileIn(other_state()))) << adopted.status();
      return false;
    }
    EXPECT_EQ(adopted->messages(), kLetters);
    EXPECT_EQ(adopted->ended(), 3);
    return true;
  }

  int CutEverywhere(const std::string& name) {
    const std::string whole = whole_.at(name);
    int said = 0;
    for (size_t size = 0; size < whole.size(); size += 4096) {
      SCOPED_TRACE(absl::StrCat(name, " cut at ", size));
      said += IsSaidAfter(name, whole.substr(0, size));
    }
    return said;
  }
  int FlipEverywhere(const std::string& name) {
    const std::string whole = whole_.at(name);
    std::mt19937_64 random(20261121);
    int said = 0;
    for (int flip = 0; flip < kFlips; ++flip) {
      const size_t at = random() % whole.size();
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1 + random() % 255));
      SCOPED_TRACE(absl::StrCat(name, " flipped at ", at));
      said += IsSaidAfter(name, flipped);
      if (HasFailure()) break;
    }
    return said;
  }

  std::map<std::string, std::string> whole_;
};

TEST_F(DatabaseDamageTest, UntouchedItIsWhole) {
  MakePack(/*clean=*/false, /*with_manifest=*/true);
  EXPECT_FALSE(IsSaidAfter("queue.db", whole_.at("queue.db")));
}

TEST_F(DatabaseDamageTest, ADirtyPackThatIsCutAnywhereIsSaid) {
  MakePack(/*clean=*/false, /*with_manifest=*/true);
  for (const auto& [name, content] : whole_) {
    EXPECT_EQ(CutEverywhere(name), (content.size() + 4095) / 4096) << name;
  }
}

TEST_F(DatabaseDamageTest, ACopyWithoutAManifestThatIsCutAnywhereIsSaidOrAllIsThere) {
  MakePack(/*clean=*/false, /*with_manifest=*/false);
  for (const char* name : {"queue.db", "queue.db-wal", "queue.db.mark"}) CutEverywhere(name);
  EXPECT_GT(CutEverywhere("queue.db-wal"), 20);
}

TEST_F(DatabaseDamageTest, AFlippedByteOfAnyFileOfAPackIsSaid) {
  MakePack(/*clean=*/true, /*with_manifest=*/true);
  for (const auto& [name, content] : whole_) {
    const int said = FlipEverywhere(name);
    // Spaces and line ends of the manifest's text say nothing.
    EXPECT_GE(said, name == kManifestFile ? kFlips * 8 / 10 : kFlips) << name;
  }
}

TEST_F(DatabaseDamageTest, AFlippedByteOfACleanCopyIsSaidOrAllIsThere) {
  MakePack(/*clean=*/true, /*with_manifest=*/false);
  EXPECT_GT(FlipEverywhere("queue.db"), 100);
  FlipEverywhere("queue.db.mark");
}

TEST_F(DatabaseDamageTest, AFlippedByteOfADirtyCopyIsSaidOrAllIsThere) {
  MakePack(/*clean=*/false, /*with_manifest=*/false);
  FlipEverywhere("queue.db");
  EXPECT_GT(FlipEverywhere("queue.db-wal"), 150);
  FlipEverywhere("queue.db.mark");
}

// The last resort: of what it puts in the place of the damaged one it says what is lost.
TEST_F(DatabaseDamageTest, ARepairSaysWhatItHasLost) {
  MakePack(/*clean=*/false, /*with_manifest=*/false);
  std::mt19937_64 random(20261121);
  int repaired = 0;
  for (int flip = 0; flip < kFlips; ++flip) {
    const std::string name = flip % 2 == 0 ? "queue.db" : "queue.db-wal";
    std::string flipped = whole_.at(name);
    const size_t at = random() % flipped.size();
    flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1 + random() % 255));
    SCOPED_TRACE(absl::StrCat(name, " flipped at ", at));
    Restore(pack(), whole_);
    WriteFile(name, flipped);
    const auto report =
        RepairDatabase({.file = pack(), .server = "web1", .group = "web", .now = now_});
    if (!report.ok()) {
      EXPECT_EQ(report.status().code(), absl::StatusCode::kFailedPrecondition) << report.status();
      continue;
    }
    ++repaired;
    const auto info = VerifyDatabase(pack());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->state(), "Clean") << info->DebugString();
    EXPECT_EQ(info->messages(), report->messages());
    const bool is_said =
        report->lost_size() > 0 || report->notes_size() > 0 || report->commits_missing() > 0;
    EXPECT_TRUE(is_said || report->messages() == kLetters) << report->DebugString();
    if (HasFailure()) break;
  }
  EXPECT_GT(repaired, 100);
}

}  // namespace
}  // namespace salve
