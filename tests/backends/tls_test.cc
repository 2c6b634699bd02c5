// tests/backends/tls_test.cc - TLS over a pair of sockets: what is read and written, and what the
// socket is said to hold.
#include "backends/net/tls.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

namespace batchproxy {
namespace {

// A self-signed certificate for `localhost` and its key, as files.
class Certificate {
 public:
  Certificate() {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const x509 = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_NAME* const name = X509_get_subject_name(x509);
    const auto* const words = reinterpret_cast<const unsigned char*>("localhost");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, words, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_sign(x509, key, EVP_sha256());
    write(certificate, [&](std::FILE* file) { PEM_write_X509(file, x509); });
    write(private_key, [&](std::FILE* file) {
      PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  ~Certificate() {
    std::filesystem::remove(certificate);
    std::filesystem::remove(private_key);
  }

  const std::string certificate = testing::TempDir() + std::to_string(::getpid()) + "-cert.pem";
  const std::string private_key = testing::TempDir() + std::to_string(::getpid()) + "-key.pem";

 private:
  template <class Write>
  static void write(const std::string& path, const Write& how) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    how(file);
    std::fclose(file);
  }
};

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

  Certificate files_;
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
