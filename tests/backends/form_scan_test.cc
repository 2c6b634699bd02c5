// tests/backends/form_scan_test.cc - what is read of a form, and what is left to the engine.
#include "backends/json/form_scan.h"

#include <string>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

const std::string kType = "multipart/form-data; boundary=x";
const std::string kFile =
    "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
    "Content-Type: audio/wav\r\n\r\nRIFF\r\n-- x \r\n\xff\r\n";
const std::string kEnd = "--x--\r\n";

std::string field(const std::string& name, const std::string& value) {
  return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
}

std::string model_in(const std::string& body, const std::string& type = kType) {
  return std::string(scan_form(type, body).model);
}

TEST(ScanForm, ReadsTheModelWhereverItStands) {
  EXPECT_EQ(model_in(field("model", "org/whisper") + kFile + kEnd), "org/whisper");
  EXPECT_EQ(model_in(kFile + field("model", "org/whisper") + kEnd), "org/whisper");
  EXPECT_EQ(model_in(kFile + field("language", "en") + field("model", "m") + kEnd), "m");
  EXPECT_EQ(model_in("a preamble\r\n" + field("model", "m") + kEnd + "an epilogue"), "m");
}

TEST(ScanForm, ReadsTheSpellingsOfTheField) {
  const auto spelt = [](const std::string& head) {
    return model_in("--x\r\n" + head + "\r\n\r\nm\r\n--x--");
  };
  EXPECT_EQ(spelt("content-disposition:form-data;name=model"), "m");
  EXPECT_EQ(spelt("CONTENT-DISPOSITION: Form-Data; NAME=\"model\""), "m");
  EXPECT_EQ(spelt("Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"model\""),
            "m");
  EXPECT_EQ(spelt("Content-Disposition: form-data; other=\"a; name=b\"; name=\"model\""), "m");
  EXPECT_EQ(spelt("Content-Disposition: attachment; name=\"model\""), "");
  EXPECT_EQ(spelt("Content-Disposition: form-data; name=\"models\""), "");
  EXPECT_EQ(spelt("Content-Disposition: form-data; name=\"model\"; filename=\"f\""), "");
  EXPECT_EQ(spelt("Content-Disposition: form-data; name=\"a\\\"; name=model\""), "");
  EXPECT_EQ(spelt("X: y"), "");
}

TEST(ScanForm, ReadsTheBoundaryAsItMayBeWritten) {
  const std::string body = field("model", "m") + kEnd;
  EXPECT_EQ(model_in(body, "Multipart/Form-Data;charset=utf-8; Boundary=\"x\""), "m");
  EXPECT_EQ(model_in(body, "multipart/form-data ; boundary=x"), "m");
  for (const char* type : {"", "multipart/form-data",
                           "multipart/form-data; boundary=", "multipart/form-data; boundary=y",
                           "multipart/mixed; boundary=x", "application/json; boundary=x"}) {
    EXPECT_EQ(model_in(body, type), "") << type;
  }
  EXPECT_EQ(model_in(body, "multipart/form-data; boundary=" + std::string(71, 'x')), "");
}

TEST(ScanForm, NamesNothingWhereTheFormDoesNot) {
  for (const std::string& body : {std::string(), std::string("--x"), kEnd, kFile + kEnd,
                                  field("model", "") + kEnd, std::string("not a form")}) {
    EXPECT_EQ(model_in(body), "") << body;
  }
}

TEST(ScanForm, TakesNoSideWhenTheModelIsNamedTwice) {
  EXPECT_EQ(model_in(field("model", "a") + field("model", "b") + kEnd), "");
}

TEST(ScanForm, StopsWhereTheBodyIsNoFormAnyMore) {
  EXPECT_EQ(model_in("--xy\r\n\r\n" + field("model", "m") + kEnd), "");
  EXPECT_EQ(model_in("--x--\r\n" + field("model", "m") + kEnd), "");
  EXPECT_EQ(model_in("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm"), "");
  EXPECT_EQ(
      model_in("--x\r\nA: " + std::string(5000, 'a') + "\r\n\r\n\r\n" + field("model", "m") + kEnd),
      "");
}

TEST(ScanForm, IsBounded) {
  EXPECT_EQ(model_in(field("model", std::string(5000, 'm')) + kEnd), "");
  std::string many;
  for (int i = 0; i < 100; ++i) many += field("a", "b");
  EXPECT_EQ(model_in(many + field("model", "m") + kEnd), "");
}

TEST(ScanForm, SeesWhetherAStreamIsAskedFor) {
  const auto streams = [](const std::string& value) {
    return scan_form(kType, field("stream", value) + kFile + kEnd).streaming;
  };
  for (const char* yes : {"true", "True", "1", "on", "yes"}) EXPECT_TRUE(streams(yes)) << yes;
  for (const char* no : {"false", "0", "", "no", "truer"}) EXPECT_FALSE(streams(no)) << no;
  EXPECT_FALSE(scan_form(kType, kFile + kEnd).streaming);
}

}  // namespace
}  // namespace batchproxy
