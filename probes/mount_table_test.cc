#include "probes/mount_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> Points(const std::vector<Mount>& mounts) {
  std::vector<std::string> points;
  for (const Mount& mount : mounts) points.push_back(mount.point);
  return points;
}

TEST(MountTableTest, ReadsALine) {
  const auto mounts = ParseMountTable(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n");
  ASSERT_THAT(mounts, SizeIs(1));
  EXPECT_EQ(mounts[0].id, 36);
  EXPECT_EQ(mounts[0].device_id, "98:0");
  EXPECT_FALSE(mounts[0].is_whole);
  EXPECT_EQ(mounts[0].point, "/mnt2");
  EXPECT_EQ(mounts[0].fs_type, "ext3");
  EXPECT_EQ(mounts[0].device, "/dev/root");
  EXPECT_FALSE(mounts[0].is_read_only);
}

TEST(MountTableTest, TheFileSystemIsReadOnlyNotTheMount) {
  const auto mounts = ParseMountTable(
      "1 0 8:1 / / ro,relatime - ext4 /dev/sda1 rw\n"
      "2 0 8:2 / /var rw - ext4 /dev/sda2 errors=remount-ro,ro\n"
      "3 0 8:3 / /srv rw - ext4 /dev/sda3 rw,emergency_ro\n"
      "4 0 8:4 / /opt rw - ext4 /dev/sda4 rw,errors=remount-ro\n");
  ASSERT_THAT(mounts, SizeIs(4));
  EXPECT_FALSE(mounts[0].is_read_only);
  EXPECT_TRUE(mounts[1].is_read_only);
  EXPECT_TRUE(mounts[2].is_read_only);
  EXPECT_FALSE(mounts[3].is_read_only);
}

TEST(MountTableTest, UnescapesNames) {
  const auto mounts = ParseMountTable(
      "1 0 8:1 / /a\\040b\\134c\\011 rw - ext4 /dev/x\\040y rw\n"
      "2 0 8:1 / /end\\04 rw - ext4 /dev/x rw\n"
      "3 0 8:1 / /big\\777 rw - ext4 /dev/x rw\n");
  EXPECT_THAT(Points(mounts), ElementsAre("/a b\\c\t", "/end\\04", "/big\\777"));
  EXPECT_EQ(mounts[0].device, "/dev/x y");
}

TEST(MountTableTest, PassesOverWhatIsNoMount) {
  for (const char* line : {"", "1", "1 0 8:1 / / rw", "1 0 8:1 / / rw -", "1 0 8:1 / / rw - ext4",
                           "1 0 8:1 / / rw - ext4 /dev/x", "x 0 8:1 / / rw - ext4 /dev/x rw",
                           "0 0 8:1 / / rw - ext4 /dev/x rw", "1 0 8:1 / no rw - ext4 /dev/x rw",
                           "1 0 8:1 /  rw - ext4 /dev/x rw"}) {
    EXPECT_THAT(ParseMountTable(line), IsEmpty()) << line;
  }
}

TEST(MountTableTest, KeepsNoMoreThanItsBound) {
  std::string text;
  for (size_t i = 0; i <= kMountsMax; ++i) text += "1 0 8:1 / / rw - ext4 /dev/x rw\n";
  EXPECT_EQ(ParseMountTable(text).size(), kMountsMax);
}

TEST(LocalFileSystemsTest, TakesThoseOfBlockDevicesOnceEach) {
  const auto mounts = ParseMountTable(
      "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "2 0 0:5 / /proc rw - proc proc rw\n"
      "3 0 8:1 /var/tmp/private /tmp rw - ext4 /dev/sda1 rw\n"
      "4 0 0:9 / /nfs rw - nfs4 server:/x rw\n"
      "5 0 7:1 / /snap/core rw - squashfs /dev/loop1 ro\n"
      "6 0 11:0 / /cdrom ro - iso9660 /dev/sr0 ro\n"
      "7 0 0:40 /@home /home rw - btrfs /dev/sdb rw\n"
      "8 0 0:41 / /tank rw - zfs tank rw\n"
      "9 0 8:3 / /deep/er rw - xfs /dev/sda3 rw\n"
      "10 0 8:3 / /data rw - xfs /dev/sda3 rw\n"
      "11 0 0:42 / /remote rw - fuse.sshfs /dev/fuse rw\n"
      "12 0 8:4 / /ntfs rw - fuseblk /dev/sda4 rw\n");
  EXPECT_THAT(Points(LocalFileSystems(mounts, 64)),
              ElementsAre("/", "/home", "/tank", "/data", "/ntfs"));
  EXPECT_THAT(Points(LocalFileSystems(mounts, 2)), ElementsAre("/", "/home"));
}

TEST(LocalFileSystemsTest, TakesAnOverlayThatIsTheRoot) {
  const auto mounts = ParseMountTable(
      "1 0 0:40 / / rw - overlay overlay rw,lowerdir=/a\n"
      "2 0 0:41 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw,lowerdir=/b\n");
  EXPECT_THAT(Points(LocalFileSystems(mounts, 64)), ElementsAre("/"));
}

TEST(LocalFileSystemsTest, LeavesOutWhatIsMountedOver) {
  const auto mounts = ParseMountTable(
      "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "2 0 8:2 / /srv rw - ext4 /dev/sda2 rw\n"
      "3 0 0:9 / /srv rw - nfs4 server:/x rw\n");
  EXPECT_THAT(Points(LocalFileSystems(mounts, 64)), ElementsAre("/"));
}

TEST(FindMountTest, GoesByTheIdAndElseByTheLongestPoint) {
  const auto mounts = ParseMountTable(
      "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "2 0 8:2 / /var rw - ext4 /dev/sda2 rw\n"
      "3 0 8:3 / /var/lib rw - ext4 /dev/sda3 rw\n"
      "4 0 8:4 / /var rw - ext4 /dev/sda4 rw\n");
  EXPECT_EQ(FindMount(mounts, 2, "/anything")->device, "/dev/sda2");
  EXPECT_EQ(FindMount(mounts, 9, "/var"), nullptr);
  EXPECT_EQ(FindMount(mounts, 0, "/var")->device, "/dev/sda4");
  EXPECT_EQ(FindMount(mounts, 0, "/var/library")->device, "/dev/sda4");
  EXPECT_EQ(FindMount(mounts, 0, "/var/lib/x")->device, "/dev/sda3");
  EXPECT_EQ(FindMount(mounts, 0, "/variable")->device, "/dev/sda1");
  EXPECT_EQ(FindMount({}, 0, "/"), nullptr);
}

}  // namespace
}  // namespace salve
