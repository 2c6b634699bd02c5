// tests/files/multipart_reader_test.cc - forms with files, cut into any pieces.
#include "proxy/files/multipart_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

class Written final : public FormSink {
 public:
  void begin_part(const FormPart& part) override {
    text += "[" + part.name + (part.filename ? ":" + *part.filename : "") + "=";
  }
  void add_bytes(std::string_view bytes) override { text += bytes; }
  void end_part() override { text += "]"; }
  std::string text;
};

constexpr std::string_view kForm =
    "--xyz\r\n"
    "Content-Disposition: form-data; name=\"purpose\"\r\n\r\n"
    "batch\r\n"
    "--xyz\r\n"
    "content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".jsonl\"\r\n"
    "Content-Type: application/octet-stream\r\n\r\n"
    "one\r\n--xy\r\n\r\ntwo\r\n"
    "--xyz\r\n"
    "Content-Disposition: form-data; name=empty\r\n\r\n"
    "\r\n"
    "--xyz--\r\n";
constexpr std::string_view kRead =
    "[purpose=batch][file:a \"b\".jsonl=one\r\n--xy\r\n\r\ntwo][empty=]";

TEST(MultipartReader, ReadsAFormCutAnywhere) {
  for (std::size_t piece = 1; piece <= kForm.size(); ++piece) {
    Written written;
    MultipartReader reader("xyz", written);
    for (std::size_t at = 0; at < kForm.size(); at += piece) {
      ASSERT_TRUE(reader.feed(kForm.substr(at, piece)));
    }
    EXPECT_TRUE(reader.done());
    EXPECT_EQ(written.text, kRead) << piece;
  }
}

TEST(MultipartReader, HoldsNoMoreOfAPartThanADelimiter) {
  Written written;
  MultipartReader reader("xyz", written);
  ASSERT_TRUE(reader.feed("--xyz\r\nContent-Disposition: form-data; name=f\r\n\r\n"));
  ASSERT_TRUE(reader.feed(std::string(1000, 'x')));
  EXPECT_GE(written.text.size(), 1000 - std::string_view("\r\n--xyz").size());
}

TEST(MultipartReader, TakesTheLongestHeadCutAnywhere) {
  constexpr std::size_t kLongest = 16 * 1024;
  const std::string disposition = "Content-Disposition: form-data; name=f\r\nx: ";
  for (const bool too_long : {false, true}) {
    const std::string head =
        disposition + std::string(kLongest - disposition.size() + too_long, 'x');
    for (const std::size_t last : {0u, 1u, 2u, 3u}) {
      Written written;
      MultipartReader reader("xyz", written);
      ASSERT_TRUE(reader.feed("--xyz\r\n"));
      const bool taken = reader.feed(head + std::string("\r\n\r\n").substr(0, last)) &&
                         reader.feed(std::string("\r\n\r\n").substr(last));
      EXPECT_EQ(taken, !too_long) << last;
    }
  }
}

TEST(MultipartReader, RefusesWhatIsNoForm) {
  for (const char* form : {"--xyzz\r\n", "--xyz\r\nno colon\r\n\r\n", "--xyz\r\na: b\r\n\r\n",
                           "--xyz\r\nContent-Disposition: form-data\r\n\r\n"}) {
    Written written;
    EXPECT_FALSE(MultipartReader("xyz", written).feed(form)) << form;
  }
  Written written;
  MultipartReader reader("xyz", written);
  EXPECT_FALSE(reader.feed("--xyz\r\n" + std::string(20'000, 'x')));
  EXPECT_FALSE(reader.done());
}

TEST(MultipartReader, KnowsTheBoundaryOfAForm) {
  EXPECT_EQ(boundary_of("multipart/form-data; boundary=xyz"), "xyz");
  EXPECT_EQ(boundary_of("Multipart/Form-Data; charset=utf-8; boundary=\"a b\""), "a b");
  EXPECT_EQ(boundary_of("multipart/form-data"), std::nullopt);
  EXPECT_EQ(boundary_of("multipart/form-data; boundary="), std::nullopt);
  EXPECT_EQ(boundary_of("application/json; boundary=xyz"), std::nullopt);
}

}  // namespace
}  // namespace batchproxy
