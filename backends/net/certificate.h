// backends/net/certificate.h - certificates in words: what one says, and why another's is not
// believed and what to do.
//
// Threading: pure functions, any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <boost/system/result.hpp>

#include "backends/net/tls.h"

struct x509_store_ctx_st;

namespace batchproxy {

using WallTime = std::chrono::system_clock::time_point;

struct CertificateFacts {
  std::string subject;  // "CN=localhost"
  WallTime begins{};    // of the time that it is valid
  WallTime ends{};
};

// "2026-11-29", in UTC.
std::string day_of(WallTime when);

// All that a PEM file holds, in its order, and at least one; or a sentence that says what is wrong.
boost::system::result<std::vector<CertificateFacts>, std::string> read_certificates(
    const std::string& file);
// Our own, of a context of a server.
CertificateFacts own_certificate(const TlsContext& context);

// Why a file cannot be read; empty if it can.
std::string problem_of_file(const std::string& file);
// The first of OpenSSL's queue of errors, which is the cause of the others, in words of ours where
// it has to do with a file of certificates or keys. The queue is empty afterwards.
std::string why_not_taken();

// Before its handshake, as a client: it must show a certificate for `name`, a host's name or an
// address, and a name is told to it (SNI).
void expect_server(SSL* ssl, const std::string& name);
// OpenSSL asks it what to make of each certificate that a server shows. `good` is its own opinion,
// which stands; why it is none is kept for certificate_problem().
int judge_certificate(int good, x509_store_ctx_st* chain);
// After a handshake that failed: what is wrong with the certificate that was shown, and what to do;
// empty if that was not the reason.
std::string certificate_problem(const SSL* ssl);

}  // namespace batchproxy
