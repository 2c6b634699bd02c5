// tests/backends/tls_test.cc - TLS over a pair of sockets: what is read and written, and what the
// socket is said to hold.
#include "backends/net/tls.h"

#include <array>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/backends/made_certificate.h"

namespace batchproxy {
namespace {

class TlsLayerTest : public testing::Test {
 protected:
  TlsLayerTest() {
    std::array<int, 2> ends{};
    ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data());
    ends_ = ends;
    server_context_ = *TlsContext::of_server(files_.certificate, files_.private_key);
    client_context_ = *TlsContext::of_client(files_.certificate);
    server_.emplace(*server_context_, ends[0]);
    client_.emplace(*client_context_, ends[1], "localhost");
  }
  ~TlsLayerTest() override {
    for (const int end : ends_) ::close(end);
  }

  bool shake_hands() {
    for (int i = 0; i < 10; ++i) {
      const auto of_client = client_->shake_hands();
      const auto of_server = server_->shake_hands();
      if (of_client == TlsLayer::State::kMore && of_server == TlsLayer::State::kMore) return true;
    }
    return false;
  }
  static std::size_t write(TlsLayer& layer, const std::string& text) {
    const std::array<asio::const_buffer, 1> buffers{asio::buffer(text)};
    return layer.write(buffers).value_or(0);
  }
  static std::string read(TlsLayer& layer, std::size_t most) {
    std::string text(most, '\0');
    text.resize(layer.read(text).bytes);
    return text;
  }
  // What the poller would tell.
  void report() { server_->on_readable(); }

  MadeCertificate files_;
  std::array<int, 2> ends_{};
  TlsContextPtr server_context_;
  TlsContextPtr client_context_;
  std::optional<TlsLayer> server_;
  std::optional<TlsLayer> client_;
};

TEST_F(TlsLayerTest, CarriesBytesBothWays) {
  ASSERT_TRUE(shake_hands());
  EXPECT_EQ(write(*client_, "ask"), 3u);
  EXPECT_EQ(read(*server_, 100), "ask");
  EXPECT_EQ(write(*server_, "answer"), 6u);
  EXPECT_EQ(read(*client_, 100), "answer");
  EXPECT_EQ(read(*client_, 100), "") << "it waits";
}

// A report comes once. It must not be forgotten by a read that takes only what was read before.
TEST_F(TlsLayerTest, KnowsOfWhatWasReportedBetweenTwoReads) {
  ASSERT_TRUE(shake_hands());
  write(*client_, std::string(100, 'a'));
  report();
  EXPECT_EQ(read(*server_, 10), std::string(10, 'a'));
  EXPECT_FALSE(server_->has_emptied_socket()) << "ninety are left within";
  write(*client_, std::string(50, 'b'));
  report();
  EXPECT_EQ(read(*server_, 100), std::string(90, 'a'));
  EXPECT_FALSE(server_->has_emptied_socket()) << "nobody will report these fifty again";
  EXPECT_EQ(read(*server_, 100), std::string(50, 'b'));
  EXPECT_TRUE(server_->has_emptied_socket());
}

TEST_F(TlsLayerTest, LosesNothingToAPeerThatNeverTakesAll) {
  ASSERT_TRUE(shake_hands());
  std::string sent;
  std::string got;
  while (sent.size() < 4'000'000) {
    const std::string piece(30'000, static_cast<char>('a' + sent.size() / 30'000 % 26));
    sent += piece.substr(0, write(*server_, piece));
    EXPECT_LE(server_->sealed(), TlsLayer::kMostSealed + 32 * 1024);
    got += read(*client_, 8'000);
    got += read(*client_, 8'000);
    ASSERT_TRUE(server_->flush());
  }
  while (got.size() < sent.size()) {
    const std::string more = read(*client_, 64 * 1024);
    got += more;
    ASSERT_TRUE(server_->flush());
    ASSERT_FALSE(more.empty() && !server_->has_sealed() && got.size() < sent.size());
  }
  EXPECT_TRUE(got == sent);
}

TEST_F(TlsLayerTest, BelievesNobodyWhoseCertificateIsForAnotherName) {
  client_.emplace(*client_context_, ends_[1], "elsewhere");
  EXPECT_FALSE(shake_hands());
  EXPECT_EQ(client_->shake_hands(), TlsLayer::State::kBroken);
}

TEST_F(TlsLayerTest, TellsAClientThatSpeaksHttp) {
  constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
  ASSERT_EQ(::send(ends_[1], kRequest.data(), kRequest.size(), 0),
            static_cast<ssize_t>(kRequest.size()));
  EXPECT_EQ(server_->shake_hands(), TlsLayer::State::kBroken);
  EXPECT_TRUE(server_->is_plain_http());
}

}  // namespace
}  // namespace batchproxy
