// tests/proxy/api_keys_test.cc - which entries are keys, whose a bearer is, and what is refused.
#include "proxy/wire/api_keys.h"

#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kAlice = "alices-key-0123456789";
const std::string kBob = "bobs-key-0123456789+/=";

std::string joined(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& one : diagnostics) text += one.format() + "\n";
  return text;
}

struct Parsed {
  ApiKeys keys;
  std::string problems;
};

Parsed parse(const std::string& text, const std::string& source = "keys.txt") {
  Parsed parsed;
  Findings findings;
  parsed.keys.add(text, source, findings);
  parsed.problems = joined(std::move(findings).take());
  return parsed;
}

std::string owner(const ApiKeys& keys, const std::string& authorization) {
  const ApiKeys::Key* key = keys.find(authorization);
  return key == nullptr ? "nobody" : key->name;
}

TEST(ApiKeys, KnowWhoseABearerIs) {
  const Parsed parsed =
      parse("# the team's\nalice " + kAlice + "\n\n bob:\t" + kBob + " # till May\r\n");
  EXPECT_EQ(parsed.problems, "");
  EXPECT_EQ(owner(parsed.keys, "Bearer " + kAlice), "alice");
  EXPECT_EQ(owner(parsed.keys, "bearer  " + kBob), "bob");
}

TEST(ApiKeys, MayHaveAByteOrderMarkBeforeThem) {
  const Parsed parsed = parse(
      "\xEF\xBB\xBF"
      "alice " +
      kAlice);
  EXPECT_EQ(parsed.problems, "");
  EXPECT_EQ(owner(parsed.keys, "Bearer " + kAlice), "alice");
}

TEST(ApiKeys, KnowNobodyElse) {
  const Parsed parsed = parse("alice " + kAlice);
  const std::vector<std::string> all_wrong = {"",
                                              "Bearer ",
                                              "Bearer",
                                              kAlice,
                                              "Basic " + kAlice,
                                              "Bearer " + kAlice + "x",
                                              "Bearer " + kAlice.substr(1),
                                              "Bearer alice",
                                              "Bearer " + kAlice + " " + kAlice,
                                              "Bearer " + std::string(9000, 'x')};
  for (const std::string& wrong : all_wrong) {
    EXPECT_EQ(owner(parsed.keys, wrong), "nobody") << wrong.substr(0, 60);
  }
}

TEST(ApiKeys, MayBeGivenAsHashes) {
  // printf %s alices-key-0123456789 | sha256sum
  const std::string hash = "6d6c1651432ee7fad77543199832067ab0e10fa617134e5cdce726427ff3e26f";
  const Parsed parsed = parse("alice sha256:" + hash + "\nbob:sha256:" + std::string(64, 'F'));
  EXPECT_EQ(parsed.problems, "");
  EXPECT_EQ(owner(parsed.keys, "Bearer " + kAlice), "alice");
  EXPECT_THAT(parse("a sha256:abc").problems, HasSubstr("keys.txt:1:1: error: sha256:"));
  EXPECT_THAT(parse("a sha256:" + std::string(64, 'g')).problems, HasSubstr("64 hex"));
}

TEST(ApiKeys, AHashIsNoKey) {
  const std::string hash(64, 'a');
  const Parsed parsed = parse("a sha256:" + hash);
  EXPECT_EQ(owner(parsed.keys, "Bearer " + hash), "nobody");
  EXPECT_EQ(owner(parsed.keys, "Bearer sha256:" + hash), "nobody");
}

TEST(ApiKeys, OfTheVariableAreSeparatedByCommas) {
  const Parsed parsed =
      parse("alice " + kAlice + ", bob:" + kBob + ",\n,carol short", "BATCHPROXY_API_KEYS");
  EXPECT_EQ(owner(parsed.keys, "Bearer " + kBob), "bob");
  EXPECT_THAT(parsed.problems, HasSubstr("BATCHPROXY_API_KEYS:5:1: error"));
}

struct Broken {
  std::string text;
  std::string problem;
};

TEST(ApiKeys, RefuseWhatIsNoEntryWithoutRepeatingIt) {
  const std::string secret = "topsecrettopsecrettopsecrettopsecret";
  for (const Broken& broken : {Broken{secret, "2:1: error: expected `name key`"},
                               Broken{secret + " alice", "2:1: error: expected a name first"},
                               Broken{"topsecret alice", "2:1: error: a key has 16 to"},
                               Broken{"a " + secret + " more", "2:1: error: a key has letters"},
                               Broken{"a " + secret + ",", "2:1: error: a key has letters"},
                               Broken{"alice " + secret, "2:1: error: another key has this name"},
                               Broken{"a,b " + secret, "2:1: error: expected a name"},
                               Broken{"b " + kAlice, "2:1: error: another name has this key"}}) {
    const Parsed parsed = parse("alice " + kAlice + "\n" + broken.text + "\n");
    EXPECT_THAT(parsed.problems, HasSubstr("keys.txt:" + broken.problem));
    EXPECT_THAT(parsed.problems, Not(HasSubstr("topsecret")));
    EXPECT_THAT(parsed.problems, Not(HasSubstr(kAlice)));
  }
}

TEST(ApiKeys, HaveALimit) {
  std::string text;
  for (std::size_t i = 0; i <= ApiKeys::kMostKeys; ++i) {
    text += "n" + std::to_string(i) + " a-key-with-number-" + std::to_string(i) + "\n";
  }
  EXPECT_THAT(parse(text).problems, HasSubstr("keys.txt:256:1: error: more than 255 API keys"));
}

TEST(ApiKeys, KeepTheirPlaceInTheCountsOverAReload) {
  ApiKeys first = parse("alice " + kAlice + "\nbob " + kBob).keys;
  first.assign_slots(nullptr);
  ApiKeys second = parse("carol carols-key-0123456789\nbob another-key-for-bob-1").keys;
  second.assign_slots(&first);
  EXPECT_EQ(second.find("Bearer another-key-for-bob-1")->slot, 1u);
  EXPECT_EQ(second.find("Bearer carols-key-0123456789")->slot, 2u);
  EXPECT_EQ(second.slot_names(), (std::vector<std::string>{"alice", "bob", "carol"}));
  EXPECT_EQ(second.find("Bearer " + kAlice), nullptr);
}

TEST(ApiKeys, TellWhatAReloadChangesByName) {
  const ApiKeys before =
      parse("alice " + kAlice + "\nbob " + kBob + "\ndora doras-key-0123456789").keys;
  const ApiKeys after =
      parse("alice " + kAlice + "\nbob another-key-for-bob-1\ncarol carols-key-0123456789").keys;
  EXPECT_THAT(changes_between(&before, &after),
              testing::ElementsAre("API key bob: another one", "API key dora: removed",
                                   "API key carol: added"));
  EXPECT_THAT(changes_between(&before, &before), testing::IsEmpty());
  EXPECT_THAT(changes_between(nullptr, &after), testing::SizeIs(3));
  EXPECT_THAT(changes_between(&after, nullptr), testing::SizeIs(3));
  EXPECT_THAT(changes_between(nullptr, nullptr), testing::IsEmpty());
}

class ApiKeysFile : public testing::Test {
 protected:
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_) << text;
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    options_.proxy.api_keys_file.value = path_;
  }
  ~ApiKeysFile() override { std::remove(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "api_keys_test." + std::to_string(getpid());
  Options options_;
};

TEST_F(ApiKeysFile, IsReadTogetherWithTheVariable) {
  write("alice " + kAlice + "\n");
  options_.api_keys = "bob " + kBob;
  const LoadedApiKeys loaded = load_api_keys(options_);
  ASSERT_TRUE(loaded.ok()) << joined(loaded.diagnostics);
  EXPECT_EQ(owner(*loaded.keys, "Bearer " + kAlice), "alice");
  EXPECT_EQ(owner(*loaded.keys, "Bearer " + kBob), "bob");
}

TEST_F(ApiKeysFile, ThatOthersMayReadIsRefused) {
  for (const mode_t mode : {0640u, 0604u, 0620u}) {
    write("alice " + kAlice + "\n", static_cast<mode_t>(mode));
    const LoadedApiKeys loaded = load_api_keys(options_);
    EXPECT_EQ(loaded.keys, nullptr);
    EXPECT_THAT(joined(loaded.diagnostics), HasSubstr("run: chmod 600 " + path_));
  }
}

TEST_F(ApiKeysFile, MustHaveAKey) {
  write("# none yet\n");
  const LoadedApiKeys loaded = load_api_keys(options_);
  EXPECT_EQ(loaded.keys, nullptr);
  EXPECT_THAT(joined(loaded.diagnostics), HasSubstr("it holds no API key"));
}

TEST_F(ApiKeysFile, MustBeAFileThatIsThere) {
  options_.proxy.api_keys_file.value = path_ + ".not";
  EXPECT_THAT(joined(load_api_keys(options_).diagnostics), HasSubstr("read: No such file"));
  options_.proxy.api_keys_file.value = testing::TempDir();
  EXPECT_THAT(joined(load_api_keys(options_).diagnostics), HasSubstr("regular file"));
}

TEST_F(ApiKeysFile, WithOneBadEntryOpensToNobody) {
  write("alice " + kAlice + "\nbob short\n");
  EXPECT_EQ(load_api_keys(options_).keys, nullptr);
}

TEST(ApiKeysOptions, WithoutAnyAskForNone) {
  const LoadedApiKeys loaded = load_api_keys(Options{});
  EXPECT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.keys, nullptr);
}

}  // namespace
}  // namespace batchproxy
