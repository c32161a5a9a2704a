#include "config/xml_reader.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::HasSubstr;

// The faults of a text whose root must be <R> with elements <E a=""/> in it.
std::string FaultsOf(const std::string& text, size_t bytes_max = 1000) {
  XmlReader reader(text, "f.xml");
  for (const pugi::xml_node& node : reader.ElementsOf(reader.Root("R", bytes_max))) {
    reader.TakeAttributes(node, {"a"});
  }
  return std::string(reader.status().message());
}

TEST(XmlReaderTest, TakesElementsAndTheirAttributes) {
  const std::string text = "<?xml version='1.0'?>\n<R>\n <!-- c --><E a='&lt;1&#10;'/></R>";
  XmlReader reader(text, "f.xml");
  const std::vector<pugi::xml_node> elements = reader.ElementsOf(reader.Root("R", 1000));
  ASSERT_EQ(elements.size(), 1u) << reader.status();
  EXPECT_EQ(reader.LineOf(reader.OffsetOf(elements[0])), 3u);
  EXPECT_EQ(reader.TakeAttributes(elements[0], {"a"}).at("a").value, "<1\n");
  EXPECT_TRUE(reader.status().ok());
}

TEST(XmlReaderTest, RefusesWhatTheLibraryLetsPass) {
  EXPECT_THAT(FaultsOf("<R/><R/>"), HasSubstr("f.xml:1:5: a second root element <R>"));
  EXPECT_THAT(FaultsOf("<!DOCTYPE r><R/>"), HasSubstr("a DOCTYPE is not allowed"));
  EXPECT_THAT(FaultsOf("<R>text</R>"), HasSubstr("f.xml:1:4: stray text"));
  EXPECT_THAT(FaultsOf("<R><?php x?></R>"), HasSubstr("a processing instruction"));
  EXPECT_THAT(FaultsOf("<R>\n<E a='1' a='2'/></R>"), HasSubstr("f.xml:2:10: a second attribute"));
  EXPECT_THAT(FaultsOf("<R><E a='<'/></R>"), HasSubstr("write &lt;"));
  EXPECT_THAT(FaultsOf("<R><E a='&nbsp;'/></R>"), HasSubstr("write &amp;"));
  EXPECT_THAT(FaultsOf("<R><E a='&#0;'/></R>"), HasSubstr("write &amp;"));
  EXPECT_THAT(FaultsOf("<R b='1'/>"), HasSubstr("unknown attribute 'b' of <R>"));
  EXPECT_THAT(FaultsOf("<?xml version='1.0' encoding='latin1'?><R/>"), HasSubstr("not UTF-8"));
  EXPECT_THAT(FaultsOf("<R>\xff</R>"), HasSubstr("the text is not UTF-8"));
  EXPECT_THAT(FaultsOf("<S/>"), HasSubstr("the root element is <S>; it must be <R>"));
  EXPECT_THAT(FaultsOf(""), HasSubstr("there is no <R>"));
}

TEST(XmlReaderTest, ReadsNoMoreThanItMay) {
  EXPECT_EQ(FaultsOf("<R/>", 4), "");
  EXPECT_THAT(FaultsOf("<R/> ", 4), HasSubstr("larger than 4 bytes"));
}

TEST(XmlReaderTest, ATextThatIsCutOffHasAPlace) {
  EXPECT_THAT(FaultsOf("<R>\n<E a='1"), HasSubstr("f.xml:2:"));
}

TEST(XmlReaderTest, KeepsTwentyFaults) {
  std::string text = "<R>";
  for (int i = 0; i < 30; ++i) text += "<E b='1'/>\n";
  XmlReader reader(text, "f.xml");
  for (const pugi::xml_node& node : reader.ElementsOf(reader.Root("R", 1000))) {
    reader.TakeAttributes(node, {"a"});
  }
  EXPECT_GE(reader.fault_count(), 1u);
  EXPECT_LE(reader.fault_count(), 20u);
}

}  // namespace
}  // namespace salve
