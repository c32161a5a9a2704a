#include "config/text_template.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

std::string Rendered(absl::string_view text) {
  const auto parsed = TextTemplate::Parse(text, NamesOfMessages());
  if (!parsed.ok()) return std::string(parsed.status().message());
  return parsed->Render([](absl::string_view name) { return absl::AsciiStrToUpper(name); });
}

TEST(TextTemplateTest, PutsValuesInPlaceOfNames) {
  EXPECT_EQ(Rendered(""), "");
  EXPECT_EQ(Rendered("plain"), "plain");
  EXPECT_EQ(Rendered("[{server}] {subject}"), "[SERVER] SUBJECT");
  EXPECT_EQ(Rendered("{server}{server}"), "SERVERSERVER");
}

TEST(TextTemplateTest, TwoOpeningBracesAreOneAndAClosingOneIsItself) {
  EXPECT_EQ(Rendered("{{"), "{");
  EXPECT_EQ(Rendered("{{{{"), "{{");
  EXPECT_EQ(Rendered("{{\"a\": {{\"b\": \"{state}\"}}"), "{\"a\": {\"b\": \"STATE\"}}");
  EXPECT_EQ(Rendered("}"), "}");
  EXPECT_EQ(Rendered("{{server}"), "{server}");
  EXPECT_EQ(Rendered("{{{server}}"), "{SERVER}");
}

TEST(TextTemplateTest, KnowsAllNamesOfTheLanguage) {
  for (const std::string& name : NamesOfMessages()) {
    EXPECT_EQ(Rendered(absl::StrCat("{", name, "}")), absl::AsciiStrToUpper(name));
  }
  EXPECT_EQ(NamesOfMessages().size(), 11u);
}

TEST(TextTemplateTest, RefusesAnUnknownNameWithTheNearest) {
  EXPECT_EQ(Rendered("{sever}"),
            "there is no {} name 'sever' (did you mean 'server'?); {{ is a brace");
  EXPECT_EQ(Rendered("{}"), "there is no {} name ''; {{ is a brace");
  EXPECT_EQ(Rendered("{ server}"),
            "there is no {} name ' server' (did you mean 'server'?); {{ is a brace");
}

TEST(TextTemplateTest, RefusesABraceThatIsNotClosed) {
  EXPECT_EQ(Rendered("{server"), "a brace is not closed before 'server'; {{ is a brace");
  EXPECT_EQ(Rendered("{{{"), "a brace is not closed before ''; {{ is a brace");
}

TEST(TextTemplateTest, AnEscalationCannotNameWhatItMakes) {
  EXPECT_TRUE(TextTemplate::Parse("{state} {error}", NamesOfEscalations()).ok());
  EXPECT_FALSE(TextTemplate::Parse("{subject}", NamesOfEscalations()).ok());
  EXPECT_FALSE(TextTemplate::Parse("{message}", NamesOfEscalations()).ok());
}

TEST(TextTemplateTest, ValuesAreNotReadAsTemplates) {
  const auto parsed = TextTemplate::Parse("{error}", NamesOfMessages());
  EXPECT_EQ(parsed->Render([](absl::string_view) { return std::string("{server} {{"); }),
            "{server} {{");
}

}  // namespace
}  // namespace salve
