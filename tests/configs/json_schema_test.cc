// tests/configs/json_schema_test.cc - the schema that is shipped has every key. That validators
// read it as it is meant is tests/configs/test_json_schema.py's.
#include "configs/json_schema.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/key_tables.h"
#include "tests/configs/load_text.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;

TEST(JsonSchema, HasEachKeyWithItsMeaning) {
  const std::string schema = json_schema();
  for (const KeyTable& table : key_tables()) {
    for (const KeyText& key : table.keys) {
      if (key.type == "argument") continue;
      const std::string name = key.name.substr(key.name.rfind('.') + 1);
      EXPECT_THAT(schema, HasSubstr("\"" + name + "\": {\n")) << key.name;
    }
  }
}

// UPDATE_GOLDEN=1 writes the file instead.
TEST(JsonSchema, IsWhatIsShipped) {
  const std::string path = source_path("share/batchproxy/batchproxy.schema.json");
  if (std::getenv("UPDATE_GOLDEN")) std::ofstream(path) << json_schema();
  EXPECT_EQ(read_whole_file(path), json_schema());
}

}  // namespace
}  // namespace batchproxy
