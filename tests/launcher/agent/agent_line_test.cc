// tests/launcher/agent/agent_line_test.cc - any bytes come through a line, and nothing else does.
#include "launcher/agent/agent_line.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

std::string without_newline(std::string text) {
  EXPECT_EQ(text.back(), '\n');
  text.pop_back();
  return text;
}

TEST(AgentLine, IsReadableWhereItsTextIsPlain) {
  const AgentLine line{"placed", {{"port", "8100"}, {"text", "two words, \"quoted\""}}};
  EXPECT_EQ(to_text(line), "placed port=8100 text=two+words,+\"quoted\"\n");
}

TEST(AgentLine, CarriesEveryByte) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  const AgentLine line{"log", {{"text", bytes}, {"text", ""}}};
  const std::string text = without_newline(to_text(line));
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(parse_agent_line(text), line);
}

TEST(AgentLine, HasFieldsByName) {
  const auto line = parse_agent_line("start word=a word=b+c gpus=2 empty= bad=-1");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->all("word"), (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ((*line)["word"], "a");
  EXPECT_EQ(line->number("gpus"), 2);
  EXPECT_EQ(line->number("empty"), std::nullopt);
  EXPECT_EQ(line->number("bad"), std::nullopt);
  EXPECT_EQ(line->number("absent"), std::nullopt);
  EXPECT_EQ((*line)["absent"], "");
}

TEST(AgentLine, RefusesWhatIsNeverWritten) {
  for (const char* text :
       {"", " ", "Word", "word field", "word =x", "word  a=b", "word a=%", "word a=%4",
        "word a=%zz", "word a=%0a", "word a=b=c", "word a=\x01", "word a=b ", "GET / HTTP/1.1"}) {
    EXPECT_FALSE(parse_agent_line(text)) << text;
  }
}

}  // namespace
}  // namespace batchproxy
