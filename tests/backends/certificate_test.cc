// tests/backends/certificate_test.cc - what is said of certificates that are not believed, and of
// files that hold none.
#include "backends/net/certificate.h"

#include <fstream>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "tests/backends/made_certificate.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr long kDay = 86400;

// What a client says that trusts `ca_file` and wants to meet `name`, of a server with `own`.
std::string problem_with(const MadeCertificate& own, const std::string& ca_file,
                         const std::string& name) {
  const TlsContextPtr server_context = *TlsContext::of_server(own.certificate, own.private_key);
  const TlsContextPtr client_context = *TlsContext::of_client(ca_file);
  SSL* const server = SSL_new(server_context->get());
  SSL* const client = SSL_new(client_context->get());
  BIO* of_server = nullptr;
  BIO* of_client = nullptr;
  BIO_new_bio_pair(&of_server, 0, &of_client, 0);
  SSL_set_bio(server, of_server, of_server);
  SSL_set_bio(client, of_client, of_client);
  SSL_set_accept_state(server);
  SSL_set_connect_state(client);
  expect_server(client, name);
  int met = 0;
  for (int i = 0; i < 10 && met != 1; ++i) {
    met = SSL_do_handshake(client);
    SSL_do_handshake(server);
  }
  std::string problem = certificate_problem(client);
  EXPECT_EQ(problem.empty(), met == 1);
  SSL_free(client);
  SSL_free(server);
  return problem;
}

std::string problem_with(const MadeCertificate& own, const std::string& name = "localhost") {
  return problem_with(own, own.certificate, name);
}

TEST(Certificate, IsBelievedWhenItIsTrusted) {
  const MadeCertificate own;
  EXPECT_EQ(problem_with(own), "");
}

TEST(Certificate, ThatHasEndedIsToldWithItsDay) {
  const MadeCertificate own(-20 * kDay, -10 * kDay);
  const auto facts = read_certificates(own.certificate);
  ASSERT_TRUE(facts);
  EXPECT_EQ(problem_with(own), "its certificate expired on " + day_of(facts->front().ends) +
                                   ": it must be renewed there");
}

TEST(Certificate, ThatHasNotBegunIsTold) {
  const MadeCertificate own(10 * kDay, 20 * kDay);
  EXPECT_THAT(problem_with(own), StartsWith("its certificate is not valid before 2"));
}

TEST(Certificate, OfAnotherNameSaysForWhomItIs) {
  const MadeCertificate own(-60, 3600, "DNS:a.example,DNS:b.example,IP:10.0.0.7");
  EXPECT_THAT(problem_with(own, "c.example"),
              StartsWith("its certificate is for a.example, b.example, 10.0.0.7 and not for "
                         "c.example: "));
  EXPECT_THAT(problem_with(own, "10.0.0.8"), HasSubstr("and not for 10.0.0.8"));
  EXPECT_EQ(problem_with(own, "10.0.0.7"), "");
}

TEST(Certificate, ThatNobodyHereHasTrustedSaysWhereToTrustIt) {
  const MadeCertificate own, other;
  EXPECT_THAT(problem_with(own, other.certificate, "localhost"),
              StartsWith("its certificate is self-signed, and not trusted here: give that "
                         "certificate as `ca_file`"));
}

TEST(Certificate, FilesAreReadAndWhatTheyAreNotIsTold) {
  const MadeCertificate own(-60, 3600);
  const auto facts = read_certificates(own.certificate);
  ASSERT_TRUE(facts);
  ASSERT_EQ(facts->size(), 1u);
  EXPECT_EQ(facts->front().subject, "CN=localhost");
  EXPECT_EQ(facts->front().ends - facts->front().begins, std::chrono::seconds(3660));
  const TlsContextPtr context = *TlsContext::of_server(own.certificate, own.private_key);
  EXPECT_EQ(own_certificate(*context).ends, facts->front().ends);

  EXPECT_EQ(read_certificates("/nowhere/x.pem").error(),
            "cannot read /nowhere/x.pem: No such file or directory");
  EXPECT_EQ(read_certificates("/").error(), "cannot read /: it is a directory");
  EXPECT_EQ(read_certificates(own.private_key).error(),
            "cannot read a certificate from " + own.private_key +
                ": there is none in PEM form in it (-----BEGIN …-----)");
}

TEST(Certificate, AndKeyThatDoNotFitAreTold) {
  const MadeCertificate own, other;
  EXPECT_EQ(TlsContext::of_server(own.certificate, other.private_key).error(),
            "cannot use the key in " + other.private_key + " with the certificate in " +
                own.certificate + ": they do not belong together");
  EXPECT_THAT(TlsContext::of_server(own.certificate, own.certificate).error(),
              HasSubstr("there is none in PEM form in it"));
  std::ofstream(other.private_key) << "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                                      "-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_FALSE(TlsContext::of_server(own.certificate, other.private_key));
}

}  // namespace
}  // namespace batchproxy
